"""Inflected forms of the demo corpus's language, worked out by hand: nouns, determiners, adjectives, verbs, numbers."""

from __future__ import annotations

import pytest

from data_prep.corpora.demo_language import english
from data_prep.corpora.demo_language.german_forms import (
    adjective_form,
    determiner_form,
    finite_form,
    imperative,
    noun_form,
)
from data_prep.corpora.demo_language.german_forms import number_in_words as german_number_in_words
from data_prep.corpora.demo_language.lexicon import ADJECTIVES, NOUNS
from data_prep.corpora.demo_language.meaning import BARE, HOW_MANY, PERSONAL_PRONOUNS, POSSESSIVES, THE, THIS, A, Clause
from data_prep.corpora.demo_language.verbs import VERBS

ME, YOU, HE, SHE, WE, THEY = PERSONAL_PRONOUNS
OUR = POSSESSIVES[4]


def test_noun_declension():
    cases = ("nom", "acc", "dat", "gen")
    assert [noun_form(NOUNS["house"], case) for case in cases] == ["Haus", "Haus", "Haus", "Hauses"]
    assert [noun_form(NOUNS["boy"], case) for case in cases] == ["Junge", "Jungen", "Jungen", "Jungen"]
    assert [noun_form(NOUNS["flower"], case) for case in cases] == ["Blume"] * 4
    assert [noun_form(NOUNS["apple"], case, plural=True) for case in cases] == ["Äpfel", "Äpfel", "Äpfeln", "Äpfel"]
    assert [noun_form(NOUNS[noun], "dat", True) for noun in ("car", "woman", "child")] == ["Autos", "Frauen", "Kindern"]
    assert [noun_form(NOUNS[noun], "gen") for noun in ("hotel", "friend", "park", "bus", "secret")] == [
        *("Hotels", "Freundes", "Parks", "Busses", "Geheimnisses")
    ]


def test_determiner_declension():
    assert [determiner_form(THE, "dat", column) for column in "mfnp"] == ["dem", "der", "dem", "den"]
    assert [determiner_form(OUR, "acc", column) for column in "mfnp"] == ["unseren", "unsere", "unser", "unsere"]
    assert [determiner_form(THIS, "gen", column) for column in "mfnp"] == ["dieses", "dieser", "dieses", "dieser"]
    assert determiner_form(HOW_MANY, "dat", "p") == "wie vielen"


def test_adjective_declension():
    red = ADJECTIVES["red"]
    assert [adjective_form(red, THE, "nom", column) for column in "mfnp"] == ["rote", "rote", "rote", "roten"]
    assert [adjective_form(red, A, "nom", column) for column in "mfn"] == ["roter", "rote", "rotes"]
    assert [adjective_form(red, A, "acc", column) for column in "mfn"] == ["roten", "rote", "rotes"]
    assert [adjective_form(red, BARE, "dat", column) for column in "mfnp"] == ["rotem", "roter", "rotem", "roten"]
    assert [adjective_form(ADJECTIVES[word], THE, "dat", "m") for word in ("dark", "expensive", "tired", "dirty")] == [
        *("dunklen", "teuren", "müden", "schmutzigen")
    ]


@pytest.mark.parametrize(
    ("name", "present", "participle"),
    [
        ("work", "arbeite arbeitest arbeitet arbeiten", "gearbeitet"),
        ("give", "gebe gibst gibt geben", "gegeben"),
        ("dance", "tanze tanzt tanzt tanzen", "getanzt"),
        ("smile", "lächle lächelst lächelt lächeln", "gelächelt"),
        ("feed", "füttere fütterst füttert füttern", "gefüttert"),
        ("draw", "zeichne zeichnest zeichnet zeichnen", "gezeichnet"),
        ("learn", "lerne lernst lernt lernen", "gelernt"),
        ("visit", "besuche besuchst besucht besuchen", "besucht"),
        ("repair", "repariere reparierst repariert reparieren", "repariert"),
        ("like", "mag magst mag mögen", "gemocht"),
        ("drive", "fahre fährst fährt fahren", "gefahren"),
    ],
)
def test_german_verb_conjugation(name, present, participle):
    verb = VERBS[name].german
    assert [finite_form(verb, subject) for subject in (ME, YOU, HE, WE)] == present.split()
    assert [finite_form(verb, THEY)] == present.split()[-1:]
    assert verb.participle == participle


@pytest.mark.parametrize(
    ("name", "expected"),
    [("give", "gib"), ("eat", "iss"), ("read", "lies"), ("wait for", "warte"), ("carry", "trag"), ("smile", "lächle")],
)
def test_german_imperatives(name, expected):
    assert imperative(VERBS[name].german) == expected


@pytest.mark.parametrize(
    ("verb", "third", "past", "progressive"),
    [
        ("go", "goes", "went", "going"),
        ("carry", "carries", "carried", "carrying"),
        ("plan", "plans", "planned", "planning"),
        ("write", "writes", "wrote", "writing"),
        ("visit", "visits", "visited", "visiting"),
        ("travel", "travels", "travelled", "travelling"),
        ("catch", "catches", "caught", "catching"),
    ],
)
def test_english_verb_inflection(verb, third, past, progressive):
    clauses = [
        english.clause_words(Clause(HE, VERBS[verb], tense=tense)) for tense in ("present", "past", "progressive")
    ]
    assert clauses == [["he", third], ["he", past], ["he", "is", progressive]]


def test_german_number_words():
    words = [german_number_in_words(number) for number in (2, 16, 17, 21, 30, 76, 99)]
    assert words == ["zwei", "sechzehn", "siebzehn", "einundzwanzig", "dreißig", "sechsundsiebzig", "neunundneunzig"]
