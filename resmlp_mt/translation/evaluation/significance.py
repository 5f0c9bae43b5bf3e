"""Whether two systems differ on a test set, or whether it is chance.

sacrebleu's own tests count only differences that are strictly greater than the observed one. Two systems that differ in
a single sentence, or in none, then look significantly different (p = 1 / (trials + 1)). Here ties count, as the
definition of a p-value wants it: the chance of a difference at least as great.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

_SEED = 12345  # sacrebleu's, so that a test can be repeated
_TRIALS_AT_ONCE = 250
_ROUNDING = 1e-9


class PairedTests:
    """Two systems' translations of the same sentences, in the form from which a metric is computed.

    Args:
        metric: of sacrebleu.
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
        """Two-sided p of paired approximate randomisation: labels are exchanged at random, sentence by sentence.

        Source: Riezler and Maxwell 2005.

        Args:
            trials: number of exchanges.
        """
        observed = abs(self.scores[0] - self.scores[1])
        gap = self._baseline - self._system
        generator = np.random.default_rng(_SEED)
        extreme = 0
        for first in range(0, trials, _TRIALS_AT_ONCE):
            count = min(_TRIALS_AT_ONCE, trials - first)
            exchanged = generator.integers(2, size=(count, len(gap))).astype(np.float64) @ gap
            for moved in exchanged:
                difference = self._difference(self._system.sum(0) + moved, self._baseline.sum(0) - moved)
                extreme += abs(difference) >= observed - _ROUNDING
        return (extreme + 1) / (trials + 1)

    def bootstrap(self, resamples: int) -> float:
        """Two-sided p of paired bootstrap resampling: how often a resample strays that far from what was observed.

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
