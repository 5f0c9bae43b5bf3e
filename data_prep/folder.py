"""The output folder: what belongs to a data set there, and whether a run may use it."""

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
# Everything that a run can leave in the folder.
_OWN = (WORK, RAW, REMOVED, MANIFEST, "dict.*.txt", "spm*.model", "*.bin", "*.idx", "shard*", REPORT)


def training_folders(out: Path, count: int) -> list[Path]:
    """Where the shards of the training data lie: the data set's own folder first, so that it is whole by itself."""
    return [out if number == 0 else out / f"shard{number + 1}" for number in range(count)]


def open_folder(out: Path, settings: Settings, overwrite: bool) -> DataManifest | None:
    """Makes the folder ready for a run.

    Args:
        out: the output folder.
        settings: the configuration of this run.
        overwrite: start anew even if there is another data set.

    Returns:
        The manifest when this data set is finished, else None.

    Raises:
        ResMLPError: when the folder holds something else, or a data set of another configuration.
    """
    if overwrite:
        _clear(out)
    if out.exists() and not out.is_dir():
        raise ResMLPError(f"--out must be a folder, but {out} is a file; name another")
    known = _known_settings(out)
    if known is None:
        if _holds_other_files(out):
            raise ResMLPError(
                f"--out must be empty or hold a data set, but {out} holds other files; name another folder"
            )
        write_json(out / WORK / _SETTINGS, settings.as_json())
    elif changed := differences(known, settings.as_json()):
        raise ResMLPError(
            f"--out must be of the same configuration, but {out} differs in {'; '.join(changed)}; name another folder, "
            "or start anew with --overwrite"
        )
    return read_manifest(out)


@contextmanager
def locked(work: Path) -> Iterator[None]:
    """Keeps other runs out of a working folder; the lock ends with the process, however that ends.

    Raises:
        ResMLPError: when another run works there.
    """
    work.mkdir(parents=True, exist_ok=True)
    with (work / "lock").open("wb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ResMLPError(
                f"{work.parent} must be used by one run at a time, but another one is on; wait"
            ) from error
        yield


def _known_settings(out: Path) -> dict[str, Any] | None:
    manifest = read_manifest(out)
    if manifest is not None:
        return manifest.settings
    if (out / WORK / _SETTINGS).is_file():
        return read_json(out / WORK / _SETTINGS)
    return None


def _holds_other_files(out: Path) -> bool:
    # The working folder alone is what a run leaves that was stopped at its very first file.
    return out.is_dir() and any(path.name != WORK for path in out.iterdir())


def _clear(out: Path) -> None:
    if _known_settings(out) is None and _holds_other_files(out):
        raise ResMLPError(f"--overwrite must name a data set, but {out} holds other files; delete them yourself")
    for pattern in _OWN:
        for path in out.glob(pattern):
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()
