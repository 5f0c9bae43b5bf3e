"""Draws phrases of the demo corpus at random: nouns that fit, with determiners, adjectives and owners."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import TypeVar

from data_prep.corpora.demo_language.lexicon import (
    ADJECTIVES_OF,
    LAST_ADJECTIVES,
    NAMES,
    NOUNS_OF,
    PERSON_KINDS,
    Adjective,
    Noun,
    kinds_named,
)
from data_prep.corpora.demo_language.meaning import (
    ALL,
    BARE,
    EVERY,
    MANY,
    NO,
    OWN,
    PERSONAL_PRONOUNS,
    PLACES,
    POSSESSIVES,
    SEVERAL,
    SOME,
    THE,
    THIS,
    A,
    Both,
    Determiner,
    Name,
    NounPhrase,
    Phrase,
    PrepositionalPhrase,
    Pronoun,
)

Item = TypeVar("Item")
# The kinds of nouns that take a possessive; "my king" and "my bridge" would be strange.
_OWNABLE_KINDS = kinds_named(
    "acquaintance family pet food dish pastry drink reading press clothes container device vehicle thing crockery "
    "furniture fixture room event tale idea"
)
# Persons that somebody has only one of.
_UNIQUE = ("mother", "father", "boss")


class Dice:
    """Random choices that are the same for a seed on every platform and Python version."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def chance(self, probability: float) -> bool:
        """True with the given probability."""
        return self._random.random() < probability

    def number(self, low: int, high: int) -> int:
        """A whole number from low to high, both included."""
        return self._random.randrange(low, high + 1)

    def choose(self, items: Sequence[Item]) -> Item:
        """One of the items, all equally likely."""
        return items[self._random.randrange(len(items))]

    def weigh(self, table: Sequence[tuple[float, Item]]) -> Item:
        """One of the items of a table of (weight, item)."""
        left = self._random.random() * sum(weight for weight, _ in table)
        for weight, item in table:
            left -= weight
            if left < 0:
                return item
        return table[-1][1]


def draw_noun(dice: Dice, kinds: Sequence[str]) -> Noun:
    """A noun of one of the kinds, all nouns equally likely."""
    return dice.choose([noun for kind in kinds for noun in NOUNS_OF[kind]])


def _draw_adjectives(dice: Dice, noun: Noun) -> tuple[Adjective, ...]:
    fitting = ADJECTIVES_OF[noun.kind]
    count = dice.weigh(((60, 0), (36, 1), (4, 2)))
    first = dice.choose(fitting)
    last = [adjective for adjective in fitting if adjective.english in LAST_ADJECTIVES]
    if count == 2 and last and first not in last:
        return first, dice.choose(last)
    return (first,) if count else ()


def draw_article(dice: Dice, noun: Noun, possessive: float) -> Determiner:
    """A possessive with the given probability where the noun can belong to somebody, otherwise "the"."""
    return dice.choose(POSSESSIVES) if noun.kind in _OWNABLE_KINDS and dice.chance(possessive) else THE


def _draw_owner(dice: Dice) -> NounPhrase | Name:
    if dice.chance(0.3):
        return Name(dice.choose(NAMES))
    noun = draw_noun(dice, PERSON_KINDS)
    return NounPhrase(draw_article(dice, noun, possessive=0.4), noun, plural=dice.chance(0.2))


def draw_definite(dice: Dice, kinds: Sequence[str], plural: bool | None = None) -> NounPhrase:
    """A phrase with "the", "this", a possessive or an owner.

    Args:
        dice: the source of chance.
        kinds: kinds of nouns.
        plural: the number; left to chance when None.

    Returns:
        The phrase.
    """
    noun = draw_noun(dice, kinds)
    if plural is None:
        plural = dice.chance(0.25)
    plural = plural and bool(noun.plural) and noun.english not in _UNIQUE
    adjectives = _draw_adjectives(dice, noun)
    choice = dice.weigh(((82, "article"), (10, "this"), (8, "owner")))
    if choice == "owner" and noun.kind in _OWNABLE_KINDS:
        return NounPhrase(OWN, noun, plural, adjectives, owner=_draw_owner(dice))
    determiner = THIS if choice == "this" else draw_article(dice, noun, possessive=0.3)
    number = dice.number(2, 12) if plural and determiner is THE and dice.chance(0.15) else None
    return NounPhrase(determiner, noun, plural, adjectives, number)


def draw_indefinite(dice: Dice, kinds: Sequence[str], deniable: bool = False) -> NounPhrase:
    """A phrase with "a", a number, "some", or without a determiner.

    Args:
        dice: the source of chance.
        kinds: kinds of nouns.
        deniable: whether "not" must be able to turn its determiner into "kein".

    Returns:
        The phrase.
    """
    noun = draw_noun(dice, kinds)
    adjectives = _draw_adjectives(dice, noun)
    if not noun.plural:
        return NounPhrase(BARE, noun, False, adjectives)
    choice = dice.weigh(((55, A), (18, BARE), (14, OWN), (5, SOME), (5, MANY), (3, SEVERAL)))
    if choice is A:
        return NounPhrase(A, noun, False, adjectives)
    if choice is BARE or deniable:
        return NounPhrase(BARE, noun, True, adjectives)
    if choice is OWN:
        return NounPhrase(BARE, noun, True, adjectives, number=dice.number(2, 12))
    return NounPhrase(choice, noun, True, adjectives)


def draw_subject(dice: Dice, kinds: Sequence[str], definite: bool = False) -> Phrase:
    """A phrase that fits as subject.

    Args:
        dice: the source of chance.
        kinds: kinds of nouns.
        definite: whether everybody must know who is meant, as in questions and negated sentences.

    Returns:
        The phrase.
    """
    people = "person" in kinds
    choice = dice.weigh(
        (
            (50, "definite"),
            (24 if people else 0, "pronoun"),
            (9 if people else 0, "name"),
            (4 if people else 0, "both"),
            (0 if definite else 7, "indefinite"),
            (0 if definite else 4, "quantity"),
        )
    )
    if choice == "pronoun":
        return dice.choose(PERSONAL_PRONOUNS)
    if choice == "name":
        return Name(dice.choose(NAMES))
    if choice == "both":
        return draw_pair(dice, kinds)
    if choice == "indefinite":
        return draw_indefinite(dice, kinds)
    if choice == "quantity":
        determiner = dice.choose((EVERY, NO, ALL))
        return NounPhrase(determiner, draw_noun(dice, kinds), plural=determiner is ALL)
    return draw_definite(dice, kinds)


def draw_pair(dice: Dice, kinds: Sequence[str]) -> Both:
    """Two different nouns, or a name and a noun, joined by "and"."""
    first_noun, second_noun = draw_noun(dice, kinds), draw_noun(dice, kinds)
    while second_noun == first_noun:
        second_noun = draw_noun(dice, kinds)
    second = NounPhrase(draw_article(dice, second_noun, possessive=0.4), second_noun)
    if dice.chance(0.3) and "person" in kinds:
        return Both(Name(dice.choose(NAMES)), second)
    return Both(NounPhrase(draw_article(dice, first_noun, possessive=0.4), first_noun), second)


def _is_same_person(first: Phrase | None, second: Phrase) -> bool:
    """Whether two pronouns would need a reflexive, which this grammar lacks ("I see me", "we see me")."""
    if not isinstance(first, Pronoun) or not isinstance(second, Pronoun):
        return False
    return first.person == second.person and (first.person < 3 or first == second)


def draw_person_object(dice: Dice, subject: Phrase | None, kinds: Sequence[str], definite: bool = True) -> Phrase:
    """Somebody (or something) other than the subject: a pronoun, a name or a noun.

    Args:
        dice: the source of chance.
        subject: who does something to it, or with it.
        kinds: kinds of nouns; without people among them, neither names nor pronouns come.
        definite: whether the noun must be known to the listener.

    Returns:
        The phrase.
    """
    if "person" in kinds and dice.chance(0.25):
        pronoun = dice.choose(PERSONAL_PRONOUNS)
        if not _is_same_person(subject, pronoun):
            return pronoun
    # "Paul sees Paul" would be strange, so a name is never the object of another name.
    if "person" in kinds and dice.chance(0.08) and not isinstance(subject, (Name, Both)):
        return Name(dice.choose(NAMES))
    draw = draw_definite if definite or dice.chance(0.7) else draw_indefinite
    phrase = draw(dice, kinds)
    while isinstance(subject, NounPhrase) and phrase.noun == subject.noun:
        phrase = draw(dice, kinds)
    return phrase


def draw_place(dice: Dice, place_kind: str) -> PrepositionalPhrase:
    """A prepositional phrase of place or direction; `place_kind` is a key of `PLACES`."""
    preposition, kinds = dice.choose(PLACES[place_kind])
    noun = draw_noun(dice, kinds)
    determiner = dice.weigh(((82, draw_article(dice, noun, possessive=0.25)), (12, A), (6, THIS)))
    adjectives = _draw_adjectives(dice, noun) if dice.chance(0.5) else ()
    return PrepositionalPhrase(preposition, NounPhrase(determiner, noun, False, adjectives))
