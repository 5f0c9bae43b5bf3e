"""A selector that samples from the model's distribution."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from resmlp_mt.translation.search.selectors import Candidates
from resmlp_mt.translation.search.settings import SearchSettings
from resmlp_mt.translation.search.step import SearchStep


class SamplingSelector:
    """Samples one continuation of every beam.

    Args:
        settings: the search options.
        beam_size: number of beams.
        seeds: for each sentence of the original batch, the seed of its own random number generator.
        device: of the log-probabilities.
    """

    def __init__(self, settings: SearchSettings, beam_size: int, seeds: Sequence[int], device: torch.device) -> None:
        self._settings, self._beam_size = settings, beam_size
        self._generators = [torch.Generator(device).manual_seed(seed) for seed in seeds]

    def select(self, log_probs: Tensor, scores: Tensor, step: SearchStep) -> Candidates:
        """See `Selector`."""
        is_first = step.index == 0
        samples = [
            self._sample(of_sentence, self._generators[sentence], self._beam_size if is_first else 1)
            for of_sentence, sentence in zip(log_probs, step.sentences, strict=True)
        ]
        tokens, sampled = (torch.stack(parts) for parts in zip(*samples, strict=True))  # both (sentences, beam_size)
        beams = torch.arange(self._beam_size, device=scores.device).expand(len(scores), -1)
        return Candidates(sampled + scores, tokens, torch.zeros_like(beams) if is_first else beams)

    def _sample(self, log_probs: Tensor, generator: torch.Generator, samples: int) -> tuple[Tensor, Tensor]:
        """Samples for every beam of one sentence.

        Args:
            log_probs: (beams, vocab_size).
            generator: of the sentence.
            samples: number of samples for each beam.

        Returns:
            Tokens and their log-probabilities, both (beams * samples,).
        """
        if self._settings.sampling_topp > 0:
            probabilities, tokens = _nucleus(log_probs.exp(), self._settings.sampling_topp)
        elif self._settings.sampling_topk > 0:
            values, tokens = log_probs.topk(min(self._settings.sampling_topk, log_probs.size(1)), dim=1)
            probabilities = values.exp()
        else:
            probabilities, tokens = log_probs.exp(), None
        indices = torch.multinomial(probabilities, samples, replacement=True, generator=generator)
        sampled = probabilities.gather(1, indices).log()
        return (indices if tokens is None else tokens.gather(1, indices)).flatten(), sampled.flatten()

    def reorder(self, chosen: Tensor, sentences: Sequence[int]) -> None:
        """Keeps no state of beams."""


def _nucleus(probabilities: Tensor, top_p: float) -> tuple[Tensor, Tensor]:
    """For each row, the fewest most probable tokens whose probabilities sum to at least `top_p`.

    Source: Holtzman et al. 2020 (arXiv:1904.09751), section 3.1.

    Args:
        probabilities: (beams, vocab_size).
        top_p: between 0 and 1.

    Returns:
        Probabilities, 0 outside the nucleus, and tokens: both (beams, size of the largest nucleus).
    """
    probabilities, tokens = probabilities.sort(descending=True)
    last = probabilities.cumsum(1).lt(top_p).sum(1, keepdim=True)
    ranks = torch.arange(tokens.size(1), device=tokens.device)
    width = min(int(last.max()) + 1, tokens.size(1))
    return probabilities.masked_fill(ranks > last, 0.0)[:, :width], tokens[:, :width]
