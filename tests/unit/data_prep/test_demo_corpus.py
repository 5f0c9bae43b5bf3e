"""Demo corpus: reproducible, well-formed, without duplicates or leaks between splits."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from itertools import islice, pairwise

import pytest

from data_prep.corpora.demo_corpus import (
    MOST_PAIRS,
    MOST_WORDS,
    build_demo_corpus,
    generate_pairs,
    plain_form,
)
from data_prep.corpora.demo_language import adverbials, lexicon, verbs
from data_prep.corpora.demo_language.meaning import PLACES
from resmlp_mt.common.errors import ResMLPError

# Changes with every word, rule or probability. Numbers measured on the demo corpus are then out of date.
SAMPLE_SHA256 = "f02387cd0d61902ddf964cd6a742d2c843c5f2d1591d2bc4cbfa0ccdbac6352d"


@pytest.fixture(scope="module")
def corpus():
    return build_demo_corpus(seed=1)


@pytest.fixture(scope="module")
def all_pairs(corpus):
    return [pair for pairs in corpus.values() for pair in pairs]


def test_default_sizes(corpus):
    assert {split: len(pairs) for split, pairs in corpus.items()} == {"train": 24_000, "valid": 500, "test": 500}


def test_no_duplicate_sentences_across_splits(all_pairs):
    for side in (0, 1):
        forms = [plain_form(pair[side]) for pair in all_pairs]
        assert len(set(forms)) == len(forms) == 25_000


def test_plain_form_ignores_case_and_punctuation():
    assert plain_form("Do  you see it, Anna?") == plain_form("do you see it anna") == "do you see it anna"


def test_same_seed_gives_same_bytes_on_every_machine():
    sample = "\n".join(f"{source}\t{target}" for source, target in islice(generate_pairs(1), 300))
    assert hashlib.sha256(sample.encode()).hexdigest() == SAMPLE_SHA256


def test_other_seed_gives_other_sentences():
    first, second = (set(islice(generate_pairs(seed), 200)) for seed in (1, 2))
    assert len(first & second) < 10


def test_each_english_sentence_has_one_translation():
    translations: dict[str, str] = {}
    for source, target in islice(generate_pairs(3), 6_000):
        assert translations.setdefault(plain_form(source), target) == target


def test_sentences_are_well_formed(all_pairs):
    for sentence in (sentence for pair in all_pairs for sentence in pair):
        assert re.fullmatch(r"[A-ZÄÖÜ][^.?!]*[.?!]", re.sub(r"(?<=\d)\.(?=\d| )", "", sentence)), sentence
        assert "  " not in sentence
        assert " ," not in sentence
        assert ",," not in sentence
        assert not re.search(r",[.?!]$", sentence)


def test_both_sides_end_with_same_punctuation(all_pairs):
    assert all(source[-1] == target[-1] for source, target in all_pairs)


def test_no_english_word_is_repeated_in_a_row(all_pairs):
    for source, _ in all_pairs:
        words = source.lower().split()
        assert all(word != following for word, following in pairwise(words)), source


def test_sentence_lengths(all_pairs):
    for side in (0, 1):
        lengths = [len(pair[side].split()) for pair in all_pairs]
        assert max(lengths) <= MOST_WORDS
        assert 6 <= sum(lengths) / len(lengths) <= 14


def test_german_letters_and_capitalized_nouns_occur(all_pairs):
    german_text = " ".join(target for _, target in all_pairs)
    assert all(letter in german_text for letter in "äöüßÄÜ")
    nouns = {noun.german for noun in lexicon.NOUNS.values()}
    assert all(noun[0].isupper() for noun in nouns)
    assert all(re.search(rf"\b{noun}", german_text) for noun in nouns)


def test_every_noun_and_verb_is_frequent(corpus):
    counts = Counter(plain_form(" ".join(source for source, _ in corpus["train"])).split())
    for noun in lexicon.NOUNS.values():
        assert counts[noun.english.split()[-1]] + counts[noun.plural] >= 30, noun.english
    for verb in verbs.VERBS.values():
        assert counts[verb.english.base] + counts[verb.english.past] >= 30, verb.name


def test_lexicon_has_at_least_350_english_words():
    invariable = (
        *adverbials.MANNERS,
        *adverbials.FREQUENCIES,
        *(time for row in adverbials.TIMES.values() for time in row),
    )
    bases = {verb.english.base for verb in verbs.VERBS.values()}
    assert len({*lexicon.NOUNS, *lexicon.ADJECTIVES, *bases, *(adverbial.english for adverbial in invariable)}) >= 350


def test_every_kind_of_verb_or_place_has_nouns():
    kinds_in_use = {kind for verb in verbs.VERBS.values() for kind in verb.subjects + verb.objects}
    kinds_in_use |= {kind for rows in PLACES.values() for _, kinds in rows for kind in kinds}
    assert kinds_in_use <= set(lexicon.NOUNS_OF)
    assert {verb.place for verb in verbs.VERBS.values()} - {""} <= set(PLACES)


def test_every_noun_has_adjectives_and_all_are_used():
    assert set(lexicon.ADJECTIVES_OF) == set(lexicon.NOUNS_OF)
    used = {adjective for adjectives in lexicon.ADJECTIVES_OF.values() for adjective in adjectives}
    weather = {lexicon.ADJECTIVES[word] for word in ("sunny", "foggy", "windy", "stormy")}
    assert used | weather == set(lexicon.ADJECTIVES.values())


@pytest.mark.parametrize("sizes", [{"train": -1}, {"valid": -5}, {"train": MOST_PAIRS + 1}])
def test_invalid_sizes_are_one_line(sizes):
    with pytest.raises(ResMLPError, match="pairs") as error:
        build_demo_corpus(**sizes)
    assert "\n" not in str(error.value)
