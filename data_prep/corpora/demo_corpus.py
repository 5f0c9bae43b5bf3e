"""The built-in English-German demo corpus: generated, not downloaded, so that a model can be trained right away.

A seeded generator draws meanings and expresses each in both languages (see `demo_language`). The German sentence is a
function of the English one, but not a word-by-word substitution: a model has to learn genders, cases and adjective
endings, the verb in second or last position, separable verbs, and pronouns that follow the gender of their noun.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice, pairwise

from data_prep.corpora.demo_language.phrases import Dice
from data_prep.corpora.demo_language.sentences import draw_pair
from resmlp_mt.common.errors import ResMLPError

Pair = tuple[str, str]

MOST_WORDS = 24
_PUNCTUATION = re.compile(r"[^\w\s]")
MOST_PAIRS = 1_000_000


def plain_form(sentence: str) -> str:
    """A sentence without case and punctuation; two sentences with the same plain form count as equal."""
    return " ".join(_PUNCTUATION.sub("", sentence.casefold()).split())


def _reads_well(pair: Pair) -> bool:
    """Whether a pair is not too long and its English has no doubled words ("at half past five five friends")."""
    source_words = pair[0].lower().split()
    has_doubled_word = any(word == following for word, following in pairwise(source_words))
    return not has_doubled_word and all(len(sentence.split()) <= MOST_WORDS for sentence in pair)


def generate_pairs(seed: int) -> Iterator[Pair]:
    """Generates English sentences with their German translations, without end.

    Args:
        seed: the same seed gives the same pairs on every platform and Python version.

    Yields:
        (English, German) of at most `MOST_WORDS` words on each side; pairs may be repeated.
    """
    dice = Dice(seed)
    while True:
        pair = draw_pair(dice)
        if _reads_well(pair):
            yield pair


def _distinct_pairs(seed: int) -> Iterator[Pair]:
    """Pairs whose English and German sentences did not occur before, apart from case and punctuation."""
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
        train: number of training pairs.
        valid: number of validation pairs.
        test: number of test pairs.

    Returns:
        The pairs of "train", "valid" and "test". No sentence of either language occurs twice in the corpus, in any
        split, apart from case and punctuation.

    Raises:
        ResMLPError: a count is negative or the sum is more than `MOST_PAIRS`.
    """
    sizes = {"train": train, "valid": valid, "test": test}
    for name, size in sizes.items():
        if size < 0:
            raise ResMLPError(f"the number of {name} pairs must be at least 0, but is {size}")
    total = sum(sizes.values())
    if total > MOST_PAIRS:
        raise ResMLPError(f"the demo corpus has at most {MOST_PAIRS} pairs, but {total} are requested; request fewer")
    pairs = _distinct_pairs(seed)
    return {name: list(islice(pairs, size)) for name, size in sizes.items()}
