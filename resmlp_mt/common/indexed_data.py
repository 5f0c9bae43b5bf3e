"""The two files in which fairseq keeps a binarised text: token ids in PREFIX.bin, sentence sizes in PREFIX.idx.

Source: the format "mmap" of fairseq/data/indexed_dataset.py, version 1. PREFIX.idx holds the magic `MMIDIDX`, the
version, a code for the id type, the number of sentences, their sizes in ids (int32) and where they start in PREFIX.bin
in bytes (int64), little-endian. Written here with NumPy alone, byte for byte as fairseq would.
"""

from __future__ import annotations

import struct
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resmlp_mt.common.errors import ResMLPError
from resmlp_mt.common.files import open_whole_file

_MAGIC = b"MMIDIDX\x00\x00"
_HEADER = struct.Struct("<QBQ")  # version, code of the id type, number of sentences
_VERSION = 1
_TYPE_CODES: dict[np.dtype[Any], int] = {np.dtype(np.uint16): 8, np.dtype(np.uint32): 9, np.dtype(np.int64): 5}
# fairseq's own border, a little under 2^16.
_LARGEST_UINT16_VOCABULARY = 65500


def id_type(vocab_size: int) -> np.dtype:
    """The smallest type in which fairseq stores the ids of a vocabulary."""
    return np.dtype(np.uint16 if vocab_size < _LARGEST_UINT16_VOCABULARY else np.uint32)


def bin_path(prefix: Path) -> Path:
    """The file of token ids that belongs to a prefix such as `DIR/train.en-de.en`."""
    return prefix.with_name(prefix.name + ".bin")


def idx_path(prefix: Path) -> Path:
    """The file of sentence sizes that belongs to a prefix such as `DIR/train.en-de.en`."""
    return prefix.with_name(prefix.name + ".idx")


class IndexedWriter:
    """Writes one binarised text; both files appear when the `with` block ends without an error.

    Args:
        prefix: path without `.bin` and `.idx`.
        vocab_size: number of ids, which decides their type.
    """

    def __init__(self, prefix: Path, vocab_size: int) -> None:
        self.dtype = id_type(vocab_size)
        self._prefix = prefix
        self._sizes: list[NDArray[np.int32]] = []
        self._files = ExitStack()

    def __enter__(self) -> IndexedWriter:
        # Both are opened first, so that leaving the block renames the ids before the sizes that describe them.
        self._idx = self._files.enter_context(open_whole_file(idx_path(self._prefix)))
        self._bin = self._files.enter_context(open_whole_file(bin_path(self._prefix)))
        return self

    def add(self, token_ids: NDArray[np.integer], sizes: NDArray[np.integer]) -> None:
        """Appends sentences.

        Args:
            token_ids: the ids of all sentences one after another, `(sum of sizes,)`.
            sizes: the number of ids of each sentence, `(sentences,)`.
        """
        self._bin.write(np.ascontiguousarray(token_ids, dtype=self.dtype).data)
        self._sizes.append(np.ascontiguousarray(sizes, dtype=np.int32))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        try:
            if error is None:
                self._write_index()
        except BaseException as failure:
            self._files.__exit__(type(failure), failure, failure.__traceback__)
            raise
        return self._files.__exit__(kind, error, trace)

    def _write_index(self) -> None:
        sizes = np.concatenate(self._sizes) if self._sizes else np.zeros(0, np.int32)
        starts = np.zeros(len(sizes), np.int64)
        np.cumsum(sizes[:-1], out=starts[1:])
        starts *= self.dtype.itemsize
        self._idx.write(_MAGIC + _HEADER.pack(_VERSION, _TYPE_CODES[self.dtype], len(sizes)))
        self._idx.write(sizes.data)
        self._idx.write(starts.data)


def read_sizes(prefix: Path) -> tuple[NDArray[np.int32], np.dtype]:
    """Reads PREFIX.idx.

    Args:
        prefix: path without `.bin` and `.idx`.

    Returns:
        The number of ids of each sentence, end-of-sentence included, `(sentences,)`, and the type of the ids.

    Raises:
        ResMLPError: when the file is missing or is not in fairseq's format.
    """
    path = idx_path(prefix)
    try:
        with path.open("rb") as file:
            header = file.read(len(_MAGIC) + _HEADER.size)
    except FileNotFoundError as error:
        raise ResMLPError(f"{path} must exist, but is missing; run `python -m data_prep` for this folder") from error
    if len(header) < len(_MAGIC) + _HEADER.size or not header.startswith(_MAGIC):
        raise ResMLPError(f"{path} must be an index of binarised text, but is something else; prepare the data again")
    _, code, sentences = _HEADER.unpack(header[len(_MAGIC) :])
    dtype = next(dtype for dtype, known in _TYPE_CODES.items() if known == code)
    return np.fromfile(path, dtype=np.int32, count=sentences, offset=len(header)), dtype


def read_token_ids(prefix: Path) -> NDArray[np.integer]:
    """Maps PREFIX.bin into memory: the ids of all sentences one after another, `(sum of sizes,)`."""
    path, (_, dtype) = bin_path(prefix), read_sizes(prefix)
    return np.memmap(path, dtype=dtype, mode="r") if path.stat().st_size else np.zeros(0, dtype)
