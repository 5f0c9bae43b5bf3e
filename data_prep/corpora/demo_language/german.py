"""The German of the demo corpus: realises phrases and clauses, with the finite verb first, second or last."""

from __future__ import annotations

from typing import Literal

from data_prep.corpora.demo_language.adverbials import Adverbial
from data_prep.corpora.demo_language.german_forms import (
    adjective_form,
    column_of,
    determiner_form,
    finite_form,
    imperative,
    noun_form,
    number_in_words,
    relative_form,
)
from data_prep.corpora.demo_language.meaning import (
    BARE,
    NO,
    THE,
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
)
from data_prep.corpora.demo_language.verbs import BE, HABEN

Order = Literal["first", "second", "last"]

_CONTRACTIONS = {
    ("in", "dem"): "im",
    ("in", "das"): "ins",
    ("an", "dem"): "am",
    ("von", "dem"): "vom",
    ("zu", "dem"): "zum",
    ("zu", "der"): "zur",
}


def _noun_phrase_words(phrase: NounPhrase, case: str) -> list[str]:
    column = column_of(phrase.noun, phrase.plural)
    # "the doctor's car" is "das Auto des Arztes", but "Anna's car" is "Annas Auto".
    determiner = THE if isinstance(phrase.owner, NounPhrase) else phrase.determiner
    words = [f"{phrase.owner.text}s"] if isinstance(phrase.owner, Name) else []
    words += determiner_form(determiner, case, column).split()
    words += [number_in_words(phrase.number)] if phrase.number is not None else []
    words += [adjective_form(adjective, determiner, case, column) for adjective in phrase.adjectives]
    words.append(noun_form(phrase.noun, case, phrase.plural))
    if isinstance(phrase.owner, NounPhrase):
        words += phrase_words(phrase.owner, "gen")
    if phrase.relative is not None:
        words += [",", *clause_words(phrase.relative, "last"), ","]
    return words


def phrase_words(phrase: Phrase, case: str) -> list[str]:
    """Realises a phrase.

    Args:
        phrase: what is spoken of.
        case: "nom", "acc", "dat" or "gen".

    Returns:
        The words in order; a relative clause comes with its commas.
    """
    match phrase:
        case Pronoun():
            return [{"nom": phrase.nominative, "acc": phrase.accusative, "dat": phrase.dative}[case]]
        case RelativePronoun():
            return [relative_form(case, column_of(phrase.noun, phrase.plural))]
        case Name():
            return [phrase.text]
        case Both():
            return [*phrase_words(phrase.first, case), "und", *phrase_words(phrase.second, case)]
        case NounPhrase():
            return _noun_phrase_words(phrase, case)


def _after_preposition(preposition: str, case: str, phrase: Phrase) -> list[str]:
    words = phrase_words(phrase, case)
    has_article = isinstance(phrase, NounPhrase) and phrase.determiner == THE
    if has_article and (preposition, words[0]) in _CONTRACTIONS:
        return [_CONTRACTIONS[preposition, words[0]], *words[1:]]
    return [*preposition.split(), *words]


def adjunct_words(part: object) -> list[str]:
    """The words of an adverbial or predicate; empty if it is missing."""
    match part:
        case Adverbial():
            return part.german.split()
        case PrepositionalPhrase():
            return _after_preposition(part.preposition.german, part.preposition.case, part.phrase)
        case Quality():
            return [*adjunct_words(part.degree), part.adjective.german]
        case Comparison(equal=True):
            return ["so", part.adjective.german, "wie", *phrase_words(part.standard, "nom")]
        case Comparison():
            return [part.adjective.german_comparative, "als", *phrase_words(part.standard, "nom")]
        case NounPhrase():
            return phrase_words(part, "nom")
    return []


def _verb_words(clause: Clause) -> tuple[str, list[str]]:
    """Returns the finite verb, and the words that close the clause (prefix, participle or infinitive)."""
    verb, subject = clause.verb.german, clause.subject
    if subject is None:
        return imperative(verb), [verb.prefix] if verb.prefix else []
    past = clause.tense == "past"
    if clause.modal is not None:
        return finite_form(clause.modal.german, subject, preterite=past), [verb.prefix + verb.infinitive]
    if past and not verb.preterite:
        auxiliary = BE.german if verb.takes_sein else HABEN
        return finite_form(auxiliary, subject), [verb.prefix + verb.participle]
    return finite_form(verb, subject, preterite=past), [verb.prefix] if verb.prefix else []


def _denies_with_kein(clause: Clause) -> bool:
    """Whether the negation goes into the object's article: "kein Brot", "keine Äpfel"."""
    obj = clause.object
    takes_article = isinstance(obj, NounPhrase) and obj.determiner in (A, BARE) and obj.number is None
    return clause.negated and takes_article and clause.verb.object_case == "acc" and not _german_preposition(clause)


def _german_preposition(clause: Clause) -> str:
    return clause.verb.preposition.german if clause.verb.preposition else ""


def _object_words(clause: Clause) -> list[str]:
    if clause.object is None:
        return []
    case, obj = clause.verb.object_case, clause.object
    if _denies_with_kein(clause) and isinstance(obj, NounPhrase):
        obj = NounPhrase(NO, obj.noun, obj.plural, obj.adjectives)
    preposition = _german_preposition(clause)
    return _after_preposition(preposition, case, obj) if preposition else phrase_words(obj, case)


def _middle_words(clause: Clause) -> list[str]:
    """Everything between the finite verb and the words that close the clause, except the subject and the fronted part.

    Pronouns come first, then time, frequency and manner, then noun objects, then "nicht" and what it denies.
    """
    direct = [] if clause.front == "object" else _object_words(clause)
    object_is_pronoun = isinstance(clause.object, Pronoun) and not _german_preposition(clause)
    recipient = phrase_words(clause.recipient, "dat") if clause.recipient is not None else []
    recipient_is_pronoun = isinstance(clause.recipient, Pronoun)
    words = (direct if object_is_pronoun else []) + (recipient if recipient_is_pronoun else [])
    words += adjunct_words(clause.time) if clause.front != "time" else []
    words += adjunct_words(clause.frequency) + adjunct_words(clause.manner)
    words += recipient if not recipient_is_pronoun else []
    after_negation = bool(_german_preposition(clause))
    words += direct if not object_is_pronoun and not after_negation else []
    words += ["nicht"] if clause.negated and not _denies_with_kein(clause) else []
    words += direct if after_negation else []
    words += adjunct_words(clause.beneficiary) + adjunct_words(clause.company)
    words += adjunct_words(clause.place) if clause.front != "place" else []
    return words + adjunct_words(clause.predicate)


def _front_words(clause: Clause) -> list[str]:
    """The words before the finite verb, unless the subject is first; then empty."""
    match clause.front:
        case "object":
            return _object_words(clause)
        case "place":
            return adjunct_words(clause.place)
        case "time":
            return adjunct_words(clause.time)
    return adjunct_words(clause.opener)


def clause_words(clause: Clause, order: Order = "second") -> list[str]:
    """Realises a clause.

    Args:
        clause: what is said; without a subject it becomes an order.
        order: the finite verb's place: "first" (yes-no questions, orders, main clauses after a subordinate one),
            "second" (statements, questions with a question word), or "last" (subordinate clauses).

    Returns:
        The words in order, without final punctuation.
    """
    finite, closing = _verb_words(clause)
    subject = phrase_words(clause.subject, "nom") if clause.subject is not None else []
    front, middle = _front_words(clause), _middle_words(clause)
    if order == "last":
        end = [closing[0] + finite] if clause.verb.german.prefix in closing and closing else [*closing, finite]
        return [*front, *subject, *middle, *end]
    if order == "first":
        return [finite, *front, *subject, *middle, *closing]
    if front:
        return [*front, finite, *subject, *middle, *closing]
    return [*subject, finite, *middle, *closing]


def infinitive_words(clause: Clause) -> list[str]:
    """Converts a clause without subject to an infinitive with "zu": "die Tür aufzumachen"."""
    verb = clause.verb.german
    marked = [f"{verb.prefix}zu{verb.infinitive}"] if verb.prefix else ["zu", verb.infinitive]
    return [*_middle_words(clause), *marked]
