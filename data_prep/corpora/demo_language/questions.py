"""Draws questions of the demo corpus at random: yes-no questions and questions with a question word."""

from __future__ import annotations

from dataclasses import replace

from data_prep.corpora.demo_language.adverbials import Adverbial
from data_prep.corpora.demo_language.clauses import PEOPLES_VERBS, Frame, draw_clause
from data_prep.corpora.demo_language.lexicon import PERSON_KINDS
from data_prep.corpora.demo_language.meaning import HOW_MANY, WHAT, WHICH, WHO, Clause, NounPhrase
from data_prep.corpora.demo_language.phrases import Dice, draw_noun

_PLACES_TO_GO = ("goal", "onto")
_PLACES_TO_BE = ("home", "live", "town", "in", "surface", "beside")
_FRAME = Frame(circumstances=1, negation=0.0, definite_subject=True)

# A question with "who" or "what" must be unambiguous about people or things, and about the case.
_WHO_VERBS = tuple(verb for verb in PEOPLES_VERBS if verb.objects and set(verb.objects) <= set(PERSON_KINDS))
_WHAT_VERBS = tuple(
    verb
    for verb in PEOPLES_VERBS
    if verb.objects and not set(verb.objects) & set(PERSON_KINDS) and verb.preposition is None
)
_WHICH_VERBS = tuple(verb for verb in PEOPLES_VERBS if verb.objects)
_WHERE_VERBS = tuple(verb for verb in PEOPLES_VERBS if verb.place in _PLACES_TO_BE + _PLACES_TO_GO)


def _draw_why_or_when(dice: Dice) -> Clause:
    word = dice.choose((Adverbial("why", "warum"), Adverbial("when", "wann"), Adverbial("how often", "wie oft")))
    if word.english == "why":
        return replace(draw_clause(dice, _FRAME), opener=word)
    clause = draw_clause(dice, replace(_FRAME, tenses=("present", "past")))
    while "stative" in clause.verb.notes:
        clause = draw_clause(dice, replace(_FRAME, tenses=("present", "past")))
    return replace(clause, opener=word, time=None, frequency=None)


def _draw_where(dice: Dice) -> Clause:
    clause = draw_clause(dice, replace(_FRAME, verbs=_WHERE_VERBS))
    word = Adverbial("where", "wohin" if clause.verb.place in _PLACES_TO_GO else "wo")
    return replace(clause, opener=word, place=None)


def _draw_who_does(dice: Dice) -> Clause:
    return draw_clause(dice, replace(_FRAME, subject=WHO, verbs=PEOPLES_VERBS))


def _draw_whom_or_what(dice: Dice) -> Clause:
    about_people = dice.chance(0.5)
    clause = draw_clause(dice, replace(_FRAME, verbs=_WHO_VERBS if about_people else _WHAT_VERBS))
    return replace(clause, object=WHO if about_people else WHAT, front="object")


def _draw_which(dice: Dice) -> Clause:
    determiner = WHICH if dice.chance(0.65) else HOW_MANY
    if dice.chance(0.35):
        noun, plural = draw_noun(dice, PERSON_KINDS), determiner is HOW_MANY or dice.chance(0.3)
        return draw_clause(dice, replace(_FRAME, subject=NounPhrase(determiner, noun, plural), verbs=PEOPLES_VERBS))
    clause = draw_clause(dice, replace(_FRAME, verbs=_WHICH_VERBS))
    noun = draw_noun(dice, clause.verb.objects)
    plural = bool(noun.plural) and (determiner is HOW_MANY or dice.chance(0.3))
    determiner = determiner if plural else WHICH
    return replace(clause, object=NounPhrase(determiner, noun, plural), front="object")


def draw_question(dice: Dice) -> tuple[Clause, bool]:
    """Draws a question.

    Returns:
        The clause, and whether the German one begins with a question word (and not with its verb).
    """
    draw = dice.weigh(
        (
            (36, draw_clause),
            (16, _draw_why_or_when),
            (10, _draw_where),
            (8, _draw_who_does),
            (14, _draw_whom_or_what),
            (16, _draw_which),
        )
    )
    if draw is draw_clause:
        return draw_clause(dice, _FRAME), False
    return draw(dice), True
