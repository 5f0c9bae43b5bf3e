"""The tokens that are not sub-words."""

from __future__ import annotations

from typing import NamedTuple


class Symbols(NamedTuple):
    """The tokens that mean something to a search; the values are fairseq's."""

    padding: int = 1
    end: int = 2
    unknown: int = 3


SYMBOLS = Symbols()
