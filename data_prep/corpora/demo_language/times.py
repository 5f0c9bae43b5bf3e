"""Draws times of the demo corpus at random, each fitting the tense of its clause."""

from __future__ import annotations

from data_prep.corpora.demo_language.adverbials import TIMES, Adverbial
from data_prep.corpora.demo_language.english import number_in_words
from data_prep.corpora.demo_language.german_forms import number_in_words as german_number_in_words
from data_prep.corpora.demo_language.meaning import EVENT_PREPOSITIONS, Adjunct, Clause, NounPhrase, PrepositionalPhrase
from data_prep.corpora.demo_language.phrases import Dice, draw_article, draw_noun

_MONTHS = (
    *(("January", "Januar"), ("February", "Februar"), ("March", "März"), ("April", "April"), ("May", "Mai")),
    *(("June", "Juni"), ("July", "Juli"), ("August", "August"), ("September", "September")),
    *(("October", "Oktober"), ("November", "November"), ("December", "Dezember")),
)
_SPANS = (("days", "Tagen"), ("weeks", "Wochen"), ("months", "Monaten"), ("years", "Jahren"))


def draw_clock_time(dice: Dice) -> tuple[str, str]:
    """A time of day in both languages without its preposition: ("half past seven", "halb acht")."""
    hour = dice.number(2, 11)
    english_hour, german_hour = number_in_words(hour), german_number_in_words(hour)
    choice = dice.weigh(((35, "hour"), (25, "half"), (15, "quarter"), (25, "digits")))
    if choice == "hour":
        return f"{english_hour} o'clock", f"{german_hour} Uhr"
    if choice == "half":
        return f"half past {english_hour}", f"halb {german_number_in_words(hour + 1)}"
    if choice == "quarter":
        return f"a quarter past {english_hour}", f"Viertel nach {german_hour}"
    digits = f"{dice.number(6, 22)}:{dice.choose(('10', '15', '20', '30', '40', '45', '50'))}"
    return digits, f"{digits} Uhr"


def _draw_counted_time(dice: Dice, past: bool) -> Adverbial:
    """A time with a number: "three weeks ago", "in four days", "on 5 May", "in 1987"."""
    number, (span, german_span) = dice.number(2, 12), dice.choose(_SPANS)
    words, german_words = number_in_words(number), german_number_in_words(number)
    choice = dice.weigh(((5, "span"), (3, "date"), (2 if past else 0, "year")))
    if choice == "year":
        year = dice.number(1960, 2024)
        return Adverbial(f"in {year}", f"im Jahr {year}")
    if choice == "date":
        day, (month, german_month) = dice.number(1, 28), dice.choose(_MONTHS)
        return Adverbial(f"on {day} {month}", f"am {day}. {german_month}")
    if past:
        return Adverbial(f"{words} {span} ago", f"vor {german_words} {german_span}")
    return Adverbial(f"in {words} {span}", f"in {german_words} {german_span}")


def _draw_event_time(dice: Dice) -> PrepositionalPhrase:
    """A time defined by an event: "before the concert", "during our journey"."""
    event = draw_noun(dice, ("event",))
    determiner = draw_article(dice, event, possessive=0.2)
    return PrepositionalPhrase(dice.choose(EVENT_PREPOSITIONS), NounPhrase(determiner, event))


def draw_time(dice: Dice, clause: Clause) -> Adjunct | None:
    """A time that fits the clause's tense; None for permanent states ("he knows the way")."""
    if clause.tense == "progressive":
        return dice.choose(TIMES["now"])
    looks_ahead = clause.tense == "present" and clause.modal is not None
    if "stative" in clause.verb.notes and clause.tense == "present":
        return None
    choice = dice.weigh(((60, "usual"), (12, "counted"), (14, "clock"), (14, "event")))
    if choice == "event" and "event" not in (*clause.verb.subjects, *clause.verb.objects):
        return _draw_event_time(dice)
    if choice == "clock" or clause.verb.subjects == ("event",):
        words, german_words = draw_clock_time(dice)
        return Adverbial(f"at {words}", f"um {german_words}")
    if choice == "counted" and (clause.tense == "past" or looks_ahead):
        return _draw_counted_time(dice, clause.tense == "past")
    return dice.choose(TIMES["past" if clause.tense == "past" else "future" if looks_ahead else "habit"])
