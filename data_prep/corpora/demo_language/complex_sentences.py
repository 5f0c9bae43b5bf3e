"""Draws sentences of two clauses: subordinate, relative and infinitive clauses, coordination, and "it" for things."""

from __future__ import annotations

from dataclasses import replace

from data_prep.corpora.demo_language import english, german
from data_prep.corpora.demo_language.clauses import (
    ALL_VERBS,
    PEOPLES_VERBS,
    Frame,
    Tense,
    draw_clause,
    draw_quality_clause,
    draw_weather_clause,
    put_something_first,
)
from data_prep.corpora.demo_language.lexicon import ADJECTIVES, PERSON_KINDS
from data_prep.corpora.demo_language.meaning import (
    IT_OF_GENDER,
    THE,
    THEY,
    Clause,
    NounPhrase,
    Phrase,
    Quality,
    RelativePronoun,
)
from data_prep.corpora.demo_language.phrases import Dice, draw_definite, draw_indefinite, draw_noun, draw_subject
from data_prep.corpora.demo_language.verbs import BE, CAN, INFINITIVE_VERBS, THAT_VERBS, WANT_TO, WHETHER_VERBS

Words = tuple[list[str], list[str]]

_REASONS = (("because", "weil"), ("although", "obwohl"))
_TIME_RELATIONS = (("before", "bevor"), ("while", "während"))
_AND, _BUT, _OR = (["and"], ["und"]), ([",", "but"], [",", "aber"]), (["or"], ["oder"])
# States that somebody may have been in earlier.
_ONCE = ("young", "poor", "rich", "sick", "tired", "sad", "happy", "hungry", "famous")
_ACTIVE_VERBS = tuple(verb for verb in PEOPLES_VERBS if not verb.notes & {"stative", "instant"} and verb.english.past)
_GIVING = frozenset({"recipient", "recipient-to"})
# Verbs that are complete with a subject and an object.
_TRANSITIVES = tuple(
    verb for verb in PEOPLES_VERBS if verb.objects and not verb.needs_place and not verb.notes & _GIVING
)
_OF_THINGS = tuple(
    verb for verb in _TRANSITIVES if not set(verb.objects) & set(PERSON_KINDS) and verb.preposition is None
)
# After a relative clause, the last words of the main clause would be too far from the rest.
_UNBROKEN = tuple(verb for verb in _TRANSITIVES if not verb.german.prefix and not verb.preposition)


def say(clause: Clause) -> Words:
    """A clause as a statement in both languages."""
    return english.clause_words(clause), german.clause_words(clause)


def _join(main: Words, conjunction: tuple[str, str], subordinate: Clause) -> Words:
    """A main clause followed by a subordinate one."""
    words = [*main[0], conjunction[0], *english.clause_words(subordinate)]
    return words, [*main[1], ",", conjunction[1], *german.clause_words(subordinate, "last")]


def _join_reversed(main: Clause, conjunction: tuple[str, str], subordinate: Clause) -> Words:
    """A subordinate clause followed by the main one, which in German then begins with its verb."""
    words = [conjunction[0], *english.clause_words(subordinate), ",", *english.clause_words(main)]
    german_words = [conjunction[1], *german.clause_words(subordinate, "last"), ","]
    return words, [*german_words, *german.clause_words(main, "first")]


def _tenses(base: Tense) -> tuple[Tense, ...]:
    return ("present", "progressive") if base == "present" else ("past",)


def _draw_base(dice: Dice) -> Tense:
    return "present" if dice.chance(0.6) else "past"


def _draw_action(dice: Dice, base: Tense) -> Clause:
    frame = Frame(verbs=_ACTIVE_VERBS, tenses=(base,), modals=False, circumstances=1, negation=0, definite_subject=True)
    return replace(draw_clause(dice, frame), frequency=None)


def _draw_fact(dice: Dice, base: Tense) -> Clause:
    """A clause that conjunctions such as "because", "that" and "whether" may introduce."""
    choice = dice.weigh(((50, "action"), (35, "quality"), (15, "weather")))
    if choice == "quality":
        return draw_quality_clause(dice, base, draw_subject(dice, PERSON_KINDS, definite=True))
    if choice == "weather":
        return draw_weather_clause(dice, base)
    return draw_clause(dice, Frame(tenses=_tenses(base), circumstances=1, definite_subject=True))


def _draw_purpose(dice: Dice) -> Words:
    """A purpose clause: "... so that the child can sleep"."""
    main = draw_clause(dice, Frame(verbs=_ACTIVE_VERBS, tenses=("present", "progressive"), modals=False, negation=0))
    purpose = draw_clause(
        dice, Frame(verbs=_ACTIVE_VERBS, tenses=("present",), modals=False, circumstances=0, negation=0)
    )
    return _join(say(replace(main, time=None, frequency=None)), ("so that", "damit"), replace(purpose, modal=CAN))


def draw_subordinate(dice: Dice) -> Words:
    """A main clause and, before or after it, a subordinate clause with its verb at the end."""
    choice = dice.weigh(((42, "reason"), (20, "time"), (20, "condition"), (10, "purpose"), (8, "when")))
    base = _draw_base(dice)
    if choice == "purpose":
        return _draw_purpose(dice)
    if choice == "condition":
        base, conjunction, subordinate = "present", ("if", "wenn"), _draw_fact(dice, "present")
    elif choice == "when":
        subject = draw_subject(dice, PERSON_KINDS, definite=True)
        quality = Quality(ADJECTIVES[dice.choose(_ONCE)])
        base, conjunction, subordinate = "past", ("when", "als"), Clause(subject, BE, "past", predicate=quality)
    elif choice == "time":
        conjunction, subordinate = dice.choose(_TIME_RELATIONS), _draw_action(dice, base)
    else:
        conjunction, subordinate = dice.choose(_REASONS), _draw_fact(dice, base)
    tenses = ("present",) if choice == "condition" else _tenses(base)
    main = draw_clause(dice, Frame(tenses=tenses, circumstances=1))
    if dice.chance(0.4):
        return _join_reversed(main, conjunction, subordinate)
    return _join(say(put_something_first(dice, main)), conjunction, subordinate)


def draw_that(dice: Dice) -> Words:
    """Somebody knows, says or hopes that something is so."""
    verb, base = dice.choose(THAT_VERBS), _draw_base(dice)
    subject = draw_subject(dice, PERSON_KINDS, definite=True)
    main = Clause(subject, verb, base, negated=verb.english.base != "hope" and dice.chance(0.15))
    return _join(say(main), ("that", "dass"), _draw_fact(dice, base))


def draw_whether(dice: Dice) -> Words:
    """Somebody asks, wants to know or does not know whether something is so."""
    verb, base = dice.choose(WHETHER_VERBS), _draw_base(dice)
    subject = draw_subject(dice, PERSON_KINDS, definite=True)
    knows = verb.english.base == "know"
    modal = WANT_TO if dice.chance(0.4) else None
    main = Clause(subject, verb, base, modal, negated=knows and modal is None)
    return _join(say(main), ("whether", "ob"), _draw_fact(dice, base))


def _draw_relative_clause(dice: Dice, phrase: NounPhrase) -> Clause:
    """A clause about the phrase, which is its subject ("who sells cars") or its object ("that we bought")."""
    pronoun = RelativePronoun(phrase.noun, phrase.plural)
    kind = phrase.noun.kind
    as_object = tuple(verb for verb in _TRANSITIVES if kind in verb.objects)
    if (kind in PERSON_KINDS and dice.chance(0.6)) or not as_object:
        verbs = tuple(verb for verb in ALL_VERBS if kind in verb.subjects)
        return draw_clause(dice, Frame(pronoun, verbs, circumstances=0, negation=0.1))
    frame = Frame(verbs=as_object, circumstances=0, negation=0, definite_subject=True)
    return replace(draw_clause(dice, frame), object=pronoun, front="object")


def draw_relative(dice: Dice) -> Words:
    """A sentence whose subject or object carries a relative clause."""
    if dice.chance(0.5):
        noun = draw_noun(dice, PERSON_KINDS)
        phrase = NounPhrase(THE, noun, plural=dice.chance(0.25))
        phrase = replace(phrase, relative=_draw_relative_clause(dice, phrase))
        if dice.chance(0.5):
            return say(draw_quality_clause(dice, "present", phrase))
        return say(draw_clause(dice, Frame(phrase, PEOPLES_VERBS, circumstances=1)))
    main = draw_clause(dice, Frame(verbs=_UNBROKEN, tenses=("present",), modals=False, circumstances=0, negation=0))
    noun = draw_noun(dice, main.verb.objects)
    phrase = NounPhrase(THE, noun, plural=bool(noun.plural) and dice.chance(0.25))
    return say(replace(main, object=replace(phrase, relative=_draw_relative_clause(dice, phrase))))


def draw_infinitive(dice: Dice) -> Words:
    """An infinitive with "to": what somebody tries or forgets, or what somebody does something for."""
    aim = dice.chance(0.4)
    if aim:
        main = draw_clause(dice, Frame(verbs=_ACTIVE_VERBS, circumstances=1, negation=0))
    else:
        verb = dice.choose(INFINITIVE_VERBS)
        main = Clause(draw_subject(dice, PERSON_KINDS, definite=True), verb, _draw_base(dice))
    frame = Frame(main.subject, _ACTIVE_VERBS, ("present",), modals=False, circumstances=1, negation=0)
    goal = replace(draw_clause(dice, frame), subject=None, time=None, frequency=None)
    link, german_link = (["in", "order", "to"], ["um"]) if aim else (["to"], [])
    words, german_words = say(main)
    return (
        [*words, *link, *english.clause_words(goal)],
        [*german_words, ",", *german_link, *german.infinitive_words(goal)],
    )


def draw_coordination(dice: Dice) -> Words:
    """Two clauses of equal rank, each with a subject, or two things that one subject does."""
    base = _draw_base(dice)
    frame = Frame(tenses=_tenses(base), circumstances=1, definite_subject=True)
    if dice.chance(0.5):
        link, german_link = dice.choose((_AND, _BUT))
        words, german_words = say(draw_clause(dice, frame))
        second, german_second = say(draw_clause(dice, frame))
        return [*words, *link, *second], [*german_words, *german_link, *german_second]
    link, german_link = dice.choose((_AND, _OR))
    subject = draw_subject(dice, PERSON_KINDS, definite=True)
    frame = Frame(subject, _ACTIVE_VERBS, ("present",), modals=False, circumstances=0, negation=0)
    words, german_words = say(draw_clause(dice, frame))
    second, german_second = say(draw_clause(dice, frame))
    # The shared subject occurs once; both languages begin the second clause with it, so it is left out there.
    said, german_said = len(english.phrase_words(subject)), len(german.phrase_words(subject, "nom"))
    return [*words, *link, *second[said:]], [*german_words, *german_link, *german_second[german_said:]]


def draw_it_again(dice: Dice) -> Words:
    """A thing, and a pronoun ("it", "they") for it in the next clause, in German with the gender of its noun."""
    base = _draw_base(dice)
    subject: Phrase = NounPhrase(THE, draw_noun(dice, PERSON_KINDS))
    main = draw_clause(dice, Frame(subject, _OF_THINGS, (base,), modals=False, circumstances=1, negation=0.1))
    thing = draw_definite(dice, main.verb.objects)
    if dice.chance(0.4) and not main.negated:
        thing = draw_indefinite(dice, main.verb.objects)
    pronoun = THEY if thing.plural else IT_OF_GENDER[thing.noun.gender]
    words = say(replace(main, object=thing))
    again = tuple(verb for verb in _TRANSITIVES if thing.noun.kind in verb.objects and verb.english.past)
    if dice.chance(0.5) or not again:
        return _join(words, ("because", "weil"), draw_quality_clause(dice, base, pronoun, thing.noun.kind))
    doubt = draw_clause(dice, Frame(verbs=again, tenses=(base,), circumstances=0, definite_subject=True))
    doubt = replace(doubt, object=pronoun)
    words_again = say(doubt)
    return [*words[0], ",", "but", *words_again[0]], [*words[1], ",", "aber", *words_again[1]]
