"""Files that are whole or absent, and digests."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from resmlp_mt.errors import ResMLPError

PARTIAL_SUFFIX = ".partial"


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Gives a temporary name in the same folder, which becomes `path` when all is written, and vanishes otherwise.

    Raises:
        ResMLPError: when the file cannot be written.
    """
    partial = path.with_name(path.name + PARTIAL_SUFFIX)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield partial
        partial.replace(path)
    except OSError as error:
        raise ResMLPError(f"{path} must be writable, but is not ({error.strerror}); name another place") from error
    finally:
        with suppress(OSError):  # what hinders the writing may hinder this, too
            partial.unlink()


def write_text(path: Path, text: str) -> None:
    """Writes a whole UTF-8 text file; line ends are written as they are."""
    with whole_file(path) as partial:
        partial.write_bytes(text.encode("utf-8"))


def write_json(path: Path, value: Any) -> None:
    """Writes a whole JSON file, indented for human readers."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def file_digest(path: Path) -> str:
    """The sha256 of a file, as "sha256:HEXADECIMAL"."""
    with path.open("rb") as file:
        return f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"


def lines_digest(lines: Sequence[str]) -> str:
    """The sha256 of lines, each ended by a line feed, as "sha256:HEXADECIMAL"."""
    digest = hashlib.sha256()
    for line in lines:
        digest.update(f"{line}\n".encode("utf-8", "replace"))
    return f"sha256:{digest.hexdigest()}"
