"""Batching by length within a memory limit. A batch that still runs out of memory is split in halves."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import torch

from resmlp_mt.common.errors import ResMLPError, require_whole_number

Item = TypeVar("Item")
Result = TypeVar("Result")

_FLOAT_BYTES = 4
_LOGITS_COPIES = 3  # logits, log-probabilities, and the top-k's working memory
_MAX_LIMIT = 1_000_000_000
MIN_BEAM_LIMIT = 16  # a beam of this size is allowed with any memory limit


@dataclass(frozen=True)
class MemoryModel:
    """An estimate of the memory that the search of a sentence needs.

    Attributes:
        beam_size: rows of the sentence.
        vocab_size: size of the target vocabulary.
        dim: model dim.
        layers: number of decoder layers.
        max_target_len: maximum target length.
    """

    beam_size: int
    vocab_size: int
    dim: int
    layers: int
    max_target_len: int

    def sentence_bytes(self, src_len: int) -> int:
        """Bytes per sentence in a batch whose sources have `src_len` sub-words."""
        target_len = min(self.max_target_len, 2 * src_len + 16)  # ordinary translations are not longer
        history = self.beam_size * target_len * self.layers * self.dim
        memory = src_len * self.dim * (2 * self.layers + 8)
        return _FLOAT_BYTES * (_LOGITS_COPIES * self.beam_size * self.vocab_size + history + memory)


@dataclass(frozen=True)
class BatchLimits:
    """Limits of a batch.

    Attributes:
        sentences: maximum number of sentences.
        megabytes: maximum memory in MB, as estimated by `MemoryModel`.
    """

    sentences: int = 64
    megabytes: int = 1024

    def __post_init__(self) -> None:
        require_whole_number("the batch size", self.sentences, 1, _MAX_LIMIT)
        require_whole_number("the memory of a batch in MB", self.megabytes, 1, _MAX_LIMIT)


def require_beam_fits(memory: MemoryModel, src_len: int, limits: BatchLimits) -> None:
    """Checks that one sentence with this beam size fits the memory limit of a batch.

    Args:
        memory: the estimate for a sentence.
        src_len: sub-words of the longest source.
        limits: of a batch.

    Raises:
        ResMLPError: if it does not; names the largest beam size that fits.
    """
    without_beam = replace(memory, beam_size=0).sentence_bytes(src_len)
    per_beam = replace(memory, beam_size=1).sentence_bytes(src_len) - without_beam
    max_beam_size = max((limits.megabytes * 2**20 - without_beam) // per_beam, MIN_BEAM_LIMIT)
    if memory.beam_size > max_beam_size:
        raise ResMLPError(
            f"beam_size {memory.beam_size} is too large: with {limits.megabytes} MB per batch and a source of "
            f"{src_len} sub-words it can be at most {max_beam_size}; lower it, or raise --batch-memory"
        )


def make_batches(lengths: Sequence[int], limits: BatchLimits, memory: MemoryModel) -> list[list[int]]:
    """Groups sentences of similar length.

    Args:
        lengths: of each sentence, in sub-words.
        limits: of a batch; a single sentence that exceeds them is a batch of its own.
        memory: the estimate for a sentence.

    Returns:
        For each batch, indices into `lengths`. The longest sentences come first, so that a lack of memory shows early.
    """
    batches: list[list[int]] = []
    for index in sorted(range(len(lengths)), key=lambda index: -lengths[index]):
        longest = lengths[batches[-1][0]] if batches else 0
        max_sentences = limits.megabytes * 2**20 // max(memory.sentence_bytes(longest), 1)
        if not batches or len(batches[-1]) >= min(limits.sentences, max(max_sentences, 1)):
            batches.append([])
        batches[-1].append(index)
    return batches


def run_halving(items: Sequence[Item], run: Callable[[Sequence[Item]], list[Result]]) -> list[Result]:
    """Runs a batch. If memory runs out, runs its halves one after the other, recursively.

    Args:
        items: the batch.
        run: returns a result for each item.

    Raises:
        ResMLPError: if memory runs out for a single item.
    """
    try:
        return run(items)
    except (MemoryError, RuntimeError) as error:
        if not _is_out_of_memory(error):
            raise
        if len(items) == 1:
            raise ResMLPError("out of memory even for one sentence; lower the beam size") from None
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    middle = len(items) // 2
    return run_halving(items[:middle], run) + run_halving(items[middle:], run)


def _is_out_of_memory(error: BaseException) -> bool:
    # On a CPU torch raises a plain RuntimeError, which only its message identifies.
    messages = ("can't allocate memory", "not enough memory", "std::bad_alloc")
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or any(text in str(error) for text in messages)
