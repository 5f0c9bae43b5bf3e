"""Cleaned training text on disk, in blocks, so that a corpus of any size is processed in constant memory."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data_prep.formats.text_files import Pair, read_line_pairs
from resmlp_mt.common.files import open_whole_file


def write_array(path: Path, array: NDArray[Any]) -> None:
    """Writes a NumPy file atomically."""
    with open_whole_file(path) as file:
        np.save(file, array)


@dataclass(frozen=True)
class Block:
    """The remaining pairs of consecutive lines of one part.

    Attributes:
        folder: the folder of its files.
        number: its number, which orders all blocks.
        part: name of the part.
        weight: weight of the part.
    """

    folder: Path
    number: int
    part: str
    weight: float

    def path(self, ending: str) -> Path:
        """The block's file with an ending: "src", "tgt", "keys.npy", "lines.npy", "reason.npy" or "copies.npy"."""
        return self.folder / f"{self.number:06d}.{ending}"

    def keys(self) -> NDArray[np.uint64]:
        """The keys of its pairs, `(pairs, 4)`, mapped from disk."""
        keys: NDArray[np.uint64] = np.load(self.path("keys.npy"), mmap_mode="r")
        return keys

    def lines(self) -> NDArray[np.int64]:
        """The line numbers of its pairs in the part, `(pairs,)`, mapped from disk."""
        lines: NDArray[np.int64] = np.load(self.path("lines.npy"), mmap_mode="r")
        return lines

    def reasons(self) -> NDArray[np.uint8]:
        """Why each pair was left out by `selection`, 0 for a kept one, `(pairs,)`."""
        reasons: NDArray[np.uint8] = np.load(self.path("reason.npy"))
        return reasons

    def copies(self) -> NDArray[np.uint8]:
        """How often each pair occurs in the training data, `(pairs,)`."""
        copies: NDArray[np.uint8] = np.load(self.path("copies.npy"))
        return copies

    def pairs(self) -> Iterator[Pair]:
        """The pairs, in order."""
        return read_line_pairs(self.path("src"), self.path("tgt"))


def training_chunks(blocks: list[Block], shard: int, shards: int, size: int) -> Iterator[list[Pair]]:
    """Yields the training pairs of one shard, each as often as it was selected.

    Pairs are assigned to the shards in turn, so that each shard holds a representative mixture of all corpora.

    Args:
        blocks: all blocks, after selection.
        shard: number of the shard, from 0.
        shards: number of shards.
        size: pairs in a chunk.

    Yields:
        Chunks of `size` pairs; the last one may be shorter.
    """
    pairs = _shard_pairs(blocks, shard, shards)
    while chunk := list(islice(pairs, size)):
        yield chunk


def _shard_pairs(blocks: list[Block], shard: int, shards: int) -> Iterator[Pair]:
    count = 0
    for block in blocks:
        for pair, copies in zip(block.pairs(), block.copies().tolist(), strict=True):
            for _ in range(copies):
                if count % shards == shard:
                    yield pair
                count += 1
