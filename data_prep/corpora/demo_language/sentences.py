"""Draws whole sentences of the demo corpus at random and writes them in both languages."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from data_prep.corpora.demo_language import english, german
from data_prep.corpora.demo_language.adverbials import Adverbial
from data_prep.corpora.demo_language.clauses import (
    PEOPLES_VERBS,
    Frame,
    Tense,
    draw_clause,
    draw_comparison_clause,
    draw_profession_clause,
    draw_quality_clause,
    put_something_first,
)
from data_prep.corpora.demo_language.complex_sentences import (
    Words,
    draw_coordination,
    draw_infinitive,
    draw_it_again,
    draw_relative,
    draw_subordinate,
    draw_that,
    draw_whether,
    say,
)
from data_prep.corpora.demo_language.english import number_in_words
from data_prep.corpora.demo_language.german_forms import number_in_words as german_number_in_words
from data_prep.corpora.demo_language.lexicon import PERSON_KINDS, kinds_named
from data_prep.corpora.demo_language.meaning import IT, NO, Clause, NounPhrase
from data_prep.corpora.demo_language.phrases import Dice, draw_definite, draw_indefinite, draw_place, draw_subject
from data_prep.corpora.demo_language.questions import draw_question
from data_prep.corpora.demo_language.times import draw_clock_time
from data_prep.corpora.demo_language.verbs import BE, COST

_GOODS = kinds_named("goods vehicle furniture")
_CHILDREN = ("child", "boy", "girl", "pupil")
_ORDER_VERBS = tuple(verb for verb in PEOPLES_VERBS if verb.objects and not verb.notes & {"stative", "instant"})


def spell(words: Sequence[str], end: str) -> str:
    """Joins words into a sentence: attaches commas, removes doubled and final ones, capitalises the first letter.

    Args:
        words: the words, with "," where one is due.
        end: the final punctuation mark.

    Returns:
        The sentence.
    """
    text = " ".join(words).replace(" ,", ",").replace(",,", ",").removesuffix(",") + end
    return text[0].upper() + text[1:]


def _draw_statement(dice: Dice) -> Words:
    """Somebody does something: "Yesterday the king did not eat the cake"."""
    return say(put_something_first(dice, draw_clause(dice, Frame(circumstances=3))))


def _draw_description(dice: Dice) -> Words:
    """A description of somebody or something, with or without a comparison."""
    tense: Tense = "present" if dice.chance(0.65) else "past"
    choice = dice.weigh(((50, "quality"), (32, "comparison"), (18, "profession")))
    if choice == "quality":
        return say(draw_quality_clause(dice, tense))
    return say(draw_comparison_clause(dice) if choice == "comparison" else draw_profession_clause(dice))


def _draw_existence(dice: Dice) -> Words:
    """A sentence with "there is": "There are three museums in the city", "In der Stadt gibt es drei Museen"."""
    place = draw_place(dice, "existence")
    found = draw_indefinite(dice, ("wild",) if dice.chance(0.3) else ("building",))
    while isinstance(place.phrase, NounPhrase) and found.noun == place.phrase.noun:
        found = draw_indefinite(dice, ("building",))
    if dice.chance(0.2):
        found = NounPhrase(NO, found.noun, plural=False, adjectives=found.adjectives)
    past = dice.chance(0.3)
    be = ("were" if past else "are") if found.plural else ("was" if past else "is")
    words = ["there", be, *english.phrase_words(found), *english.adjunct_words(place)]
    german_verb = ["gab" if past else "gibt", "es"]
    return words, [*german.adjunct_words(place), *german_verb, *german.phrase_words(found, "acc")]


def _draw_age(dice: Dice) -> Words:
    subject = draw_subject(dice, PERSON_KINDS, definite=True)
    is_child = isinstance(subject, NounPhrase) and subject.noun.english in _CHILDREN
    years = dice.number(2, 15) if is_child else dice.number(18, 99)
    age = Adverbial(f"{number_in_words(years)} years old", f"{german_number_in_words(years)} Jahre alt")
    return say(Clause(subject, BE, predicate=age))


def _draw_price(dice: Dice) -> Words:
    """A price in words or, with cents, in digits, where German has a decimal comma."""
    euros = dice.number(2, 99)
    price = Adverbial(f"{number_in_words(euros)} euros", f"{german_number_in_words(euros)} Euro")
    if dice.chance(0.5):
        cents = dice.choose(("10", "20", "25", "50", "75", "80", "90", "95", "99"))
        price = Adverbial(f"{euros}.{cents} euros", f"{euros},{cents} Euro")
    return say(Clause(draw_definite(dice, _GOODS), COST, predicate=price))


def _draw_clock(dice: Dice) -> Words:
    return say(Clause(IT, BE, predicate=Adverbial(*draw_clock_time(dice))))


def _draw_number_sentence(dice: Dice) -> Words:
    """An age, a price or a time of day."""
    return dice.weigh(((45, _draw_age), (45, _draw_price), (10, _draw_clock)))(dice)


def _draw_order(dice: Dice) -> Words:
    """An imperative sentence: "Please do not open the door"."""
    clause = draw_clause(dice, Frame(verbs=_ORDER_VERBS, tenses=("present",), modals=False, circumstances=1))
    words, german_words = say(replace(clause, subject=None, frequency=None, time=None))
    return ["please", *words], ["bitte", *german_words]


def _draw_direct_question(dice: Dice) -> Words:
    clause, has_question_word = draw_question(dice)
    order: german.Order = "second" if has_question_word else "first"
    return english.clause_words(clause, is_question=True), german.clause_words(clause, order)


_DRAWS: tuple[tuple[float, tuple[Callable[[Dice], Words], str]], ...] = (
    (29, (_draw_statement, ".")),
    (15, (_draw_direct_question, "?")),
    (9, (_draw_description, ".")),
    (14, (draw_subordinate, ".")),
    (5, (draw_that, ".")),
    (3, (draw_whether, ".")),
    (6, (draw_relative, ".")),
    (5, (draw_infinitive, ".")),
    (5, (draw_coordination, ".")),
    (5, (draw_it_again, ".")),
    (3, (_draw_order, "!")),
    (2, (_draw_existence, ".")),
    (4, (_draw_number_sentence, ".")),
)


def draw_pair(dice: Dice) -> tuple[str, str]:
    """Draws one English sentence with its German translation."""
    draw, end = dice.weigh(_DRAWS)
    words, german_words = draw(dice)
    return spell(words, end), spell(german_words, end)
