"""Requests to a translator and its results."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeVar

from resmlp_mt.common.errors import ResMLPError

Item = TypeVar("Item")


def require_strings(name: str, texts: Iterable[str]) -> list[str]:
    """Makes a list of strings. A single string is refused, since it would be read as a list of characters.

    Args:
        name: of the argument, for the message.
        texts: any iterable of strings.

    Raises:
        ResMLPError: if it is anything else.
    """
    if isinstance(texts, str | bytes):
        raise ResMLPError(f"{name} must be a list of strings, not one string; put it in brackets: [{texts[:40]!r}]")
    strings = as_list(name, texts)
    for number, text in enumerate(strings, 1):
        if not isinstance(text, str):
            raise ResMLPError(
                f"{name} must be strings, but number {number} has type {type(text).__name__}; convert it to a string"
            )
    return strings


def as_list(name: str, items: Iterable[Item]) -> list[Item]:
    """Makes a list of any iterable.

    Raises:
        ResMLPError: if it is not iterable.
    """
    try:
        return list(items)
    except TypeError as error:
        raise ResMLPError(
            f"{name} must be a list, but it has type {type(items).__name__}; put it in brackets"
        ) from error


@dataclass(frozen=True)
class Request:
    """A line to translate.

    Attributes:
        text: the source text.
        number: line number, from 1; also added to the seed for sampling.
        prefix: text that the translation must begin with.
        constraints: words and phrases that the translation must contain.

    Raises:
        ResMLPError: if a field has another type.
    """

    text: str
    number: int = 1
    prefix: str = ""
    constraints: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in ("text", "prefix"):
            value = getattr(self, name)
            if not isinstance(value, str):
                raise ResMLPError(
                    f"the {name} of a request must be a string, but it has type {type(value).__name__}; convert it"
                )
        if self.constraints:
            require_strings("the constraints of a request", self.constraints)


@dataclass(frozen=True)
class Alignment:
    """A word alignment.

    Attributes:
        source_words, target_words: the words of both sentences.
        links: pairs of aligned words, each an index into the source and one into the target words.
    """

    source_words: list[str]
    target_words: list[str]
    links: list[tuple[int, int]]


@dataclass(frozen=True)
class Candidate:
    """A translation of a line.

    Attributes:
        text: the translation.
        score: log-probability (natural logarithm), divided by length ** length_penalty.
        alignment: the word alignment, if requested.
    """

    text: str
    score: float
    alignment: Alignment | None = None


@dataclass(frozen=True)
class Translation:
    """The result for a line.

    Attributes:
        source: the line.
        candidates: its translations, best first; empty for a blank line.
        note: how a line longer than the model supports was handled; empty for other lines.
        tokens: number of sub-words generated for the best candidate.
    """

    source: str
    candidates: tuple[Candidate, ...] = ()
    note: str = ""
    tokens: int = 0

    @property
    def text(self) -> str:
        """The best translation; empty for a blank line."""
        return self.candidates[0].text if self.candidates else ""
