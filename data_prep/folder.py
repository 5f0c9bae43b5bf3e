"""The output folder: the files of a data set in it, and whether a run may use it."""

from __future__ import annotations

import fcntl
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from data_prep.settings import Settings, differences
from resmlp_mt.common.data_folder import RAW, REPORT
from resmlp_mt.common.data_manifest import MANIFEST, DataManifest, read_manifest
from resmlp_mt.common.errors import ResMLPError
from resmlp_mt.common.files import read_json, write_json

WORK = ".work"
REMOVED = "removed"
_SETTINGS = "settings.json"
# All files that a run can write into the folder.
_DATA_SET_FILES = (WORK, RAW, REMOVED, MANIFEST, "dict.*.txt", "spm*.model", "*.bin", "*.idx", "shard*", REPORT)


def training_folders(out: Path, count: int) -> list[Path]:
    """The folders of the training shards: the data set's own folder is the first shard."""
    return [out if number == 0 else out / f"shard{number + 1}" for number in range(count)]


def open_folder(out: Path, settings: Settings, overwrite: bool) -> DataManifest | None:
    """Prepares the folder for a run.

    Args:
        out: the output folder.
        settings: the configuration of this run.
        overwrite: delete an existing data set.

    Returns:
        The manifest if this data set is finished, else None.

    Raises:
        ResMLPError: the folder holds other files, or a data set of another configuration.
    """
    if overwrite:
        _clear(out)
    if out.exists() and not out.is_dir():
        raise ResMLPError(f"--out {out} is a file; choose a folder")
    known = _known_settings(out)
    if known is None:
        if _holds_other_files(out):
            raise ResMLPError(
                f"--out {out} is neither empty nor a data set: it holds other files; choose another folder"
            )
        write_json(out / WORK / _SETTINGS, settings.as_json())
    elif changed := differences(known, settings.as_json()):
        raise ResMLPError(
            f"--out {out} holds a data set of another configuration, which differs in {'; '.join(changed)}; choose "
            "another folder, or start again with --overwrite"
        )
    return read_manifest(out)


@contextmanager
def locked(work: Path) -> Iterator[None]:
    """Locks a working folder against other runs; the lock always ends with the process.

    Raises:
        ResMLPError: another run is using the folder.
    """
    work.mkdir(parents=True, exist_ok=True)
    with (work / "lock").open("wb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ResMLPError(f"another run is preparing {work.parent}; wait until it has ended") from error
        yield


def _known_settings(out: Path) -> dict[str, Any] | None:
    manifest = read_manifest(out)
    if manifest is not None:
        return manifest.settings
    if (out / WORK / _SETTINGS).is_file():
        settings: dict[str, Any] = read_json(out / WORK / _SETTINGS)
        return settings
    return None


def _holds_other_files(out: Path) -> bool:
    # A run that stopped at its first file leaves only the working folder.
    return out.is_dir() and any(path.name != WORK for path in out.iterdir())


def _clear(out: Path) -> None:
    is_data_set = any(path.is_file() for path in (out / MANIFEST, out / WORK / _SETTINGS))
    if not is_data_set and _holds_other_files(out):
        raise ResMLPError(f"--overwrite deletes only data sets, but {out} holds other files; delete them yourself")
    for pattern in _DATA_SET_FILES:
        for path in out.glob(pattern):
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()
