"""Candidates that are drawn from the model's distribution."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
from torch import Tensor

from resmlp_mt.translation.search.selectors import Candidates
from resmlp_mt.translation.search.settings import SearchSettings


class SamplingSelector:
    """Draws one continuation of every beam.

    Args:
        settings: how.
        beam_size: of the search.
        seeds: of each sentence's own stream of random numbers.
        device: of the log-probabilities.
    """

    def __init__(self, settings: SearchSettings, beam_size: int, seeds: Sequence[int], device: torch.device) -> None:
        self._settings, self._beam_size = settings, beam_size
        self._streams = [torch.Generator(device).manual_seed(seed) for seed in seeds]
        self._is_first = True

    def select(self, log_probs: Tensor, scores: Tensor) -> Candidates:
        """See `Selector`."""
        draws = self._beam_size if self._is_first else 1
        self._is_first = False
        tokens, chosen = zip(*map(self._draw, log_probs, self._streams, itertools.repeat(draws)), strict=True)
        beams = torch.arange(self._beam_size, device=scores.device).expand(len(scores), -1)
        return Candidates(
            torch.stack(chosen) + scores, torch.stack(tokens), torch.zeros_like(beams) if draws > 1 else beams
        )

    def _draw(self, log_probs: Tensor, stream: torch.Generator, draws: int) -> tuple[Tensor, Tensor]:
        """Draws for every beam of one sentence.

        Args:
            log_probs: (beams, vocab_size).
            stream: of random numbers.
            draws: of every beam.

        Returns:
            Tokens and their log-probabilities, both (beams * draws,).
        """
        if self._settings.sampling_topp > 0:
            probabilities, tokens = _fewest_with(log_probs.exp(), self._settings.sampling_topp)
        elif self._settings.sampling_topk > 0:
            values, tokens = log_probs.topk(min(self._settings.sampling_topk, log_probs.size(1)), dim=1)
            probabilities = values.exp()
        else:
            probabilities, tokens = log_probs.exp(), None
        drawn = torch.multinomial(probabilities, draws, replacement=True, generator=stream)
        chosen = probabilities.gather(1, drawn).log()
        return (drawn if tokens is None else tokens.gather(1, drawn)).flatten(), chosen.flatten()

    def keep_sentences(self, sentences: Tensor) -> None:
        """See `Selector`."""
        self._streams = [self._streams[sentence] for sentence in sentences.tolist()]

    def keep_candidates(self, chosen: Tensor) -> None:
        """Nothing to do."""


def _fewest_with(probabilities: Tensor, together: float) -> tuple[Tensor, Tensor]:
    """Keeps of each row the fewest tokens that have a probability of `together`; returns those and the tokens.

    Source: Holtzman et al. 2020 (arXiv:1904.09751), section 3.1.
    """
    probabilities, tokens = probabilities.sort(descending=True)
    last = probabilities.cumsum(1).lt(together).sum(1, keepdim=True)
    ranks = torch.arange(tokens.size(1), device=tokens.device)
    width = min(int(last.max()) + 1, tokens.size(1))
    return probabilities.masked_fill(ranks > last, 0.0)[:, :width], tokens[:, :width]
