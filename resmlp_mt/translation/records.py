"""What is asked of a translator, and what it answers."""

from __future__ import annotations

from dataclasses import dataclass


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
