"""The cleaning rules that check one pair at a time.

The rules are applied in the order of `RULES`; a pair is removed, and counted, by the first rule that it breaks. Rules
that compare pairs with one another (duplicates, leaks) are in `selection`.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from data_prep.keys import key_table
from data_prep.languages import LanguageIdentifier, in_expected_script, written_without_spaces
from data_prep.settings import Settings
from data_prep.stages.removed import EXAMPLES_PER_RULE, RemovedPair

INVALID_UTF8 = "invalid UTF-8"
UNREADABLE = "unreadable characters"
EMPTY = "empty"
TOO_LONG = "too long"
LONG_WORD = "overlong word"
RATIO = "length ratio"
IDENTICAL = "identical sides"
SCRIPT = "wrong script"
LANGUAGE = "wrong language"
RULES = (INVALID_UTF8, UNREADABLE, EMPTY, TOO_LONG, LONG_WORD, RATIO, IDENTICAL, SCRIPT, LANGUAGE)

_LONE_SURROGATE = re.compile("[\ud800-\udfff]")
# The replacement character marks text that was decoded wrongly. Control characters do not belong in a sentence, except
# tab, line feed, vertical tab, form feed, carriage return, the separators 1c-1f and next line.
_UNREADABLE = re.compile("[\ufffd\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f]")

Check = Callable[[str, str], bool]


@dataclass
class Chunk:
    """Consecutive pairs of one part.

    Attributes:
        part: the part's name.
        first_line: line number of the first pair in the part, from 1.
        src_lines: source sentences.
        tgt_lines: target sentences.
    """

    part: str
    first_line: int
    src_lines: list[str]
    tgt_lines: list[str]


@dataclass
class CleanChunk:
    """A cleaned chunk.

    Attributes:
        src_text: the kept source sentences, each with a line feed.
        tgt_text: the kept target sentences, each with a line feed.
        keys: their keys, `(kept pairs, 4)`.
        lines: their line numbers in the part, `(kept pairs,)`.
        counts: number of pairs read under "read", and removed under each rule.
        removed: all removed pairs, or the first few of each rule.
    """

    src_text: bytes
    tgt_text: bytes
    keys: NDArray[np.uint64]
    lines: NDArray[np.int64]
    counts: Counter[str]
    removed: list[RemovedPair] = field(default_factory=list)


class Cleaner:
    """Applies the rules of a configuration.

    Args:
        settings: limits, languages and the rules to skip.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._lengths = tuple(len if written_without_spaces(lang) else _words for lang in settings.languages)
        self._identifier = LanguageIdentifier(settings.languages) if settings.language_id else None
        checks: dict[str, Check] = {
            INVALID_UTF8: lambda src, tgt: bool(_LONE_SURROGATE.search(src) or _LONE_SURROGATE.search(tgt)),
            UNREADABLE: lambda src, tgt: bool(_UNREADABLE.search(src) or _UNREADABLE.search(tgt)),
            EMPTY: lambda src, tgt: not src.strip() or not tgt.strip(),
            TOO_LONG: lambda src, tgt: max(self._pair_lengths(src, tgt)) > settings.max_words,
            LONG_WORD: self._has_long_word,
            RATIO: self._is_uneven,
            IDENTICAL: lambda src, tgt: src.strip() == tgt.strip(),
            SCRIPT: lambda src, tgt: (
                not (in_expected_script(src, settings.src) and in_expected_script(tgt, settings.tgt))
            ),
            LANGUAGE: self._is_other_language,
        }
        # Text with lone surrogates cannot be written as UTF-8, so this rule cannot be skipped.
        self._checks = [
            (rule, checks[rule]) for rule in RULES if rule == INVALID_UTF8 or rule not in settings.skip_rules
        ]

    def broken_rule(self, src: str, tgt: str) -> str | None:
        """The first rule that a pair breaks, or None when it is kept."""
        return next((rule for rule, breaks in self._checks if breaks(src, tgt)), None)

    def clean(self, chunk: Chunk) -> CleanChunk:
        """Applies the rules to every pair of a chunk."""
        counts: Counter[str] = Counter(read=len(chunk.src_lines))
        src_kept, tgt_kept, lines, removed = [], [], [], []
        pairs = zip(chunk.src_lines, chunk.tgt_lines, strict=True)
        for line, (src, tgt) in enumerate(pairs, chunk.first_line):
            rule = self.broken_rule(src, tgt)
            if rule is None:
                src_kept.append(src)
                tgt_kept.append(tgt)
                lines.append(line)
                continue
            counts[rule] += 1
            if self._settings.keep_removed or counts[rule] <= EXAMPLES_PER_RULE:
                removed.append(RemovedPair(rule, chunk.part, line, src, tgt))
        return CleanChunk(
            "".join(f"{line}\n" for line in src_kept).encode(),
            "".join(f"{line}\n" for line in tgt_kept).encode(),
            key_table(src_kept, tgt_kept),
            np.array(lines, np.int64),
            counts,
            removed,
        )

    def _pair_lengths(self, src: str, tgt: str) -> tuple[int, int]:
        return self._lengths[0](src), self._lengths[1](tgt)

    def _is_uneven(self, src: str, tgt: str) -> bool:
        if self._lengths[0] is not self._lengths[1]:
            # Characters of one language cannot be compared with words of the other.
            return False
        shorter, longer = sorted(self._pair_lengths(src, tgt))
        return longer > self._settings.max_ratio * max(shorter, 1)

    def _has_long_word(self, src: str, tgt: str) -> bool:
        limit = self._settings.max_word_characters
        return any(
            len(text) > limit and length is _words and max(map(len, text.split())) > limit
            for text, length in zip((src, tgt), self._lengths, strict=True)
        )

    def _is_other_language(self, src: str, tgt: str) -> bool:
        return self._identifier is not None and self._identifier.is_wrong(src, tgt)


def _words(text: str) -> int:
    return len(text.split())


_cleaner: Cleaner


def start_worker(settings: Settings) -> None:
    """Prepares this process for `clean_chunk`."""
    global _cleaner
    _cleaner = Cleaner(settings)


def clean_chunk(chunk: Chunk) -> CleanChunk:
    """Cleans one chunk with the cleaner of this process."""
    return _cleaner.clean(chunk)
