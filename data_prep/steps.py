"""Steps that are taken once: each leaves a record when all of its files are whole, and is skipped when it has one."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from data_prep.files import PARTIAL_SUFFIX, read_json, write_json


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
        record = self.folder / "done" / f"{name}.json"
        if record.is_file():
            return read_json(record)
        result = take()
        write_json(record, result)
        return result

    def is_done(self, name: str) -> bool:
        """Whether a step has been taken."""
        return (self.folder / "done" / f"{name}.json").is_file()

    def clear(self) -> None:
        """Removes the working folder with everything in it."""
        shutil.rmtree(self.folder, ignore_errors=True)


def remove_partial_files(folder: Path) -> None:
    """Removes what a killed run has left half-written."""
    for partial in folder.rglob(f"*{PARTIAL_SUFFIX}"):
        partial.unlink(missing_ok=True)
