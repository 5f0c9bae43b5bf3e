"""Verbs and modal verbs of the demo corpus with their principal parts, read from the table in `verb_table`."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from data_prep.corpora.demo_language import verb_table as table
from data_prep.corpora.demo_language.lexicon import double_final, kinds_named


@dataclass(frozen=True)
class Preposition:
    """A preposition and the case that it governs in German."""

    english: str
    german: str
    case: str


@dataclass(frozen=True)
class EnglishVerb:
    """Base and past form of the inflected word, and the particle that follows it ("switch", "switched", "on")."""

    base: str
    past: str
    particle: str = ""


@dataclass(frozen=True)
class GermanVerb:
    """Principal parts: `present` holds the ich, du and er forms, `prefix` the separable part, left out of all others.

    `preterite` is empty for verbs whose past is told in the perfect.
    """

    infinitive: str
    present: tuple[str, str, str]
    participle: str
    prefix: str = ""
    takes_sein: bool = False
    preterite: str = ""


@dataclass(frozen=True)
class Verb:
    """A verb in both languages with the kinds of its subject and object, the object's case, and its notes."""

    english: EnglishVerb
    german: GermanVerb
    subjects: tuple[str, ...] = ()
    objects: tuple[str, ...] = ()
    object_case: str = "acc"
    preposition: Preposition | None = None
    notes: frozenset[str] = field(default_factory=frozenset)

    place: str = ""
    needs_place: bool = False

    @property
    def name(self) -> str:
        """The English words that identify the verb: base, particle and preposition ("wait for")."""
        preposition = self.preposition.english if self.preposition else ""
        return " ".join(word for word in (self.english.base, self.english.particle, preposition) if word)


@dataclass(frozen=True)
class Modal:
    """A modal verb; `auxiliary` when English inverts and negates it without "do"; `link` stands before the infinitive.

    `past` is empty where we tell no past with it.
    """

    present: str
    past: str
    link: str
    auxiliary: bool
    german: GermanVerb


_NOTES = ("stative", "instant", "manner", "definite", "recipient", "recipient-to", "with", "by", "for")
_INSEPARABLE = ("be", "emp", "ent", "er", "ge", "ver", "zer")

_CONSONANT_THAT_NEEDS_E = re.compile(r"(?:[dt]|(?:[^aeiouäöülrhmn]|ch)[mn])$")


def links_with_e(stem: str) -> bool:
    """Whether an e stands between stem and ending: du arbeitest, du zeichnest, but du lernst."""
    return bool(_CONSONANT_THAT_NEEDS_E.search(stem))


def german_stem(infinitive: str) -> str:
    """The infinitive without its -en or -n."""
    return infinitive.removesuffix("en") if infinitive.endswith("en") else infinitive.removesuffix("n")


def _regular_present(infinitive: str) -> tuple[str, str, str]:
    stem = german_stem(infinitive)
    link = "e" if links_with_e(stem) else ""
    first = stem[:-2] + "le" if infinitive.endswith("eln") else stem + "e"
    second = stem + "t" if stem.endswith(("s", "ß", "x", "z")) else f"{stem}{link}st"
    return first, second, f"{stem}{link}t"


def _regular_participle(infinitive: str) -> str:
    stem = german_stem(infinitive)
    ge = "" if infinitive.startswith(_INSEPARABLE) or infinitive.endswith("ieren") else "ge"
    return f"{ge}{stem}{'e' if links_with_e(stem) else ''}t"


def _parse_german(text: str) -> GermanVerb:
    first, *parts = text.split()
    preterite = parts.pop()[1:] if parts and parts[-1].startswith("~") else ""
    prefix, _, infinitive = first.removeprefix("+").rpartition("-")
    present = _regular_present(infinitive)
    participle = parts[-1] if parts else _regular_participle(infinitive)
    if len(parts) == 3:
        present = (present[0], parts[0], parts[1])
    elif len(parts) == 4:
        present = (parts[0], parts[1], parts[2])
    return GermanVerb(infinitive, present, participle, prefix, first.startswith("+"), preterite)


def _regular_past(base: str) -> str:
    if base.endswith("e"):
        return base + "d"
    return base[:-1] + "ied" if base.endswith("y") and base[-2] not in "aeiou" else double_final(base) + "ed"


def _parse_english(text: str) -> EnglishVerb:
    forms, _, particle = text.partition(" ")
    base, _, past = forms.partition("/")
    return EnglishVerb(base, "" if past == "-" else past or _regular_past(base), particle)


def _parse_object(text: str) -> tuple[Preposition | None, str, tuple[str, ...]]:
    """Returns the preposition, the case and the kinds of an object column."""
    case, _, names = text.partition(" ")
    if ">" in case:
        english, german, governed = re.split(r"[>+]", case)
        return Preposition(english, german, governed), governed, kinds_named(names)
    return (None, "dat", kinds_named(names)) if case == "dat" else (None, "acc", kinds_named(text))


def _parse_verb(row: str) -> Verb:
    english, german, subjects, object_column, words = [column.strip() for column in f"{row} | | |".split("|")][:5]
    preposition, case, objects = _parse_object(object_column)
    notes = frozenset(word for word in words.split() if word in _NOTES)
    place = next((word for word in words.split() if word not in _NOTES), "")
    return Verb(
        english=_parse_english(english),
        german=_parse_german(german),
        subjects=kinds_named(subjects),
        objects=objects,
        object_case=case,
        preposition=preposition,
        notes=notes,
        place=place.removesuffix("!"),
        needs_place=place.endswith("!"),
    )


def _parse_table(rows: str) -> dict[str, Verb]:
    """Returns the verbs by their English name: base, particle and preposition, such as "wait for"."""
    verbs = [_parse_verb(row) for row in rows.splitlines() if row.strip()]
    return {verb.name: verb for verb in verbs}


VERBS = _parse_table(table.VERBS_TABLE)
THAT_VERBS = tuple(_parse_table(table.THAT_VERBS_TABLE).values())
WHETHER_VERBS = tuple(_parse_table(table.WHETHER_VERBS_TABLE).values())
INFINITIVE_VERBS = tuple(_parse_table(table.INFINITIVE_VERBS_TABLE).values())

BE = Verb(EnglishVerb("be", "was"), GermanVerb("sein", ("bin", "bist", "ist"), "gewesen", "", True, "war"))
HABEN = VERBS["have"].german
COST = _parse_verb("cost/- | kosten")
RAIN = _parse_verb("rain | regnen")
SNOW = _parse_verb("snow | schneien")

CAN = Modal("can", "could", "", True, _parse_german("können kann kannst kann gekonnt ~konnte"))
HAVE_TO = Modal("have", "had", "to", False, _parse_german("müssen muss musst muss gemusst ~musste"))
WANT_TO = Modal("want", "wanted", "to", False, _parse_german("wollen will willst will gewollt ~wollte"))
SHOULD = Modal("should", "", "", True, _parse_german("sollen soll sollst soll gesollt"))
MAY = Modal("may", "", "", True, _parse_german("dürfen darf darfst darf gedurft"))
WOULD_LIKE_TO = Modal("would", "", "like to", True, _parse_german("möchten möchte möchtest möchte gemocht"))
WILL = Modal("will", "", "", True, _parse_german("werden wirst wird geworden"))
