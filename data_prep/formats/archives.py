"""Extracts members of tar and zip archives one by one, under names that the archive cannot choose."""

from __future__ import annotations

import lzma
import posixpath
import tarfile
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from data_prep.formats.text_files import MAX_EXPANSION, expansion_limit
from resmlp_mt.common.errors import ResMLPError
from resmlp_mt.common.files import open_whole_file
from resmlp_mt.common.progress import log

_COPY_BYTES = 1 << 20
_DAMAGED = (tarfile.TarError, zipfile.BadZipFile, EOFError, zlib.error, lzma.LZMAError, NotImplementedError, OSError)


def extract_members(archive: Path, names: Sequence[str], folder: Path) -> dict[str, Path]:
    """Extracts some members of an archive; those that exist already are skipped.

    Args:
        archive: a .zip, or a .tar in any compression.
        names: paths inside the archive.
        folder: the output folder; each member gets the last part of its path, in a subfolder named after the archive.

    Returns:
        The path of each extracted member.

    Raises:
        ResMLPError: a member is missing, is not a plain file, has a path outside the archive or is too large for a
            text, or the archive is damaged.
    """
    targets = {name: folder / archive.name / Path(name).name for name in names}
    missing = {name for name, target in targets.items() if not target.is_file()}
    if not missing:
        return targets
    limit = expansion_limit(archive)
    opened = _zip_members(archive) if archive.suffix == ".zip" else _tar_members(archive)
    with _damage_reported(archive):
        for name, content in opened:
            if name in missing:
                if content is None:
                    raise ResMLPError(
                        f"{name} in {archive} is a link or a folder instead of a plain file; download the archive again"
                    )
                log("unpack", f"{archive.name}: {name}")
                _copy(content, targets[name], limit, f"{archive}: {name}")
                missing.remove(name)
                if not missing:
                    return targets
    raise ResMLPError(f"{archive} does not hold {', '.join(sorted(missing))}; download it again")


def _tar_members(archive: Path) -> Iterator[tuple[str, IO[bytes] | None]]:
    with _damage_reported(archive), tarfile.open(archive, "r|*") as tar:
        for member in tar:
            yield _safe_name(archive, member.name), tar.extractfile(member) if member.isreg() else None


def _zip_members(archive: Path) -> Iterator[tuple[str, IO[bytes] | None]]:
    with _damage_reported(archive), zipfile.ZipFile(archive) as file:
        for member in file.infolist():
            yield _safe_name(archive, member.filename), None if member.is_dir() else file.open(member)


def _safe_name(archive: Path, name: str) -> str:
    normal = posixpath.normpath(name)
    if normal.startswith(("/", "../")) or normal == ".." or "\\" in normal:
        raise ResMLPError(
            f"{archive} is not safe to extract: it holds {name!r}, a path outside the archive; download it elsewhere"
        )
    return normal


def _copy(content: IO[bytes], target: Path, limit: int, what: str) -> None:
    total = 0
    with open_whole_file(target) as file:
        while block := content.read(_COPY_BYTES):
            total += len(block)
            if total > limit:
                raise ResMLPError(
                    f"{what} is more than {MAX_EXPANSION} times as large as its archive, so it is not a text"
                )
            file.write(block)


@contextmanager
def _damage_reported(archive: Path) -> Iterator[None]:
    try:
        yield
    except _DAMAGED as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise  # an error of the disk, not of the archive
        raise ResMLPError(f"the archive {archive} is damaged ({error}); download it again") from error
