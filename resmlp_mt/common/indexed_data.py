"""The codec of fairseq's binarised text: token ids in PREFIX.bin, sentence sizes in PREFIX.idx.

Source: the format "mmap" of fairseq/data/indexed_dataset.py, version 1. PREFIX.idx holds the magic `MMIDIDX`, the
version, a code for the id type, the number of sentences, their sizes in ids (int32) and their offsets in PREFIX.bin in
bytes (int64), all little-endian. It is written here with NumPy alone, byte for byte as fairseq writes it.
"""

from __future__ import annotations

import struct
from contextlib import ExitStack
from dataclasses import dataclass
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
_BYTES_PER_SENTENCE = 4 + 8  # size and offset
_TYPE_CODES: dict[np.dtype[Any], int] = {
    np.dtype(np.int32): 4,
    np.dtype(np.int64): 5,
    np.dtype(np.uint16): 8,
    np.dtype(np.uint32): 9,
}
_LARGEST_UINT16_VOCABULARY = 65500  # fairseq's own limit, a little under 2^16


@dataclass(frozen=True)
class IndexedText:
    """One side of a binarised split.

    Attributes:
        sizes: tokens of each sentence, its end included, `(sentences,)`.
        tokens: ids of all sentences one after another, mapped from disk, `(sum of sizes,)`.
    """

    sizes: NDArray[np.int32]
    tokens: NDArray[np.integer]


def id_type(vocab_size: int) -> np.dtype[Any]:
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
        # In this order leaving the block renames the ids before the sizes that describe them.
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


def read_sizes(prefix: Path) -> NDArray[np.int32]:
    """Reads the sizes of the sentences from PREFIX.idx.

    Args:
        prefix: path without `.bin` and `.idx`.

    Returns:
        The number of ids of each sentence, its end included, `(sentences,)`.

    Raises:
        ResMLPError: the file is missing, damaged, or not in fairseq's format.
    """
    return _read_index(prefix)[0]


def read_indexed(prefix: Path) -> IndexedText:
    """Reads PREFIX.idx and maps PREFIX.bin into memory.

    Args:
        prefix: path without `.bin` and `.idx`.

    Raises:
        ResMLPError: a file is missing, damaged, or not in fairseq's format.
    """
    sizes, dtype = _read_index(prefix)
    path, length = bin_path(prefix), int(sizes.sum(dtype=np.int64))
    try:
        tokens: NDArray[np.integer] = (
            np.memmap(path, dtype, mode="r", shape=(length,)) if length else np.zeros(0, dtype)
        )
    except FileNotFoundError as error:
        raise _missing(path) from error
    except (OSError, ValueError) as error:
        raise ResMLPError(f"{path} does not match {idx_path(prefix)} ({error}); prepare the data again") from error
    return IndexedText(sizes, tokens)


def _read_index(prefix: Path) -> tuple[NDArray[np.int32], np.dtype[Any]]:
    path = idx_path(prefix)
    try:
        with path.open("rb") as file:
            header = file.read(len(_MAGIC) + _HEADER.size)
            if len(header) < len(_MAGIC) + _HEADER.size or not header.startswith(_MAGIC):
                raise ValueError("it is not in fairseq's mmap format")
            _, code, sentences = _HEADER.unpack(header[len(_MAGIC) :])
            dtype = next((dtype for dtype, known in _TYPE_CODES.items() if known == code), None)
            if dtype is None:
                raise ValueError(f"its id type {code} is unknown")
            if path.stat().st_size < len(header) + sentences * _BYTES_PER_SENTENCE:
                raise ValueError("it is truncated")
            sizes = np.fromfile(file, np.int32, sentences)
    except FileNotFoundError as error:
        raise _missing(path) from error
    except (OSError, ValueError) as error:
        raise ResMLPError(f"{path} is not an index of binarised text: {error}; prepare the data again") from error
    return sizes, dtype


def _missing(path: Path) -> ResMLPError:
    return ResMLPError(f"the binarised text {path} is missing; prepare the data with `python -m data_prep`")
