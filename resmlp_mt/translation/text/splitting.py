"""Splits a text that is too long for the model: at sentence ends, punctuation or spaces, as a last resort anywhere."""

from __future__ import annotations

import re
from collections.abc import Callable

_CLOSING = "[\"'\u2019\u201d\u00bb)\\]]*"
# After a full stop, question or exclamation mark and closing quotes; East Asian marks need no space.
_SENTENCE_END = re.compile(f"[.!?\u2026\u061f\u0964]+{_CLOSING}\\s+|[\u3002\uff01\uff1f]+[\u300d\u300f\uff09]*\\s*")
_CLAUSE_END = re.compile("[,;:\u060c\u061b\u2013\u2014]\\s+|[\uff0c\u3001\uff1b\uff1a]\\s*")
_SPACE = re.compile(r"\s+")


def split_to_fit(text: str, fits: Callable[[str], bool]) -> list[str]:
    """Splits a text into pieces that fit.

    A text that does not fit is split at all of its sentence ends. A sentence that still does not fit is split in two,
    as near to its middle as possible, at the end of a clause, else at a space, else between two characters, until every
    piece fits.

    Args:
        text: the text.
        fits: whether a piece is short enough. A single character is never split.

    Returns:
        The pieces; joined, they give `text`.
    """
    if fits(text):
        return [text]
    return [piece for sentence in _cut(text, _ends(_SENTENCE_END, text)) for piece in _halve(sentence, fits)]


def _halve(text: str, fits: Callable[[str], bool]) -> list[str]:
    pieces, waiting = [], [text]
    while waiting:
        piece = waiting.pop()
        if len(piece) == 1 or fits(piece):
            pieces.append(piece)
        else:
            waiting += reversed(_cut(piece, [_best_index(piece)]))
    return pieces


def _best_index(text: str) -> int:
    middle = len(text) / 2
    for pattern in (_CLAUSE_END, _SPACE):
        # A split in the outer quarters would leave one piece nearly as long as before.
        indexes = [index for index in _ends(pattern, text) if len(text) / 4 <= index <= 3 * len(text) / 4]
        if indexes:
            return min(indexes, key=lambda index: abs(index - middle))
    return len(text) // 2


def _ends(pattern: re.Pattern[str], text: str) -> list[int]:
    return [match.end() for match in pattern.finditer(text) if match.end() < len(text)]


def _cut(text: str, indexes: list[int]) -> list[str]:
    return [text[start:end] for start, end in zip([0, *indexes], [*indexes, len(text)], strict=True)]


def join_translations(pieces: list[str], translations: list[str], between: str) -> str:
    """Joins the translations of the pieces of a text.

    Args:
        pieces: from `split_to_fit`.
        translations: of the pieces.
        between: what separates sentences in the target language; left out where a word was split.
    """
    joined = translations[0]
    for piece, following, translation in zip(pieces, pieces[1:], translations[1:], strict=False):
        is_cut_word = piece[-1].isalnum() and following[0].isalnum()
        joined += translation if is_cut_word or not translation or not joined else between + translation
    return joined
