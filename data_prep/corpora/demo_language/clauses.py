"""Draws clauses of the demo corpus at random: a verb, its arguments, and adverbials that fit its tense."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from data_prep.corpora.demo_language.adverbials import FREQUENCIES, MANNERS, VEHICLE_RIDES, Adverbial
from data_prep.corpora.demo_language.lexicon import ADJECTIVES, ADJECTIVES_OF, PERSON_KINDS, kinds_named
from data_prep.corpora.demo_language.meaning import (
    FOR,
    IT,
    NO,
    PERSONAL_PRONOUNS,
    POSSESSIVES,
    WITH,
    WITHOUT,
    A,
    Clause,
    Comparison,
    NounPhrase,
    Phrase,
    PrepositionalPhrase,
    Quality,
    RelativePronoun,
)
from data_prep.corpora.demo_language.phrases import (
    Dice,
    draw_definite,
    draw_indefinite,
    draw_noun,
    draw_person_object,
    draw_place,
    draw_subject,
)
from data_prep.corpora.demo_language.times import draw_time
from data_prep.corpora.demo_language.verbs import (
    BE,
    CAN,
    HAVE_TO,
    MAY,
    RAIN,
    SHOULD,
    SNOW,
    VERBS,
    WANT_TO,
    WILL,
    WOULD_LIKE_TO,
    Modal,
    Verb,
)

Tense = Literal["present", "progressive", "past"]

# Verbs with things as objects are drawn twice as often as others: there are more words for things than for people.
_OF_THINGS = tuple(verb for verb in VERBS.values() if verb.objects and "person" not in verb.objects)
ALL_VERBS = (*VERBS.values(), *_OF_THINGS)
PEOPLES_VERBS = tuple(verb for verb in ALL_VERBS if "person" in verb.subjects)
DEGREES = (
    Adverbial("very", "sehr"),
    Adverbial("too", "zu"),
    Adverbial("really", "wirklich"),
)
_MODALS = (CAN, HAVE_TO, WANT_TO, SHOULD, MAY, WOULD_LIKE_TO)
_MODALS_OF_ANIMALS_AND_THINGS = (CAN, HAVE_TO, SHOULD)
# A place that belongs to the object or to a movement stays after the verb.
_PLACES_THAT_MAY_STAND_FIRST = ("home", "in", "town")
# Words for the weather only: "because it is cold" might refer to the soup.
_NOT_PROFESSIONS = (
    "man",
    "woman",
    "boy",
    "friend",
    "guest",
    "customer",
    "neighbour",
    "colleague",
    "boss",
    "tourist",
    "thief",
)
_WEATHER = ("sunny", "foggy", "windy", "stormy")
_PASSING_STATES = ("tired", "sad", "happy", "hungry", "angry", "sick")
_COPULA_KINDS = (
    (40, PERSON_KINDS),
    (8, ("pet", "wild")),
    (8, kinds_named("meal drink")),
    (22, kinds_named("goods vehicle furniture fixture")),
    (12, ("room", "building", "area", "ground", "water")),
    (10, kinds_named("event tale idea lore")),
)


@dataclass(frozen=True)
class Frame:
    """The constraints on a clause that is to be drawn.

    Attributes:
        subject: the subject; drawn when None.
        verbs: the verbs to choose from; at least one with a past form when "past" is the only tense.
        tenses: the tenses to choose from; modal verbs count as present or past.
        modals: whether modal verbs may come.
        circumstances: how many of time, place, manner and so on may come.
        negation: how likely "not" is.
        definite_subject: whether the subject must be known to the listener.
    """

    subject: Phrase | None = None
    verbs: tuple[Verb, ...] = ALL_VERBS
    tenses: tuple[Tense, ...] = ("present", "progressive", "past")
    modals: bool = True
    circumstances: int = 2
    negation: float = 0.14
    definite_subject: bool = False


def _draw_tense(dice: Dice, verb: Verb, subject: Phrase | None, frame: Frame) -> tuple[Tense, Modal | None]:
    stative = "stative" in verb.notes
    has_no_progressive = stative or "instant" in verb.notes
    tense: Tense = dice.weigh(
        (
            (20 if "progressive" in frame.tenses and not has_no_progressive else 0, "progressive"),
            (40 if "past" in frame.tenses and verb.english.past else 0, "past"),
            (40 if "present" in frame.tenses else 0, "present"),
        )
    )
    if not frame.modals or stative or tense == "progressive" or not dice.chance(0.38):
        return tense, None
    choices = _MODALS if _is_person(subject) else _MODALS_OF_ANIMALS_AND_THINGS
    if tense == "past":
        return tense, dice.choose([modal for modal in choices if modal.past])
    return tense, WILL if dice.chance(0.3) else dice.choose(choices)


def _is_person(phrase: Phrase | None) -> bool:
    return not isinstance(phrase, (NounPhrase, RelativePronoun)) or phrase.noun.kind in PERSON_KINDS


def _draw_object(dice: Dice, clause: Clause) -> Phrase | None:
    verb = clause.verb
    if not verb.objects:
        return None
    # "Not" before an indefinite dative or prepositional object would require another word.
    needs_definite = "definite" in verb.notes or (clause.negated and verb.object_case == "dat")
    if "person" in verb.objects:
        return draw_person_object(dice, clause.subject, verb.objects, definite=needs_definite or clause.negated)
    if needs_definite or (verb.preposition and clause.negated) or dice.chance(0.5):
        return draw_definite(dice, verb.objects)
    return draw_indefinite(dice, verb.objects, deniable=clause.negated)


def _add_circumstances(dice: Dice, clause: Clause, limit: int) -> Clause:
    """Adds up to `limit` adverbials of place, company, beneficiary, manner, frequency and time, and may front one."""
    notes, verb = clause.verb.notes, clause.verb
    left = limit
    if verb.place and (verb.needs_place or (left and dice.chance(0.3))):
        clause, left = replace(clause, place=draw_place(dice, verb.place)), left - (not verb.needs_place)
    if "by" in notes and left and dice.chance(0.5):
        clause, left = replace(clause, company=dice.choose(VEHICLE_RIDES)), left - 1
    elif "with" in notes and left and dice.chance(0.2):
        preposition = WITH if dice.chance(0.75) else WITHOUT
        companion = draw_person_object(dice, clause.subject, PERSON_KINDS)
        clause, left = replace(clause, company=PrepositionalPhrase(preposition, companion)), left - 1
    if "for" in notes and left and dice.chance(0.25):
        person = draw_person_object(dice, clause.subject, PERSON_KINDS)
        clause, left = replace(clause, beneficiary=PrepositionalPhrase(FOR, person)), left - 1
    if "manner" in notes and left and not clause.negated and dice.chance(0.25):
        clause, left = replace(clause, manner=dice.choose(MANNERS)), left - 1
    says_how_often = clause.modal is None and clause.tense != "progressive" and "stative" not in notes
    nobody = isinstance(clause.subject, NounPhrase) and clause.subject.determiner is NO
    if left and says_how_often and not clause.negated and not nobody and dice.chance(0.15):
        clause, left = replace(clause, frequency=dice.choose(FREQUENCIES)), left - 1
    elif left and dice.chance(0.5):
        clause = replace(clause, time=draw_time(dice, clause))
    return clause


def put_something_first(dice: Dice, clause: Clause) -> Clause:
    """May front the time or the place of a statement, which in German inverts verb and subject."""
    if clause.time is not None and dice.chance(0.4):
        return replace(clause, front="time")
    if clause.place is not None and clause.verb.place in _PLACES_THAT_MAY_STAND_FIRST and dice.chance(0.15):
        return replace(clause, front="place")
    return clause


def draw_clause(dice: Dice, frame: Frame | None = None) -> Clause:
    """A clause in which somebody does something.

    Args:
        dice: the source of chance.
        frame: what is already settled.

    Returns:
        The clause, in the order subject first.
    """
    frame = frame or Frame()
    only_past = frame.tenses == ("past",)
    verb = dice.choose([verb for verb in frame.verbs if verb.english.past or not only_past])
    negated = dice.chance(frame.negation)
    subject = frame.subject or draw_subject(dice, verb.subjects, definite=negated or frame.definite_subject)
    tense, modal = _draw_tense(dice, verb, subject, frame)
    clause = Clause(subject, verb, tense, modal, negated=negated)
    return complete_clause(dice, clause, frame.circumstances)


def complete_clause(dice: Dice, clause: Clause, circumstances: int) -> Clause:
    """Adds objects and some adverbials to a clause of subject and verb."""
    clause = replace(clause, object=clause.object or _draw_object(dice, clause))
    if clause.verb.notes & {"recipient", "recipient-to"}:
        clause = replace(clause, recipient=draw_person_object(dice, clause.subject, PERSON_KINDS))
    return _add_circumstances(dice, clause, circumstances)


def draw_quality_clause(
    dice: Dice, tense: Tense, subject: Phrase | None = None, kind: str = "person", negation: float = 0.14
) -> Clause:
    """A clause that describes somebody or something: "the soup is too hot".

    Args:
        dice: the source of chance.
        tense: "present" or "past".
        subject: the subject; drawn when None.
        kind: the kind of noun that a pronoun as subject stands for.
        negation: how likely "not" is.

    Returns:
        The clause.
    """
    if subject is None:
        subject = draw_subject(dice, dice.weigh(_COPULA_KINDS), definite=True)
    if isinstance(subject, NounPhrase):
        kind = subject.noun.kind
        # The predicate must not repeat or contradict an adjective of the subject.
        subject = replace(subject, adjectives=())
    adjective = dice.choose(ADJECTIVES_OF[kind])
    degree = dice.choose(DEGREES) if adjective.german_comparative and dice.chance(0.3) else None
    negated = dice.chance(negation)
    passing = adjective.english in _PASSING_STATES and not negated and degree is None
    frequency = dice.choose(FREQUENCIES) if passing and dice.chance(0.3) else None
    return Clause(subject, BE, tense, predicate=Quality(adjective, degree), negated=negated, frequency=frequency)


def draw_comparison_clause(dice: Dice) -> Clause:
    """A comparison: "The dog is older than the cat", "Anna is as brave as I". Both sides are of the same kind."""
    kinds = dice.weigh(_COPULA_KINDS)
    kind = dice.choose(kinds)
    subject, standard = draw_definite(dice, (kind,), plural=False), draw_definite(dice, (kind,), plural=False)
    while standard.noun == subject.noun:
        standard = draw_definite(dice, (kind,), plural=False)
    subject, standard = replace(subject, adjectives=()), replace(standard, adjectives=())
    adjective = dice.choose([adjective for adjective in ADJECTIVES_OF[kind] if adjective.german_comparative])
    predicate = Comparison(adjective, standard, equal=dice.chance(0.3))
    tense: Tense = "present" if dice.chance(0.75) else "past"
    return Clause(subject, BE, tense, predicate=predicate, negated=dice.chance(0.2))


def draw_profession_clause(dice: Dice) -> Clause:
    """A profession: "My brother is a good cook". Subject and profession have the same gender."""
    if dice.chance(0.4):
        subject: Phrase = dice.choose(PERSONAL_PRONOUNS[2:4])
        gender = "m" if subject == PERSONAL_PRONOUNS[2] else "f"
    else:
        relative = draw_noun(dice, ("family",))
        subject, gender = NounPhrase(dice.choose(POSSESSIVES), relative), relative.gender
    profession = draw_noun(dice, ("person", "acquaintance"))
    while profession.gender != gender or profession.english in _NOT_PROFESSIONS:
        profession = draw_noun(dice, ("person", "acquaintance"))
    adjectives = (dice.choose(ADJECTIVES_OF["person"]),) if dice.chance(0.6) else ()
    tense: Tense = "present" if dice.chance(0.6) else "past"
    return Clause(subject, BE, tense, predicate=NounPhrase(A, profession, False, adjectives), negated=False)


def draw_weather_clause(dice: Dice, tense: Tense) -> Clause:
    """The weather: "It is raining", "it was very cold"."""
    if dice.chance(0.5):
        adjective = ADJECTIVES[dice.choose(_WEATHER)]
        return Clause(IT, BE, tense, predicate=Quality(adjective, dice.choose(DEGREES) if dice.chance(0.4) else None))
    verb = dice.choose((RAIN, SNOW))
    return Clause(IT, verb, "progressive" if tense == "present" else tense, negated=dice.chance(0.2))
