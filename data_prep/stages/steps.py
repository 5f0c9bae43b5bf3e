"""Steps that run once: each writes a record when all of its files are complete, and is skipped if it has one."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from resmlp_mt.common.files import PARTIAL_SUFFIX, read_json, write_json


class Steps:
    """The records of the finished steps in a working folder.

    Args:
        folder: the working folder of one data set.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def once(self, name: str, run: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """Runs a step unless it is finished.

        Args:
            name: name of the step; its record is `done/NAME.json`.
            run: does the work and returns what later steps and the manifest need, as JSON values.

        Returns:
            What `run` returned, now or in an earlier run.
        """
        return self.record(name) if self.is_done(name) else self.finish(name, run())

    def is_done(self, name: str) -> bool:
        """Whether a step is finished."""
        return self._record(name).is_file()

    def record(self, name: str) -> dict[str, Any]:
        """The record of a finished step."""
        record: dict[str, Any] = read_json(self._record(name))
        return record

    def finish(self, name: str, result: dict[str, Any]) -> dict[str, Any]:
        """Records a finished step and returns its result."""
        write_json(self._record(name), result)
        return result

    def _record(self, name: str) -> Path:
        return self.folder / "done" / f"{name}.json"

    def forget_unless_equal(self, name: str, facts: dict[str, Any]) -> None:
        """Deletes all records if facts that the steps depend on have changed.

        Args:
            name: of the facts.
            facts: as JSON values.
        """
        if self.is_done(name) and self.record(name) == facts:
            return
        for kept in (self.folder / "done").glob("*.json"):
            kept.unlink()
        self.finish(name, facts)

    def clear(self) -> None:
        """Deletes the working folder and everything in it."""
        shutil.rmtree(self.folder, ignore_errors=True)


def remove_partial_files(folder: Path) -> None:
    """Deletes the partial files of a killed run."""
    for partial in folder.rglob(f"*{PARTIAL_SUFFIX}"):
        partial.unlink(missing_ok=True)
