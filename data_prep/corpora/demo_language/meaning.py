"""The meaning of a sentence of the demo corpus, independent of the language: phrases, clauses, closed word classes.

A clause names who does what to whom, when, where and how. `english.py` and `german.py` each put the same clause into
words, so that a German sentence depends on nothing but what its English twin says.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from data_prep.corpora.demo_language.adverbials import Adverbial
from data_prep.corpora.demo_language.lexicon import Adjective, Noun, kinds_named
from data_prep.corpora.demo_language.verbs import Modal, Preposition, Verb


@dataclass(frozen=True)
class Determiner:
    """An article or a word in its place.

    Attributes:
        singular, plural: the English words; empty where English has none.
        german: the German stem; empty where German has none.
        declension: "der" (always with an ending), "ein" (without one in three forms), or "none" (never declined).
        strong_adjectives: whether adjectives after it take the strong endings although it is declined itself.
        definite: whether it picks out something known, so that it may be the subject of a negated sentence.
    """

    singular: str
    plural: str
    german: str
    declension: Literal["der", "ein", "none"] = "none"
    strong_adjectives: bool = False
    definite: bool = False


@dataclass(frozen=True)
class Pronoun:
    """A pronoun with its English subject and object forms and its German nominative, accusative and dative."""

    subject: str
    object: str
    nominative: str
    accusative: str
    dative: str
    person: int = 3
    plural: bool = False


@dataclass(frozen=True)
class RelativePronoun:
    """The who or that of a relative clause; it takes gender and number from the noun before it."""

    noun: Noun
    plural: bool


@dataclass(frozen=True)
class Name:
    """A person's name, the same in both languages."""

    text: str


@dataclass(frozen=True)
class NounPhrase:
    """A noun with its modifiers; `number` counts it, `owner` stands in the genitive, `relative` follows it."""

    determiner: Determiner
    noun: Noun
    plural: bool = False
    adjectives: tuple[Adjective, ...] = ()
    number: int | None = None
    owner: NounPhrase | Name | None = None
    relative: Clause | None = None


@dataclass(frozen=True)
class Both:
    """Two phrases joined by "and"."""

    first: NounPhrase | Name
    second: NounPhrase | Name


Phrase = Pronoun | RelativePronoun | Name | NounPhrase | Both


@dataclass(frozen=True)
class PrepositionalPhrase:
    """A preposition and the phrase that it governs."""

    preposition: Preposition
    phrase: Phrase


@dataclass(frozen=True)
class Quality:
    """The predicate of "to be": an adjective with an adverb of degree (`very`) before it, if any."""

    adjective: Adjective
    degree: Adverbial | None = None


@dataclass(frozen=True)
class Comparison:
    """A comparative: "older than the house", or "as old as the house" if `equal`."""

    adjective: Adjective
    standard: Phrase
    equal: bool = False


Adjunct = Adverbial | PrepositionalPhrase
Predicate = Quality | Comparison | Adverbial | NounPhrase


@dataclass(frozen=True)
class Clause:
    """One verb with its subject, objects and adverbials.

    Attributes:
        subject: None in orders and infinitives.
        verb: what is done.
        tense: "present", "progressive" (present, in English only), or "past".
        modal: a modal verb that governs the verb.
        object: in the case or after the preposition that the verb asks for.
        recipient: who is given, shown or told the object.
        predicate: what "be" says, or what "cost" measures.
        negated: in German by "kein" before an indefinite object, otherwise by "nicht".
        frequency, manner, beneficiary, company, place, time: circumstances, each with its own seat in either language.
        opener: a question word that belongs to no other attribute ("why").
        front: what comes first instead of the subject; an object only when it is a question or relative word.
    """

    subject: Phrase | None
    verb: Verb
    tense: Literal["present", "progressive", "past"] = "present"
    modal: Modal | None = None
    object: Phrase | None = None
    recipient: Phrase | None = None
    predicate: Predicate | None = None
    negated: bool = False
    frequency: Adverbial | None = None
    manner: Adverbial | None = None
    beneficiary: PrepositionalPhrase | None = None
    company: Adjunct | None = None
    place: PrepositionalPhrase | None = None
    time: Adjunct | None = None
    opener: Adverbial | None = None
    front: Literal["subject", "object", "place", "time"] = "subject"


THE = Determiner("the", "the", "d", "der", definite=True)
A = Determiner("a", "", "ein", "ein")
NO = Determiner("no", "no", "kein", "ein")
THIS = Determiner("this", "these", "dies", "der", definite=True)
EVERY = Determiner("every", "", "jed", "der")
ALL = Determiner("", "all", "all", "der")
SOME = Determiner("", "some", "einig", "der", strong_adjectives=True)
MANY = Determiner("", "many", "viel", "der", strong_adjectives=True)
SEVERAL = Determiner("", "several", "mehrer", "der", strong_adjectives=True)
WHICH = Determiner("which", "which", "welch", "der")
HOW_MANY = Determiner("", "how many", "wie viel", "der", strong_adjectives=True)
BARE = Determiner("", "", "")
OWN = Determiner("", "", "", definite=True)
POSSESSIVES = tuple(
    Determiner(english, english, german, "ein", definite=True)
    for english, german in (
        ("my", "mein"),
        ("your", "dein"),
        ("his", "sein"),
        ("her", "ihr"),
        ("our", "unser"),
        ("their", "ihr"),
    )
)
QUESTION_DETERMINERS = (WHICH, HOW_MANY)

PERSONAL_PRONOUNS = (
    Pronoun("I", "me", "ich", "mich", "mir", person=1),
    Pronoun("you", "you", "du", "dich", "dir", person=2),
    Pronoun("he", "him", "er", "ihn", "ihm"),
    Pronoun("she", "her", "sie", "sie", "ihr"),
    Pronoun("we", "us", "wir", "uns", "uns", person=1, plural=True),
    Pronoun("they", "them", "sie", "sie", "ihnen", plural=True),
)
IT_OF_GENDER = {
    "m": Pronoun("it", "it", "er", "ihn", "ihm"),
    "f": Pronoun("it", "it", "sie", "sie", "ihr"),
    "n": Pronoun("it", "it", "es", "es", "ihm"),
}
THEY = PERSONAL_PRONOUNS[-1]
IT = IT_OF_GENDER["n"]
WHO = Pronoun("who", "who", "wer", "wen", "wem")
WHAT = Pronoun("what", "what", "was", "was", "was")
QUESTION_PRONOUNS = (WHO, WHAT)

WITH = Preposition("with", "mit", "dat")
WITHOUT = Preposition("without", "ohne", "acc")
FOR = Preposition("for", "für", "acc")
EVENT_PREPOSITIONS = (
    Preposition("before", "vor", "dat"),
    Preposition("after", "nach", "dat"),
    Preposition("during", "während", "gen"),
)


def _places(*rows: tuple[str, str, str, str]) -> tuple[tuple[Preposition, tuple[str, ...]], ...]:
    return tuple((Preposition(english, german, case), kinds_named(names)) for english, german, case, names in rows)


_BESIDE = (
    ("next to", "neben", "dat", "furniture"),
    ("behind", "hinter", "dat", "furniture"),
    ("in front of", "vor", "dat", "furniture"),
)
_AT = (
    ("behind", "hinter", "dat", "building"),
    ("in front of", "vor", "dat", "building"),
    ("next to", "neben", "dat", "building"),
    ("near", "in der Nähe", "gen", "building"),
)
_TOWN = (("in", "in", "dat", "building area"), ("on", "auf", "dat", "ground"), *_AT)
# The kinds of place that the verb table names: prepositions with the kinds of nouns that follow them.
PLACES = {
    "home": _places(("in", "in", "dat", "room area")),
    "existence": _places(("in", "in", "dat", "area"), ("on", "auf", "dat", "ground"), *_AT),
    "live": _places(("in", "in", "dat", "building area room"), *_AT),
    "town": _places(*_TOWN),
    "in": _places(("in", "in", "dat", "room"), *_TOWN),
    "at": _places(*_AT),
    "water": _places(("in", "in", "dat", "water")),
    "beside": _places(*_BESIDE),
    "surface": _places(("on", "auf", "dat", "furniture"), ("under", "unter", "dat", "furniture"), *_BESIDE),
    "onto": _places(
        ("on", "auf", "acc", "furniture"),
        ("under", "unter", "acc", "furniture"),
        ("next to", "neben", "acc", "furniture"),
        ("behind", "hinter", "acc", "furniture"),
    ),
    "goal": _places(
        ("to", "zu", "dat", "building ground"),
        ("into", "in", "acc", "building area room"),
        ("through", "durch", "acc", "area"),
        ("across", "über", "acc", "ground"),
        ("around", "um", "acc", "building water"),
    ),
    "through": _places(("through", "durch", "acc", "area")),
    "source": _places(("from", "von", "dat", "building ground"), ("out of", "aus", "dat", "building room area")),
}


def is_plural(phrase: Phrase) -> bool:
    """Whether a verb agrees with the phrase in the plural."""
    return isinstance(phrase, Both) or (not isinstance(phrase, Name) and phrase.plural)


def person_of(phrase: Phrase) -> int:
    """The grammatical person of a phrase: 1, 2 or 3."""
    return phrase.person if isinstance(phrase, Pronoun) else 3


def asks(phrase: Phrase | None) -> bool:
    """Whether a phrase is a question word or begins with one, so that it opens its clause."""
    if isinstance(phrase, NounPhrase):
        return phrase.determiner in QUESTION_DETERMINERS
    return isinstance(phrase, Pronoun) and phrase in QUESTION_PRONOUNS
