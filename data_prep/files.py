"""Files that are either whole or absent, as `resmlp_mt.common.files` writes them, and what else data sets need."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from resmlp_mt.common import files


@contextmanager
def whole_file(path: Path) -> Iterator[IO[bytes]]:
    """Opens a file for writing bytes that appears under its name only when everything has been written.

    Args:
        path: the final name; its folder is made when it is missing.

    Yields:
        The open temporary file, which lies in the same folder.

    Raises:
        ResMLPError: when the disk is full or the folder cannot be written; nothing is left behind.
    """
    with files.whole_file(path) as partial, partial.open("wb") as file:
        yield file


def write_text(path: Path, text: str) -> None:
    """Writes a whole UTF-8 text file; line ends are written as they are."""
    with whole_file(path) as file:
        file.write(text.encode())


def write_json(path: Path, value: Any) -> None:
    """Writes a whole JSON file, indented for human readers."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def read_json(path: Path) -> Any:
    """Reads a JSON file that this package has written."""
    return json.loads(path.read_text(encoding="utf-8"))


def file_digest(path: Path, algorithm: str = "sha256") -> str:
    """Hashes a file in constant memory.

    Args:
        path: the file.
        algorithm: a name that `hashlib` knows.

    Returns:
        "ALGORITHM:HEXADECIMAL", the form in which digests are written everywhere in this package.
    """
    with path.open("rb") as file:
        return f"{algorithm}:{hashlib.file_digest(file, algorithm).hexdigest()}"


def whole_array(path: Path, array: NDArray[Any]) -> None:
    """Writes a whole NumPy file."""
    with whole_file(path) as file:
        np.save(file, array)
