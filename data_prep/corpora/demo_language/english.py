"""The English of the demo corpus: realises phrases and clauses, with agreement, do-support and word order."""

from __future__ import annotations

from data_prep.corpora.demo_language.adverbials import Adverbial
from data_prep.corpora.demo_language.lexicon import PERSON_KINDS, add_s, double_final
from data_prep.corpora.demo_language.meaning import (
    A,
    Both,
    Clause,
    Comparison,
    Name,
    NounPhrase,
    Phrase,
    PrepositionalPhrase,
    Pronoun,
    Quality,
    RelativePronoun,
    asks,
    is_plural,
    person_of,
)
from data_prep.corpora.demo_language.verbs import BE

_ONES = (
    *("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"),
    *("thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen"),
)
_TENS = ("", "", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
_THIRD_PERSON = {"have": "has", "do": "does", "go": "goes"}
_VOWEL_LETTERS_SPOKEN_AS_CONSONANTS = ("useful",)


def number_in_words(number: int) -> str:
    """Writes a whole number from 0 to 99: 21 -> "twenty-one"."""
    if number < len(_ONES):
        return _ONES[number]
    tens, ones = divmod(number, 10)
    return _TENS[tens] + (f"-{_ONES[ones]}" if ones else "")


def _article(next_word: str) -> str:
    vowel = next_word[0] in "aeiou" and next_word not in _VOWEL_LETTERS_SPOKEN_AS_CONSONANTS
    return "an" if vowel else "a"


def _possessive(owner: NounPhrase | Name) -> list[str]:
    words = phrase_words(owner)
    return [*words[:-1], words[-1] + ("'" if is_plural(owner) and words[-1].endswith("s") else "'s")]


def _noun_phrase_words(phrase: NounPhrase) -> list[str]:
    noun = phrase.noun.plural if phrase.plural else phrase.noun.english
    words = [adjective.english for adjective in phrase.adjectives] + noun.split()
    if phrase.number is not None:
        words.insert(0, number_in_words(phrase.number))
    if phrase.owner is not None:
        words = _possessive(phrase.owner) + words
    elif phrase.determiner == A and not phrase.plural:
        words.insert(0, _article(words[0]))
    else:
        determiner = phrase.determiner.plural if phrase.plural else phrase.determiner.singular
        words = determiner.split() + words
    if phrase.relative is not None:
        words += clause_words(phrase.relative)
    return words


def phrase_words(phrase: Phrase, is_subject: bool = False) -> list[str]:
    """Realises a phrase.

    Args:
        phrase: what is spoken of.
        is_subject: whether pronouns take their subject form ("he" and not "him").

    Returns:
        The words in order.
    """
    match phrase:
        case Pronoun():
            return [phrase.subject if is_subject else phrase.object]
        case RelativePronoun():
            return ["who" if phrase.noun.kind in PERSON_KINDS else "that"]
        case Name():
            return [phrase.text]
        case Both():
            return [*phrase_words(phrase.first), "and", *phrase_words(phrase.second)]
        case NounPhrase():
            return _noun_phrase_words(phrase)


def adjunct_words(part: object) -> list[str]:
    """The words of an adverbial or predicate; empty if it is missing."""
    match part:
        case Adverbial():
            return part.english.split()
        case PrepositionalPhrase():
            return [*part.preposition.english.split(), *phrase_words(part.phrase)]
        case Quality():
            return [*adjunct_words(part.degree), part.adjective.english]
        case Comparison(equal=True):
            return ["as", part.adjective.english, "as", *phrase_words(part.standard, is_subject=True)]
        case Comparison():
            return [*part.adjective.comparative.split(), "than", *phrase_words(part.standard, is_subject=True)]
        case NounPhrase():
            return phrase_words(part)
    return []


def _third_person(verb: str) -> str:
    return _THIRD_PERSON.get(verb, add_s(verb))


def _ing_form(verb: str) -> str:
    if verb.endswith("ie"):
        return verb[:-2] + "ying"
    without_e = verb[:-1] if verb.endswith("e") and not verb.endswith("ee") else double_final(verb)
    return without_e + "ing"


def _is_third_singular(subject: Phrase | None) -> bool:
    return subject is not None and person_of(subject) == 3 and not is_plural(subject)


def _be(subject: Phrase, past: bool) -> str:
    is_i = isinstance(subject, Pronoun) and subject.subject == "I"
    if past:
        return "was" if is_i or _is_third_singular(subject) else "were"
    return "am" if is_i else "is" if _is_third_singular(subject) else "are"


def _verb_words(clause: Clause, needs_auxiliary: bool) -> tuple[list[str], list[str]]:
    """Returns the auxiliary, which questions and negation need, and the other verb words."""
    subject, base, modal = clause.subject, clause.verb.english.base, clause.modal
    past = clause.tense == "past"
    if subject is None:
        return (["do"] if clause.negated else []), [base]
    if modal is not None and modal.auxiliary:
        return [modal.past if past else modal.present], [*modal.link.split(), base]
    if modal is None and clause.verb is BE:
        return [_be(subject, past)], []
    if clause.tense == "progressive":
        return [_be(subject, past=False)], [_ing_form(base)]
    lexical, lexical_past = (modal.present, modal.past) if modal else (base, clause.verb.english.past)
    governed = [modal.link, base] if modal else []
    third = _is_third_singular(subject)
    if needs_auxiliary:
        return ["did" if past else "does" if third else "do"], [lexical, *governed]
    return [], [lexical_past if past else _third_person(lexical) if third else lexical, *governed]


def _object_words(clause: Clause, object_is_fronted: bool) -> list[str]:
    """The words from the verb's particle to its last object."""
    particle = clause.verb.english.particle.split()
    preposition = clause.verb.preposition.english.split() if clause.verb.preposition else []
    if clause.object is None or object_is_fronted:
        recipient = phrase_words(clause.recipient) if clause.recipient else []
        return [*particle, *preposition, *(["to"] if recipient else []), *recipient]
    objects = phrase_words(clause.object)
    if clause.recipient is not None:
        recipient = phrase_words(clause.recipient)
        is_named_last = "recipient-to" in clause.verb.notes
        return [*objects, "to", *recipient] if is_named_last else [*recipient, *objects]
    if preposition or not isinstance(clause.object, Pronoun) or " " in clause.verb.english.particle:
        return [*particle, *preposition, *objects]
    return [*objects, *particle]


def clause_words(clause: Clause, is_question: bool = False) -> list[str]:
    """Realises a clause.

    Args:
        clause: what is said; without a subject it becomes an order or, unless negated, an infinitive without "to".
        is_question: whether the auxiliary comes before the subject.

    Returns:
        The words in order, without final punctuation.
    """
    subject_asks = asks(clause.subject)
    inverted = is_question and not subject_asks
    auxiliary, main = _verb_words(clause, needs_auxiliary=inverted or clause.negated)
    subject = phrase_words(clause.subject, is_subject=True) if clause.subject is not None else []
    fronted: list[str] = adjunct_words(clause.opener)
    if clause.front == "object" and clause.object is not None:
        fronted = phrase_words(clause.object)
    elif clause.front in ("place", "time"):
        fronted = adjunct_words(clause.place if clause.front == "place" else clause.time)
    negation = ["not"] if clause.negated else []
    if auxiliary == ["can"] and negation:
        auxiliary, negation = ["cannot"], []
    words = [*fronted, *(auxiliary + subject if inverted else subject + auxiliary), *negation]
    words += [*adjunct_words(clause.frequency), *main]
    words += _object_words(clause, object_is_fronted=clause.front == "object")
    words += adjunct_words(clause.predicate) + adjunct_words(clause.manner) + adjunct_words(clause.beneficiary)
    words += adjunct_words(clause.place) if clause.front != "place" else []
    words += adjunct_words(clause.company)
    return words + (adjunct_words(clause.time) if clause.front != "time" else [])
