"""One step of a search, as logits processors and selectors see it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class SearchStep:
    """The position of a search. Finished sentences have left the batch.

    Attributes:
        index: number of target tokens generated so far; 0 in the first step.
        sentences: for each sentence still in the batch, its index in the batch as it was passed to the search.
        at_limit: indices into `sentences` of those that reach their maximum length and must end in this step.
    """

    index: int
    sentences: Sequence[int]
    at_limit: Sequence[int] = ()
