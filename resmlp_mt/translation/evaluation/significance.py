"""Significance tests of the difference between two systems on a test set.

sacrebleu's tests count only differences strictly greater than the observed one. Two systems that differ in one sentence
or in none then seem significantly different (p = 1 / (trials + 1)). Here ties count, as in the definition of a p-value:
the probability of a difference at least as large.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

_SEED = 12345  # sacrebleu's, for reproducible tests
_BLOCK_TRIALS = 250
_ROUNDING = 1e-9


class PairedTests:
    """Paired tests of two systems, computed from the metric's statistics of each sentence.

    Args:
        metric: a metric of sacrebleu.
        system, baseline: raw translations.
        references: raw references.
    """

    def __init__(self, metric: Any, system: Sequence[str], baseline: Sequence[str], references: Sequence[str]) -> None:
        self._metric = metric
        self._system, self._baseline = (
            np.array(metric._extract_corpus_statistics(list(texts), [list(references)]), np.float64)
            for texts in (system, baseline)
        )
        self.scores = self._score(self._system.sum(0)), self._score(self._baseline.sum(0))

    def _score(self, statistics: NDArray[np.float64]) -> float:
        return float(self._metric._compute_score_from_stats(statistics.tolist()).score)

    def _difference(self, system: NDArray[np.float64], baseline: NDArray[np.float64]) -> float:
        return self._score(system) - self._score(baseline)

    def randomisation(self, trials: int) -> float:
        """Two-sided p-value of paired approximate randomisation, which swaps the systems of randomly chosen sentences.

        Source: Riezler and Maxwell 2005.

        Args:
            trials: number of random assignments.
        """
        observed = abs(self.scores[0] - self.scores[1])
        gap = self._baseline - self._system
        generator = np.random.default_rng(_SEED)
        extreme = 0
        for first in range(0, trials, _BLOCK_TRIALS):
            count = min(_BLOCK_TRIALS, trials - first)
            swapped = generator.integers(2, size=(count, len(gap))).astype(np.float64) @ gap
            for change in swapped:
                difference = self._difference(self._system.sum(0) + change, self._baseline.sum(0) - change)
                extreme += abs(difference) >= observed - _ROUNDING
        return (extreme + 1) / (trials + 1)

    def bootstrap(self, resamples: int) -> float:
        """Two-sided p-value of paired bootstrap resampling: how often a resample's difference deviates that far.

        Source: Koehn 2004; the shift to the null hypothesis is Riezler and Maxwell's 2005.

        Args:
            resamples: number of test sets drawn with replacement.
        """
        observed = self.scores[0] - self.scores[1]
        generator = np.random.default_rng(_SEED)
        sentences = len(self._system)
        extreme = 0
        for _ in range(resamples):
            drawn = np.bincount(generator.integers(sentences, size=sentences), minlength=sentences).astype(np.float64)
            difference = self._difference(drawn @ self._system, drawn @ self._baseline)
            extreme += abs(difference - observed) >= abs(observed) - _ROUNDING
        return (extreme + 1) / (resamples + 1)
