r"""Shortlists from parallel data: translation probabilities of tokens by IBM model 1.

$t(f \mid e)$, the probability that source token e is translated by target token f, is estimated by expectation
maximisation: the expected number of times that e is aligned to f in all sentence pairs, divided by that of e.
Source: Brown et al. 1993, "The mathematics of statistical machine translation", section 4.1. The end of the source
sentence stands for the empty word.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from resmlp_mt.common.data_folder import split_prefix
from resmlp_mt.common.errors import ResMLPError
from resmlp_mt.common.indexed_data import read_indexed
from resmlp_mt.common.progress import progress_bar
from resmlp_mt.translation.engine.shortlist import Shortlist
from resmlp_mt.translation.special_tokens import SPECIAL_TOKENS
from resmlp_mt.translation.text.dictionary import SPECIAL_TOKEN_NAMES

Sentences = list[NDArray[np.int64]]

ITERATIONS = 5
_CHUNK = 2000  # sentence pairs


@dataclass(frozen=True)
class Lexicon:
    """Translation probabilities of the pairs of tokens that occur together.

    Attributes:
        keys: source token * vocab_size + target token, sorted, (pairs,).
        probabilities: of the target token, given the source token, (pairs,).
        vocab_size: of the target.
    """

    keys: NDArray[np.int64]
    probabilities: NDArray[np.float64]
    vocab_size: int


def read_pairs(
    folders: Sequence[Path], pair: tuple[str, str], split: str, max_pairs: int | None = None
) -> tuple[Sentences, Sentences]:
    """Reads binarised sentence pairs, evenly spread over the data if there are more than `max_pairs`.

    Raises:
        ResMLPError: if a file is missing or damaged, or there are no pairs.
    """
    sides: list[Sentences] = [[], []]
    texts = [[read_indexed(split_prefix(folder, split, pair, lang)) for folder in folders] for lang in pair]
    total = sum(len(text.sizes) for text in texts[0])
    if total == 0:
        raise ResMLPError(f"the split {split} has no sentence pairs; prepare the data again")
    count = min(total, max_pairs or total)
    chosen = (np.arange(count) * (total / count)).astype(np.int64)
    for side, of_side in zip(sides, texts, strict=True):
        first = 0  # number of the first sentence of a text
        for text in of_side:
            ends = np.cumsum(text.sizes)
            for index in chosen[(chosen >= first) & (chosen < first + len(ends))] - first:
                side.append(np.asarray(text.tokens[ends[index] - text.sizes[index] : ends[index]], np.int64))
            first += len(ends)
    if len(sides[0]) != len(sides[1]):
        raise ResMLPError(f"the two sides of the split {split} have different numbers of sentences; prepare it again")
    return sides[0], sides[1]


def _keys_of(sources: Sentences, targets: Sentences, vocab_size: int) -> NDArray[np.int64]:
    """The keys of all pairs of tokens of each sentence pair, by target position: one behind the other."""
    parts = [
        (source[None] * vocab_size + target[:, None]).ravel() for source, target in zip(sources, targets, strict=True)
    ]
    return np.concatenate(parts)


def estimate_lexicon(sources: Sentences, targets: Sentences, vocab_size: int, iterations: int = ITERATIONS) -> Lexicon:
    """Estimates translation probabilities.

    Args:
        sources: tokens of each source sentence.
        targets: tokens of each target sentence.
        vocab_size: of the target.
        iterations: of expectation maximisation.
    """
    chunks = range(0, len(sources), _CHUNK)
    with progress_bar("shortlist", (2 + iterations) * len(sources), "pairs") as bar:
        keys = np.zeros(0, np.int64)
        for start in chunks:
            part = slice(start, start + _CHUNK)
            keys = np.union1d(keys, _keys_of(sources[part], targets[part], vocab_size))
            bar.update(len(sources[part]))
        # For each chunk: the index of each pair of tokens, and the first pair of each target position.
        indexed = []
        for start in chunks:
            part = slice(start, start + _CHUNK)
            index = np.searchsorted(keys, _keys_of(sources[part], targets[part], vocab_size)).astype(np.int32)
            widths = np.concatenate(
                [np.full(len(t), len(s)) for s, t in zip(sources[part], targets[part], strict=True)]
            )
            indexed.append((index, widths))
            bar.update(len(sources[part]))
        source_of_key = keys // vocab_size
        probabilities = np.ones(len(keys))
        for _ in range(iterations):
            counts = np.zeros(len(keys))
            for index, widths in indexed:
                expected = probabilities[index]
                starts = np.cumsum(widths) - widths
                expected /= np.repeat(np.add.reduceat(expected, starts), widths)
                counts += np.bincount(index, expected, len(keys))
            probabilities = counts / np.bincount(source_of_key, counts)[source_of_key]
            bar.update(len(sources))
    return Lexicon(keys, probabilities, vocab_size)


def build_shortlist(
    lexicon: Lexicon, targets: Sentences, source_vocab: int, frequent: int, best: int, is_joint: bool
) -> Shortlist:
    """Makes a shortlist.

    Args:
        lexicon: the translation probabilities.
        targets: the target sentences, for the frequent tokens.
        source_vocab: size of the source vocabulary.
        frequent: number of most frequent target tokens, which are in the list of every sentence.
        best: number of most probable target tokens of each source token.
        is_joint: source and target have one vocabulary; every token is then in its own list, for names and numbers.
    """
    occurrences = np.bincount(np.concatenate(targets), minlength=lexicon.vocab_size)
    sources = lexicon.keys // lexicon.vocab_size
    order = np.lexsort((-lexicon.probabilities, sources))
    words = lexicon.keys[order] % lexicon.vocab_size
    starts = np.searchsorted(sources[order], np.arange(source_vocab + 1))
    lists = [words[start : min(start + best, end)] for start, end in pairwise(starts)]
    if is_joint:
        lists = [np.append(of_token, token) for token, of_token in enumerate(lists)]
    most_frequent = np.argsort(-occurrences, kind="stable")[:frequent]
    lists[SPECIAL_TOKENS.end] = np.append(lists[SPECIAL_TOKENS.end], most_frequent[occurrences[most_frequent] > 0])
    return Shortlist.from_lists(len(SPECIAL_TOKEN_NAMES), best, lists)


@dataclass(frozen=True)
class Coverage:
    """How much of some reference translations a shortlist allows.

    Attributes:
        tokens: share of the target tokens that are in the list of their sentence.
        sentences: share of the sentences all of whose tokens are.
        words: mean number of words of a list.
    """

    tokens: float
    sentences: float
    words: float


def measure_coverage(shortlist: Shortlist, sources: Sentences, targets: Sentences) -> Coverage:
    """Measures a shortlist on sentence pairs."""
    missing, sizes = [], []
    for source, target in zip(sources, targets, strict=True):
        words = shortlist.words_of(source.tolist())
        missing.append(int(np.isin(target, words, invert=True).sum()))
        sizes.append(len(words))
    total = sum(map(len, targets))
    return Coverage(1 - sum(missing) / total, missing.count(0) / len(missing), float(np.mean(sizes)))
