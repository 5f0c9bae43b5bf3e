"""The embedded English-German demo corpus: made, not downloaded, so that a model can be trained right after installing.

A seeded generator draws meanings and puts each into both languages (see `demo_language`). The German depends on
nothing but what the English says, yet no word-by-word substitution yields it: genders, cases and adjective endings, the
verb in second or last place, separable verbs, and pronouns that follow the gender of their noun must all be learnt.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice, pairwise
from pathlib import Path

from data_prep.corpora.demo_language.phrases import Dice
from data_prep.corpora.demo_language.sentences import draw_pair
from resmlp_mt.common.errors import require
from resmlp_mt.common.files import write_text

Pair = tuple[str, str]

LANGUAGES = ("en", "de")
MOST_WORDS = 24
_PUNCTUATION = re.compile(r"[^\w\s]")
MOST_PAIRS = 1_000_000


def plain_form(sentence: str) -> str:
    """A sentence without case and punctuation, by which two sentences count as the same."""
    return " ".join(_PUNCTUATION.sub("", sentence.casefold()).split())


def _reads_well(pair: Pair) -> bool:
    """Whether a pair is not too long, and its English without doubled words ("at half past five five friends")."""
    source_words = pair[0].lower().split()
    has_doubled_word = any(word == following for word, following in pairwise(source_words))
    return not has_doubled_word and all(len(sentence.split()) <= MOST_WORDS for sentence in pair)


def generate_pairs(seed: int) -> Iterator[Pair]:
    """Generates English sentences with their German translations, without end.

    Args:
        seed: the same seed gives the same pairs on every platform and Python version.

    Yields:
        (English, German) of at most `MOST_WORDS` words a side; pairs may come again.
    """
    dice = Dice(seed)
    while True:
        pair = draw_pair(dice)
        if _reads_well(pair):
            yield pair


def _distinct_pairs(seed: int) -> Iterator[Pair]:
    """Pairs whose English and whose German have not been seen before, case and punctuation aside."""
    seen: tuple[set[str], set[str]] = (set(), set())
    for pair in generate_pairs(seed):
        forms = [plain_form(sentence) for sentence in pair]
        if all(form not in side for form, side in zip(forms, seen, strict=True)):
            for form, side in zip(forms, seen, strict=True):
                side.add(form)
            yield pair


def build_demo_corpus(seed: int = 1, train: int = 24_000, valid: int = 500, test: int = 500) -> dict[str, list[Pair]]:
    """Builds the demo corpus in memory.

    Args:
        seed: the same seed gives the same corpus on every platform and Python version.
        train, valid, test: number of pairs of each split.

    Returns:
        The pairs of "train", "valid" and "test". No sentence of either language occurs twice in the corpus, whatever
        the split, case and punctuation aside.

    Raises:
        ResMLPError: when a count is negative or the sum is more than `MOST_PAIRS`.
    """
    sizes = {"train": train, "valid": valid, "test": test}
    for name, size in sizes.items():
        require(size >= 0, name, "a number of pairs, 0 or more", size, "ask for fewer or more pairs")
    total = sum(sizes.values())
    require(total <= MOST_PAIRS, "the demo corpus", f"at most {MOST_PAIRS} pairs", total, "ask for fewer pairs")
    pairs = _distinct_pairs(seed)
    return {name: list(islice(pairs, size)) for name, size in sizes.items()}


def write_demo_corpus(
    folder: Path, seed: int = 1, train: int = 24_000, valid: int = 500, test: int = 500
) -> dict[str, list[Pair]]:
    """Writes the demo corpus as train.en, train.de, valid.en, ...: UTF-8, one sentence a line.

    Args:
        folder: where to; made when it is missing. Each file appears under its name only when it is whole.
        seed, train, valid, test: see `build_demo_corpus`.

    Returns:
        What was written.

    Raises:
        ResMLPError: when a count is out of range.
        OSError: when the folder cannot be written.
    """
    corpus = build_demo_corpus(seed, train, valid, test)
    for split, pairs in corpus.items():
        for side, language in enumerate(LANGUAGES):
            write_text(folder / f"{split}.{language}", "".join(f"{pair[side]}\n" for pair in pairs))
    return corpus
