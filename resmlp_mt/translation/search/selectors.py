"""Selectors choose the candidates of a search step: the protocol, and top-k selection for beam search."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from resmlp_mt.translation.search.step import SearchStep


class Candidates(NamedTuple):
    """Candidate continuations of each sentence, best first; all fields are (sentences, candidates).

    Attributes:
        scores: sums of log-probabilities.
        tokens: the token that is appended.
        beams: index of the beam that it is appended to, within the sentence.
    """

    scores: Tensor
    tokens: Tensor
    beams: Tensor


class Selector(Protocol):
    """Chooses the candidates of a step; what the kinds of search differ in.

    The search adds the candidates that end a sentence to its hypotheses and continues with the best `beam_size` others.
    A selector therefore returns at least `beam_size` candidates, and more if candidates that end should be replaced.
    State that belongs to a sentence is kept under its index in the original batch (`SearchStep.sentences`), since
    finished sentences leave the batch; state that belongs to a beam follows `reorder`.
    """

    def select(self, log_probs: Tensor, scores: Tensor, step: SearchStep) -> Candidates:
        """Chooses the candidates of all sentences.

        Args:
            log_probs: of the next token, (sentences, beams, vocab_size); may be changed in place. In the first step,
                where the beams of a sentence do not differ yet, there is one beam.
            scores: of the beams, (sentences, beams).
            step: the current step.
        """

    def reorder(self, chosen: Tensor, sentences: Sequence[int]) -> None:
        """Follows the beams after a step: beam b of a sentence continues from its candidate `chosen[:, b]`.

        Args:
            chosen: (sentences, beam_size).
            sentences: index in the original batch of each sentence that continues.
        """


class TopKSelector:
    """Beam search: the best candidates, twice as many as beams, so that enough remain if half of them end.

    Args:
        beam_size: number of beams.
        sibling_penalty: the n-th best continuation of the same beam pays this n times, from the second step on.
            Source: Li and Jurafsky 2016 (arXiv:1601.00372), as in fairseq's `--diversity-rate`.
    """

    def __init__(self, beam_size: int, sibling_penalty: float = 0.0) -> None:
        self._num_candidates = 2 * beam_size
        self._sibling_penalty = sibling_penalty

    def select(self, log_probs: Tensor, scores: Tensor, step: SearchStep) -> Candidates:
        """See `Selector`."""
        sibling_penalty = self._sibling_penalty if step.index > 0 else 0.0
        return top_candidates(log_probs, scores, self._num_candidates, sibling_penalty)

    def reorder(self, chosen: Tensor, sentences: Sequence[int]) -> None:
        """Keeps no state of beams."""


def top_candidates(log_probs: Tensor, scores: Tensor, count: int, sibling_penalty: float = 0.0) -> Candidates:
    """The best `count` candidates of each sentence, or all if there are fewer.

    Args:
        log_probs: of the next token, (sentences, beams, vocab_size).
        scores: of the beams, (sentences, beams).
        count: number of candidates.
        sibling_penalty: see `TopKSelector`.
    """
    sentences, beams, vocab_size = log_probs.shape
    per_beam = min(count, vocab_size)
    values, tokens = topk_of_rows(log_probs.flatten(0, 1), per_beam)
    totals = values.view(sentences, beams, per_beam) + scores[..., None]
    if sibling_penalty:
        ranks = torch.arange(1, per_beam + 1, dtype=values.dtype, device=values.device)
        totals = totals - sibling_penalty * ranks
    totals = totals.flatten(1)
    # One less than all continuations, so that padding is never chosen.
    top = totals.topk(min(count, beams * vocab_size - 1, totals.size(1)), dim=1)
    beam_of_candidate = top.indices.div(per_beam, rounding_mode="floor")
    return Candidates(top.values, tokens.view(sentences, -1).gather(1, top.indices), beam_of_candidate)


def topk_of_rows(values: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The `count` largest values of each row, largest first, and their indices.

    On a CPU, a top-k over tens of thousands of logits takes longer than a step of a small decoder. Therefore the row is
    split into 32 blocks; their element-wise maximum, which is cheap, gives the few positions that can hold a top value.

    Args:
        values: (rows, width).
        count: number of values, at most `width`.

    Returns:
        Values and indices, both (rows, count).
    """
    rows, width = values.shape
    num_blocks = 32
    block_size = width // num_blocks
    if values.device.type != "cpu" or block_size < 4 * count:
        return values.topk(count, dim=1)
    blocks = values[:, : num_blocks * block_size].unflatten(1, (num_blocks, block_size))  # type: ignore[no-untyped-call]
    positions = blocks.amax(1).topk(count, dim=1, sorted=False).indices  # (rows, count), within a block
    candidates = blocks.gather(2, positions[:, None].expand(rows, num_blocks, count)).flatten(1)
    block_starts = torch.arange(num_blocks, device=values.device)[:, None] * block_size
    candidate_indices = (positions[:, None] + block_starts).flatten(1)
    remainder = torch.arange(num_blocks * block_size, width, device=values.device).expand(rows, -1)
    top = torch.cat([candidates, values[:, num_blocks * block_size :]], dim=1).topk(count, dim=1)
    return top.values, torch.cat([candidate_indices, remainder], dim=1).gather(1, top.indices)
