"""Selects the training pairs among the cleaned ones: no duplicates, no pair of valid or test, weighted corpora.

Only the keys of the pairs are used, in buckets, so that memory does not grow with the corpus.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from data_prep.formats.blocks import Block
from data_prep.keys import NEAR_PAIR, PAIR, SRC, TGT

DUPLICATE = "duplicate"
NEAR_DUPLICATE = "near duplicate"
LEAK = "occurs in valid or test"
HELD_OUT = "set aside for valid or test"
RULES = (DUPLICATE, NEAR_DUPLICATE, LEAK, HELD_OUT)
# The values of `Block.reasons`: 0 for a kept pair, otherwise the index of the rule in RULES, from 1.
REASON = {rule: number for number, rule in enumerate(RULES, 1)}

# Sorting one bucket takes about 40 bytes per key.
KEYS_PER_BUCKET = 8_000_000
MAX_COPIES = 255
_FRACTION_BITS = 53


class Selection:
    """The reasons why pairs are left out.

    Args:
        blocks: all blocks.

    Attributes:
        reasons: a value of `REASON` for each pair of all blocks, 0 for kept ones, `(pairs,)`.
    """

    def __init__(self, blocks: Sequence[Block]) -> None:
        self._blocks = blocks
        self._sizes = [len(block.keys()) for block in blocks]
        self._starts = np.concatenate([[0], np.cumsum(self._sizes)]).astype(np.int64)
        self.reasons = np.zeros(int(self._starts[-1]), np.uint8)

    def remove_repeats(self, column: int, rule: str) -> None:
        """Keeps the first of the remaining pairs that share a key.

        Args:
            column: column of the key table.
            rule: the reason to record.
        """
        buckets = max(1, -(-len(self.reasons) // KEYS_PER_BUCKET))
        for bucket in range(buckets):
            keys, indexes = self._bucket(column, bucket, buckets)
            _, first = np.unique(keys, return_index=True)
            repeats = np.ones(len(keys), bool)
            repeats[first] = False
            self.reasons[indexes[repeats]] = REASON[rule]

    def _bucket(self, column: int, bucket: int, buckets: int) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
        keys, indexes = [], []
        for block, start in zip(self._blocks, self._starts, strict=False):
            column_keys = np.ascontiguousarray(block.keys()[:, column])
            left = self.reasons[start : start + len(column_keys)] == 0
            chosen = np.flatnonzero(left & (column_keys % np.uint64(buckets) == np.uint64(bucket)))
            keys.append(column_keys[chosen])
            indexes.append(chosen + start)
        return np.concatenate(keys), np.concatenate(indexes)

    def remove_leaks(self, src_keys: NDArray[np.uint64], tgt_keys: NDArray[np.uint64]) -> None:
        """Removes the remaining pairs whose source or target occurs in a held-out split.

        Args:
            src_keys: keys of the held-out sources' normal forms, `(sentences,)`.
            tgt_keys: keys of the held-out targets' normal forms, `(sentences,)`.
        """
        for block, start in zip(self._blocks, self._starts, strict=False):
            keys = block.keys()
            leaked = np.isin(keys[:, SRC], src_keys) | np.isin(keys[:, TGT], tgt_keys)
            reasons = self.reasons[start : start + len(keys)]
            reasons[leaked & (reasons == 0)] = REASON[LEAK]

    def set_aside(self, count: int, seed: int) -> NDArray[np.int64]:
        """Chooses pairs among the remaining ones, pseudo-randomly but repeatably, and removes them.

        Args:
            count: number of pairs.
            seed: another seed chooses other pairs.

        Returns:
            Their indexes among all pairs, ascending, `(count,)`.
        """
        mixer = np.random.default_rng(seed).integers(1, 1 << 62, dtype=np.uint64) | np.uint64(1)
        ranks, indexes = np.zeros(0, np.uint64), np.zeros(0, np.int64)
        for block, start in zip(self._blocks, self._starts, strict=False):
            left = np.flatnonzero(self.reasons[start : start + len(block.keys())] == 0)
            ranks = np.concatenate([ranks, block.keys()[left, NEAR_PAIR] * mixer])
            indexes = np.concatenate([indexes, left + start])
            lowest = np.argsort(ranks, kind="stable")[:count]
            ranks, indexes = ranks[lowest], indexes[lowest]
        indexes = np.sort(indexes)
        self.reasons[indexes] = REASON[HELD_OUT]
        return indexes

    def keys_at(self, indexes: NDArray[np.int64]) -> NDArray[np.uint64]:
        """The keys of some pairs, `(pairs, 4)`."""
        keys = [
            block.keys()[indexes[(indexes >= start) & (indexes < end)] - start]
            for block, start, end in zip(self._blocks, self._starts, self._starts[1:], strict=False)
        ]
        return np.concatenate(keys) if keys else np.zeros((0, 4), np.uint64)

    def left(self) -> int:
        """The number of remaining pairs."""
        return int(np.count_nonzero(self.reasons == 0))

    def write(self) -> tuple[Counter[str], dict[str, int]]:
        """Writes each block's `reason.npy` and `copies.npy`.

        Returns:
            The number of pairs removed by each rule, and the weighted number of training pairs of each part.
        """
        counts: Counter[str] = Counter()
        part_pairs: Counter[str] = Counter()
        for block, start, end in zip(self._blocks, self._starts, self._starts[1:], strict=False):
            reasons = self.reasons[start:end]
            copies = np.where(reasons == 0, _copies(block), 0).astype(np.uint8)
            np.save(block.path("reason.npy"), reasons)
            np.save(block.path("copies.npy"), copies)
            counts.update({rule: int(np.count_nonzero(reasons == number)) for rule, number in REASON.items()})
            part_pairs[block.part] += int(copies.sum())
        return counts, dict(part_pairs)


def _copies(block: Block) -> NDArray[np.int64]:
    whole = int(block.weight)
    # The pair's key serves as its random number, so that every run on every machine chooses the same pairs.
    draws = (block.keys()[:, PAIR] >> np.uint64(64 - _FRACTION_BITS)).astype(np.float64) / 2.0**_FRACTION_BITS
    return whole + (draws < block.weight - whole)
