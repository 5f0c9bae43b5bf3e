"""Which continuations of the beams come into question in a step: the best ones, with or without a fee for siblings."""

from __future__ import annotations

from typing import NamedTuple, Protocol

import torch
from torch import Tensor


class Candidates(NamedTuple):
    """Continuations of each sentence's beams, best first: all (sentences, candidates).

    Attributes:
        scores: sums of log-probabilities.
        tokens: what is appended.
        beams: to which beam of the sentence.
    """

    scores: Tensor
    tokens: Tensor
    beams: Tensor


class Selector(Protocol):
    """Finds the candidates of a step. What it remembers of sentences and beams follows the search by two calls."""

    def select(self, log_probs: Tensor, scores: Tensor) -> Candidates:
        """Finds candidates.

        Args:
            log_probs: of the next token, (sentences, beams, vocab_size); in the first step, where the beams of a
                sentence do not differ yet, of one beam alone.
            scores: of the beams, (sentences, beams).
        """

    def keep_sentences(self, sentences: Tensor) -> None:
        """Only these sentences, (kept,), go on."""

    def keep_candidates(self, chosen: Tensor) -> None:
        """Beam b goes on with candidate `chosen[:, b]`, (sentences, beam_size)."""


def top_of_rows(values: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The `count` largest values of each row and their columns, both (rows, count), largest first: (rows, columns) in.

    On a CPU a search through tens of thousands of columns costs more than a small decoder. Reading them as a
    few blocks, whose element-wise maximum is cheap, finds the few groups of columns that can hold a top value.
    """
    rows, columns = values.shape
    blocks = 32
    group_count = columns // blocks
    if values.device.type != "cpu" or group_count < 4 * count:
        return values.topk(count, dim=1)
    grouped = values[:, : blocks * group_count].unflatten(1, (blocks, group_count))
    groups = grouped.amax(1).topk(count, dim=1, sorted=False).indices  # (rows, count)
    inside = grouped.gather(2, groups[:, None].expand(rows, blocks, count)).flatten(1)
    starts = torch.arange(blocks, device=values.device)[:, None] * group_count
    places = (groups[:, None] + starts).flatten(1)
    rest = torch.arange(blocks * group_count, columns, device=values.device).expand(rows, -1)
    top = torch.cat([inside, values[:, blocks * group_count :]], dim=1).topk(count, dim=1)
    return top.values, torch.cat([places, rest], dim=1).gather(1, top.indices)


def best_continuations(log_probs: Tensor, scores: Tensor, count: int) -> Candidates:
    """The best `count` continuations of each sentence, fewer where there are no more.

    Args:
        log_probs: (sentences, beams, vocab_size).
        scores: (sentences, beams).
        count: how many.
    """
    sentences, beams, vocab_size = log_probs.shape
    of_row = min(count, vocab_size)
    values, tokens = top_of_rows(log_probs.flatten(0, 1), of_row)
    totals = (values.view(sentences, beams, of_row) + scores[..., None]).flatten(1)
    # The padding is never chosen: hence one less than all.
    top = totals.topk(min(count, beams * vocab_size - 1, totals.size(1)), dim=1)
    beam_of = top.indices.div(of_row, rounding_mode="floor")
    return Candidates(top.values, tokens.view(sentences, -1).gather(1, top.indices), beam_of)


class BestSelector:
    """Beam search: twice as many candidates as beams, so that enough remain when half of them end the sentence."""

    def __init__(self, beam_size: int) -> None:
        self._count = 2 * beam_size

    def select(self, log_probs: Tensor, scores: Tensor) -> Candidates:
        """See `Selector`."""
        return best_continuations(log_probs, scores, self._count)

    def keep_sentences(self, sentences: Tensor) -> None:
        """Nothing to do."""

    def keep_candidates(self, chosen: Tensor) -> None:
        """Nothing to do."""


class SiblingSelector(BestSelector):
    """Beam search in which the n-th best continuation of a beam pays n penalties (Li and Jurafsky 2016)."""

    def __init__(self, beam_size: int, penalty: float) -> None:
        super().__init__(beam_size)
        self._penalty = penalty
        self._is_first = True

    def select(self, log_probs: Tensor, scores: Tensor) -> Candidates:
        """See `Selector`."""
        if self._is_first:
            self._is_first = False
            return super().select(log_probs, scores)
        sentences, beams, vocab_size = log_probs.shape
        of_row = min(self._count, vocab_size)
        values, tokens = top_of_rows(log_probs.flatten(0, 1), of_row)
        fees = self._penalty * torch.arange(1, of_row + 1, dtype=values.dtype, device=values.device)
        totals = (values.view(sentences, beams, of_row) + scores[..., None] - fees).flatten(1)
        top = totals.topk(min(self._count, totals.size(1)), dim=1)
        beam_of = top.indices.div(of_row, rounding_mode="floor")
        return Candidates(top.values, tokens.view(sentences, -1).gather(1, top.indices), beam_of)
