"""Batches by length within a memory budget, halved when memory runs out all the same."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import torch

from resmlp_mt.common.errors import ResMLPError, require, require_whole_number

Item = TypeVar("Item")
Result = TypeVar("Result")

_FLOAT_BYTES = 4
# Logits, their log-probabilities, and what finding the best of them takes.
_COPIES_OF_LOGITS = 3
_LARGEST_LIMIT = 1_000_000_000
ORDINARY_BEAM = 16  # no batch memory is too small for it


@dataclass(frozen=True)
class MemoryModel:
    """What a search of one sentence takes, roughly.

    Attributes:
        beam_size: rows of the sentence.
        vocab_size: target tokens.
        dim: channels.
        layers: of the decoder.
        max_target_len: of the search.
    """

    beam_size: int
    vocab_size: int
    dim: int
    layers: int
    max_target_len: int

    def sentence_bytes(self, src_len: int) -> int:
        """Memory for a source of `src_len` sub-words in a batch of such sources."""
        target_len = min(self.max_target_len, 2 * src_len + 16)  # beyond that no ordinary translation goes
        history = self.beam_size * target_len * self.layers * self.dim
        memory = src_len * self.dim * (2 * self.layers + 8)
        return _FLOAT_BYTES * (_COPIES_OF_LOGITS * self.beam_size * self.vocab_size + history + memory)


@dataclass(frozen=True)
class BatchLimits:
    """How large batches may become.

    Attributes:
        sentences: most sentences of a batch.
        megabytes: most memory of a batch, by `MemoryModel`.
    """

    sentences: int = 64
    megabytes: int = 1024

    def __post_init__(self) -> None:
        require_whole_number("the batch size", self.sentences, 1, _LARGEST_LIMIT)
        require_whole_number("the memory of a batch in MB", self.megabytes, 1, _LARGEST_LIMIT)


def require_beam_fits(memory: MemoryModel, src_len: int, limits: BatchLimits) -> None:
    """Refuses a beam that is too wide for the memory of a batch, even for one sentence in it.

    Args:
        memory: what a sentence takes.
        src_len: sub-words of the longest source.
        limits: of a batch.

    Raises:
        ResMLPError: says how wide a beam may be.
    """
    without_beam = replace(memory, beam_size=0).sentence_bytes(src_len)
    of_each = replace(memory, beam_size=1).sentence_bytes(src_len) - without_beam
    widest = max((limits.megabytes * 2**20 - without_beam) // of_each, ORDINARY_BEAM)
    rule = f"at most {widest} with {limits.megabytes} MB for a batch and a source of {src_len} sub-words"
    remedy = "lower it, or give a batch more memory (--batch-memory)"
    require(memory.beam_size <= widest, "beam_size", rule, memory.beam_size, remedy)


def make_batches(lengths: Sequence[int], limits: BatchLimits, memory: MemoryModel) -> list[list[int]]:
    """Puts sentences of like length together.

    Args:
        lengths: of each sentence, in sub-words.
        limits: of a batch; a sentence that is beyond them by itself gets a batch of its own.
        memory: what a sentence takes.

    Returns:
        The places in `lengths` of each batch, longest sentences first, so that memory runs out early if at all.
    """
    batches: list[list[int]] = []
    for place in sorted(range(len(lengths)), key=lambda place: -lengths[place]):
        longest = lengths[batches[-1][0]] if batches else 0
        room = limits.megabytes * 2**20 // max(memory.sentence_bytes(longest), 1)
        if not batches or len(batches[-1]) >= min(limits.sentences, max(room, 1)):
            batches.append([])
        batches[-1].append(place)
    return batches


def run_halving(items: Sequence[Item], run: Callable[[Sequence[Item]], list[Result]]) -> list[Result]:
    """Runs a batch; when memory runs out, its first half and then its second, and so on.

    Args:
        items: the batch.
        run: gives a result for each item.

    Raises:
        ResMLPError: when the memory does not suffice for a single item.
    """
    try:
        return run(items)
    except (MemoryError, RuntimeError) as error:
        if not _is_out_of_memory(error):
            raise
        if len(items) == 1:
            raise ResMLPError("the memory must suffice for one sentence, but does not; lower the beam size") from None
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    middle = len(items) // 2
    return run_halving(items[:middle], run) + run_halving(items[middle:], run)


def _is_out_of_memory(error: BaseException) -> bool:
    # On a CPU torch raises a plain RuntimeError, known by its words alone.
    words = ("can't allocate memory", "not enough memory", "std::bad_alloc")
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or any(word in str(error) for word in words)
