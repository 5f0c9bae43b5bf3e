"""Atomic output files, the checks made before an output is written, JSON, and digests."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import stat
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

from resmlp_mt.common.errors import ResMLPError

PARTIAL_SUFFIX = ".partial"
_MOST_LINKS = 40  # as many as Linux follows
_ABSENT = 0
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)

Paths = Path | Iterable[Path] | None


@contextmanager
def whole_file(path: Path, durable: bool = False) -> Iterator[Path]:
    """Writes a file atomically: yields a temporary path in the same folder and renames it to `path` at the end.

    After an error the temporary file is deleted and `path` is unchanged. A symbolic link is kept, and the file that it
    points to is replaced. Devices, named pipes and /dev/stdout are kept too: the content is copied into them at the
    end. Permissions follow the umask, whatever the writer of the temporary file sets.

    Args:
        path: the output; its folder is created if it is missing.
        durable: sync the content to disk before the rename, so that a power failure cannot lose it.

    Yields:
        The temporary path.

    Raises:
        ResMLPError: the file cannot be written.
    """
    if is_stream(path):
        with tempfile.TemporaryDirectory() as folder:
            partial = Path(folder, "content")
            with _reported(path, partial):
                yield partial
            with _reported(path):
                _copy_into_stream(partial, path)
        return
    target = destination(path)
    partial = partial_name(target)
    try:
        with _reported(path):
            target.parent.mkdir(parents=True, exist_ok=True)
            partial.open("wb").close()
            mode = partial.stat().st_mode
        with _reported(path, partial):
            yield partial
        with _reported(path):
            if partial.stat().st_mode != mode:  # safetensors makes files that only their owner can read
                partial.chmod(mode)
            if durable:
                _sync(partial)
            partial.replace(target)
    finally:
        with suppress(OSError):  # whatever made the writing fail may make this fail too
            partial.unlink()


@contextmanager
def open_whole_file(path: Path) -> Iterator[BinaryIO]:
    """Opens a file for writing bytes atomically; see `whole_file`.

    Yields:
        The open temporary file.

    Raises:
        ResMLPError: the file cannot be written.
    """
    with whole_file(path) as partial, partial.open("wb") as file:
        yield file


def _sync(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())


@contextmanager
def _reported(path: Path, written: Path | None = None) -> Iterator[None]:
    """Converts errors to `ResMLPError`; where `written` is given, errors of other files are left to the caller."""
    try:
        yield
    except BrokenPipeError:
        raise  # concerns standard output, which the caller writes meanwhile
    except OSError as error:
        if written is not None and error.filename not in (None, written, str(written)):
            raise
        raise unwritable(path, error) from error


def unwritable(path: Path, error: OSError, remedy: str = "") -> ResMLPError:
    """The error for a file that cannot be written."""
    if not remedy:
        remedy = "make room or choose another path" if error.errno in _NO_ROOM else "choose another path"
    return ResMLPError(f"{path} cannot be written ({error.strerror or error}); {remedy}")


def destination(path: Path) -> Path:
    """The file that an output replaces: the target of a symbolic link, otherwise the path itself."""
    return Path(os.path.realpath(path))


def partial_name(target: Path) -> Path:
    """The temporary name of an output that is being written."""
    return target.with_name(target.name + PARTIAL_SUFFIX)


def is_stream(path: Path) -> bool:
    """Whether an output is written in place and not replaced: a device, a named pipe or /dev/stdout."""
    mode = _mode(path)
    return _open_descriptor(path) is not None or not (mode == _ABSENT or stat.S_ISREG(mode) or stat.S_ISDIR(mode))


def _mode(path: Path) -> int:
    try:
        return path.stat().st_mode
    except OSError:  # absent, or in a folder that this user cannot read
        return _ABSENT


def open_stream(path: Path) -> BinaryIO:
    """Opens an output that `is_stream`; a stream of this process, like /dev/stdout, continues at its current position.

    Raises:
        OSError: the output cannot be written.
    """
    descriptor = _open_descriptor(path)
    if descriptor is None:
        return path.open("wb")
    sys.stdout.flush()
    return os.fdopen(os.dup(descriptor), "wb")


def _copy_into_stream(content: Path, path: Path) -> None:
    try:
        with content.open("rb") as source, open_stream(path) as stream:
            shutil.copyfileobj(source, stream)
    except BrokenPipeError as error:
        raise ResMLPError(f"the reader of {path} stopped before its end; start it again") from error


def _open_descriptor(path: Path) -> int | None:
    """The file descriptor that a name like /dev/stdout stands for."""
    own = os.path.realpath("/proc/self/fd")
    for _ in range(_MOST_LINKS):
        if os.path.realpath(path.parent) == own and path.name.isdecimal():
            return int(path.name)
        if not path.is_symlink():
            break
        path = path.parent / path.readlink()
    return None


def check_outputs(outputs: Mapping[str, Paths], inputs: Mapping[str, Paths]) -> None:
    """Checks, before any work, that each output can be written and overwrites no input and no other output.

    Two files are the same if their paths resolve to the same path or if they are hard links to the same content.

    Args:
        outputs: by option, the file or files that it writes; None where the option was not given.
        inputs: by option, the file or files that it reads; None where the option was not given.

    Raises:
        ResMLPError: the message names the option and the file.
    """
    uses = {key: f"{name} reads" for name, paths in inputs.items() for path in _each(paths) for key in _keys(path)}
    for name, paths in outputs.items():
        written = {}
        for path in _each(paths):
            _require_writable(name, path)
            if is_stream(path):
                continue
            for file in (destination(path), partial_name(destination(path))):
                for key in _keys(file):
                    if key in uses:
                        raise ResMLPError(f"{name} must not overwrite {file}, which {uses[key]}; name another file")
                    written[key] = f"{name} writes"
        uses |= written


def _each(paths: Paths) -> Iterable[Path]:
    return () if paths is None else (paths,) if isinstance(paths, Path) else paths


def _keys(path: Path) -> Iterator[str | tuple[int, int]]:
    """What two names of one file have in common: the resolved path, or the inode. Devices and pipes have no key."""
    target = destination(path)
    if is_stream(path):
        return
    yield str(target)
    with suppress(OSError):
        status = target.stat()
        yield status.st_dev, status.st_ino


def _require_writable(name: str, path: Path) -> None:
    target = destination(path)
    if stat.S_ISDIR(_mode(target)):
        raise ResMLPError(f"{name} must be a file, but {path} is a folder; name a file in it")
    if target.is_symlink():
        raise ResMLPError(f"{name} must be a file, but {path} is a link that leads back to itself; remove the link")
    if _mode(target) != _ABSENT and not os.access(target, os.W_OK):
        raise ResMLPError(f"{name} cannot be written: {path} is write-protected; choose another path")
    if is_stream(path):
        return
    folder = next(parent for parent in target.parents if _mode(parent) != _ABSENT)
    if not stat.S_ISDIR(_mode(folder)):
        raise ResMLPError(f"{name} {path} cannot be written: {folder} is a file, not a folder; choose another path")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise ResMLPError(f"{name} cannot be written: the folder {folder} is write-protected; choose another path")


def write_text(path: Path, text: str) -> None:
    """Writes a UTF-8 text file atomically; line ends are written as they are."""
    with whole_file(path) as partial:
        partial.write_bytes(text.encode("utf-8"))


def write_json(path: Path, value: Any) -> None:
    """Writes a JSON file atomically, indented for human readers."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def read_json(path: Path) -> Any:
    """Reads a JSON file that this package has written.

    Raises:
        OSError: the file cannot be read.
        ValueError: the file is not JSON.
    """
    return json.loads(path.read_text(encoding="utf-8"))


def file_digest(path: Path, algorithm: str = "sha256") -> str:
    """Hashes a file in constant memory.

    Args:
        path: the file.
        algorithm: a name that `hashlib` knows.

    Returns:
        "ALGORITHM:HEXADECIMAL", the form of all digests in this package.

    Raises:
        ResMLPError: the file cannot be read.
    """
    try:
        with path.open("rb") as file:
            return f"{algorithm}:{hashlib.file_digest(file, algorithm).hexdigest()}"
    except OSError as error:
        raise unreadable(path, error) from error


def unreadable(path: Path, error: OSError) -> ResMLPError:
    """The error for a file that cannot be read."""
    return ResMLPError(f"{path} cannot be read ({error.strerror or error}); check its name and permissions")


def lines_digest(lines: Sequence[str]) -> str:
    """The sha256 of lines, each ended by a line feed, as "sha256:HEXADECIMAL"."""
    digest = hashlib.sha256()
    for line in lines:
        digest.update(f"{line}\n".encode("utf-8", "replace"))
    return f"sha256:{digest.hexdigest()}"
