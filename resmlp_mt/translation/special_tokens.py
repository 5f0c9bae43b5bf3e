"""The special tokens, which are not sub-words."""

from __future__ import annotations

from typing import NamedTuple


class SpecialTokens(NamedTuple):
    """The indices of the special tokens that a search uses; the values are those of fairseq's dictionaries."""

    padding: int = 1
    end: int = 2
    unknown: int = 3


SPECIAL_TOKENS = SpecialTokens()
