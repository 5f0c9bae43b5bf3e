"""Steps that are taken once: each leaves a record when all of its files are whole, and is skipped when it has one."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from resmlp_mt.common.files import PARTIAL_SUFFIX, read_json, write_json


class Steps:
    """The records of the steps that have been taken in a folder.

    Args:
        folder: the working folder of one data set.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def once(self, name: str, take: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """Takes a step unless it has been taken.

        Args:
            name: of the step; its record is `done/NAME.json`.
            take: does the work and returns what the later steps and the manifest need of it, as JSON holds it.

        Returns:
            What `take` returned, now or then.
        """
        return self.record(name) if self.is_done(name) else self.finish(name, take())

    def is_done(self, name: str) -> bool:
        """Whether a step has been taken."""
        return self._record(name).is_file()

    def record(self, name: str) -> dict[str, Any]:
        """What a step that has been taken left."""
        return read_json(self._record(name))

    def finish(self, name: str, result: dict[str, Any]) -> dict[str, Any]:
        """Records that a step has been taken, and returns its result."""
        write_json(self._record(name), result)
        return result

    def _record(self, name: str) -> Path:
        return self.folder / "done" / f"{name}.json"

    def forget_unless_equal(self, name: str, facts: dict[str, Any]) -> None:
        """Starts anew when facts that the steps were based on have changed since they were taken.

        Args:
            name: of the facts.
            facts: as JSON holds them.
        """
        if self.is_done(name) and self.record(name) == facts:
            return
        for kept in (self.folder / "done").glob("*.json"):
            kept.unlink()
        self.finish(name, facts)

    def clear(self) -> None:
        """Removes the working folder with everything in it."""
        shutil.rmtree(self.folder, ignore_errors=True)


def remove_partial_files(folder: Path) -> None:
    """Removes what a killed run has left half-written."""
    for partial in folder.rglob(f"*{PARTIAL_SUFFIX}"):
        partial.unlink(missing_ok=True)
