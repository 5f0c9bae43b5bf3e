"""What is asked of a translator, and what it answers."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeVar

from resmlp_mt.common.errors import ResMLPError, require

Item = TypeVar("Item")


def require_strings(name: str, texts: Iterable[str]) -> list[str]:
    """Makes a list of strings, where a lone string would be taken for a list of its characters.

    Args:
        name: what the message calls them.
        texts: any iterable of strings.

    Raises:
        ResMLPError: when it is something else.
    """
    if isinstance(texts, str | bytes):
        raise ResMLPError(f"{name} must be a list of strings, but is one string; put it in brackets: [{texts[:40]!r}]")
    found = as_list(name, texts)
    for number, text in enumerate(found, 1):
        if not isinstance(text, str):
            raise ResMLPError(
                f"{name} must be strings, but number {number} is of type {type(text).__name__}; convert it"
            )
    return found


def as_list(name: str, items: Iterable[Item]) -> list[Item]:
    """Makes a list of any iterable.

    Raises:
        ResMLPError: when it is none.
    """
    try:
        return list(items)
    except TypeError as error:
        raise ResMLPError(
            f"{name} must be a list, but is of type {type(items).__name__}; put it in brackets"
        ) from error


@dataclass(frozen=True)
class Request:
    """A line to translate.

    Attributes:
        text: the source.
        number: of the line, from 1; also the seed of its sampling.
        prefix: words with which the translation must begin.
        constraints: words and phrases that the translation must contain.
    """

    text: str
    number: int = 1
    prefix: str = ""
    constraints: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in ("text", "prefix"):
            value = getattr(self, name)
            require(isinstance(value, str), f"the {name} of a request", "a string", type(value).__name__, "convert it")
        if self.constraints:
            require_strings("the constraints of a request", self.constraints)


@dataclass(frozen=True)
class Alignment:
    """The words of a sentence pair, and which belong together: pairs of a source and a target word, from 0."""

    source_words: list[str]
    target_words: list[str]
    links: list[tuple[int, int]]


@dataclass(frozen=True)
class Candidate:
    """A translation of a line.

    Attributes:
        text: the translation.
        score: log-probability (natural), divided by length ** length_penalty.
        alignment: if it was asked for.
    """

    text: str
    score: float
    alignment: Alignment | None = None


@dataclass(frozen=True)
class Translation:
    """What became of a line.

    Attributes:
        source: the line.
        candidates: its translations, best first; none of a line without any words.
        note: what was done to a line that is longer than the model, or nothing.
        tokens: sub-words generated for the best candidate.
    """

    source: str
    candidates: tuple[Candidate, ...] = ()
    note: str = ""
    tokens: int = 0

    @property
    def text(self) -> str:
        """The best translation; of a line without any words, the empty one."""
        return self.candidates[0].text if self.candidates else ""
