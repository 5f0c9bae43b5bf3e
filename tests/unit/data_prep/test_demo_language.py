"""Sentences of the demo corpus's language for every phenomenon, worked out by hand."""

from __future__ import annotations

import pytest

from data_prep.corpora.demo_language import english, german
from data_prep.corpora.demo_language.adverbials import Adverbial
from data_prep.corpora.demo_language.complex_sentences import say
from data_prep.corpora.demo_language.lexicon import ADJECTIVES, NOUNS
from data_prep.corpora.demo_language.meaning import (
    ALL,
    BARE,
    FOR,
    HOW_MANY,
    IT_OF_GENDER,
    MANY,
    OWN,
    PERSONAL_PRONOUNS,
    POSSESSIVES,
    THE,
    THIS,
    WHICH,
    WHO,
    WITH,
    A,
    Both,
    Clause,
    Comparison,
    Determiner,
    Name,
    NounPhrase,
    PrepositionalPhrase,
    Quality,
    RelativePronoun,
)
from data_prep.corpora.demo_language.sentences import spell
from data_prep.corpora.demo_language.verbs import BE, CAN, HAVE_TO, INFINITIVE_VERBS, VERBS, WANT_TO, WILL, Preposition

ME, YOU, HE, SHE, WE, THEY = PERSONAL_PRONOUNS
MY, YOUR, HIS, HER, OUR, THEIR = POSSESSIVES
YESTERDAY = Adverbial("yesterday", "gestern")
ON_DATIVE = Preposition("on", "auf", "dat")
ON_ACCUSATIVE = Preposition("on", "auf", "acc")
TO_DATIVE = Preposition("to", "zu", "dat")
NEAR = Preposition("near", "in der Nähe", "gen")


def phrase(determiner: Determiner, words: str, plural: bool = False, number: int | None = None) -> NounPhrase:
    """Returns the noun phrase of words such as "small old house"."""
    *adjectives, noun = words.split()
    return NounPhrase(determiner, NOUNS[noun], plural, tuple(ADJECTIVES[word] for word in adjectives), number)


def clause(subject, verb, thing=None, **parts) -> Clause:
    return Clause(subject, VERBS[verb], object=thing, **parts)


def place(preposition, words, determiner=THE) -> PrepositionalPhrase:
    return PrepositionalPhrase(preposition, phrase(determiner, words))


MAN, WOMAN = phrase(THE, "man"), phrase(THE, "woman")
OPENS = clause(MAN, "open", phrase(THE, "door"))
STATEMENTS = [
    # gender and the accusative of articles
    (clause(MAN, "see", phrase(THE, "dog")), "The man sees the dog.", "Der Mann sieht den Hund."),
    (clause(SHE, "buy", phrase(A, "apple")), "She buys an apple.", "Sie kauft einen Apfel."),
    (clause(SHE, "buy", phrase(A, "useful lamp")), "She buys a useful lamp.", "Sie kauft eine nützliche Lampe."),
    (clause(ME, "need", phrase(MY, "bicycle")), "I need my bicycle.", "Ich brauche mein Fahrrad."),
    # weak nouns
    (
        clause(phrase(THE, "boy"), "know", phrase(THE, "student")),
        "The boy knows the student.",
        "Der Junge kennt den Studenten.",
    ),
    # adjectives: weak, mixed, strong
    (
        clause(WOMAN, "wash", phrase(THE, "old dirty coat")),
        "The woman washes the old dirty coat.",
        "Die Frau wäscht den alten schmutzigen Mantel.",
    ),
    (
        clause(phrase(A, "small child"), "find", phrase(A, "green hat")),
        "A small child finds a green hat.",
        "Ein kleines Kind findet einen grünen Hut.",
    ),
    (clause(HE, "drink", phrase(BARE, "cold milk")), "He drinks cold milk.", "Er trinkt kalte Milch."),
    (
        clause(WE, "eat", phrase(BARE, "red cherry", plural=True, number=21)),
        "We eat twenty-one red cherries.",
        "Wir essen einundzwanzig rote Kirschen.",
    ),
    (
        clause(phrase(MANY, "strict teacher", True), "trust", phrase(THIS, "poor farmer")),
        "Many strict teachers trust this poor farmer.",
        "Viele strenge Lehrer vertrauen diesem armen Bauern.",
    ),
    (
        clause(phrase(ALL, "good cook", True), "need", phrase(A, "expensive knife")),
        "All good cooks need an expensive knife.",
        "Alle guten Köche brauchen ein teures Messer.",
    ),
    # dative: -n in the plural, before the accusative
    (
        clause(HE, "give", phrase(A, "book"), recipient=phrase(THE, "child", plural=True)),
        "He gives the children a book.",
        "Er gibt den Kindern ein Buch.",
    ),
    (
        clause(SHE, "explain", phrase(THE, "rule"), recipient=phrase(HER, "old neighbour")),
        "She explains the rule to her old neighbour.",
        "Sie erklärt ihrem alten Nachbarn die Regel.",
    ),
    (clause(THEY, "help", HE), "They help him.", "Sie helfen ihm."),
    # prepositions and their cases, contractions
    (
        clause(HE, "place", phrase(THE, "box"), place=place(ON_ACCUSATIVE, "table")),
        "He places the box on the table.",
        "Er stellt die Kiste auf den Tisch.",
    ),
    (
        clause(phrase(THE, "box"), "stand", place=place(ON_DATIVE, "table")),
        "The box stands on the table.",
        "Die Kiste steht auf dem Tisch.",
    ),
    (
        clause(YOU, "go", place=place(TO_DATIVE, "school"), company=PrepositionalPhrase(WITH, phrase(YOUR, "aunt"))),
        "You go to the school with your aunt.",
        "Du gehst mit deiner Tante zur Schule.",
    ),
    (
        clause(ME, "buy", phrase(A, "ring"), beneficiary=PrepositionalPhrase(FOR, phrase(MY, "mother"))),
        "I buy a ring for my mother.",
        "Ich kaufe einen Ring für meine Mutter.",
    ),
    (clause(WE, "wait for", phrase(THE, "bus")), "We wait for the bus.", "Wir warten auf den Bus."),
    # genitive
    (
        clause(SHE, "live", place=place(NEAR, "old castle")),
        "She lives near the old castle.",
        "Sie wohnt in der Nähe des alten Schlosses.",
    ),
    (
        clause(HE, "repair", NounPhrase(OWN, NOUNS["car"], owner=phrase(THE, "doctor"))),
        "He repairs the doctor's car.",
        "Er repariert das Auto des Arztes.",
    ),
    (
        clause(HE, "repair", NounPhrase(OWN, NOUNS["car"], adjectives=(ADJECTIVES["new"],), owner=Name("Anna"))),
        "He repairs Anna's new car.",
        "Er repariert Annas neues Auto.",
    ),
    # verb second: the first constituent is not the subject
    (
        clause(MAN, "buy", phrase(A, "lamp"), tense="past", time=YESTERDAY, front="time"),
        "Yesterday the man bought a lamp.",
        "Gestern hat der Mann eine Lampe gekauft.",
    ),
    # the perfect with haben and sein, and the preterites
    (clause(SHE, "get up", tense="past"), "She got up.", "Sie ist aufgestanden."),
    (clause(WE, "read", phrase(THE, "poem")), "We read the poem.", "Wir lesen das Gedicht."),
    (clause(ME, "have", phrase(A, "dog"), tense="past"), "I had a dog.", "Ich hatte einen Hund."),
    (Clause(THEY, BE, "past", predicate=Quality(ADJECTIVES["tired"])), "They were tired.", "Sie waren müde."),
    # the English progressive
    (
        clause(HE, "run", place=place(TO_DATIVE, "station"), tense="progressive"),
        "He is running to the station.",
        "Er rennt zum Bahnhof.",
    ),
    # modal verbs
    (
        clause(phrase(THE, "tourist"), "visit", phrase(THE, "museum"), modal=WANT_TO),
        "The tourist wants to visit the museum.",
        "Der Tourist will das Museum besuchen.",
    ),
    (
        clause(HE, "read", phrase(THE, "letter"), modal=HAVE_TO, negated=True),
        "He does not have to read the letter.",
        "Er muss den Brief nicht lesen.",
    ),
    (clause(WE, "sleep", modal=CAN, tense="past"), "We could sleep.", "Wir konnten schlafen."),
    (
        clause(SHE, "call", THEY, modal=WILL, time=Adverbial("tomorrow", "morgen")),
        "She will call them tomorrow.",
        "Sie wird sie morgen anrufen.",
    ),
    # separable verbs
    (OPENS, "The man opens the door.", "Der Mann macht die Tür auf."),
    (
        clause(MAN, "open", phrase(THE, "door"), tense="past"),
        "The man opened the door.",
        "Der Mann hat die Tür aufgemacht.",
    ),
    (clause(ME, "pick up", YOU), "I pick you up.", "Ich hole dich ab."),
    # negation
    (clause(HE, "eat", phrase(BARE, "bread"), negated=True), "He does not eat bread.", "Er isst kein Brot."),
    (
        clause(HE, "buy", phrase(A, "old horse"), negated=True, tense="past"),
        "He did not buy an old horse.",
        "Er hat kein altes Pferd gekauft.",
    ),
    (
        clause(HE, "look after", phrase(THE, "child"), negated=True),
        "He does not look after the child.",
        "Er passt nicht auf das Kind auf.",
    ),
    (clause(SHE, "swim", modal=CAN, negated=True), "She cannot swim.", "Sie kann nicht schwimmen."),
    # comparison and profession
    (
        Clause(phrase(THE, "horse"), BE, predicate=Comparison(ADJECTIVES["big"], phrase(THE, "dog"))),
        "The horse is bigger than the dog.",
        "Das Pferd ist größer als der Hund.",
    ),
    (
        Clause(phrase(MY, "sister"), BE, predicate=phrase(A, "famous singer")),
        "My sister is a famous singer.",
        "Meine Schwester ist eine berühmte Sängerin.",
    ),
    # coordination of phrases
    (
        clause(Both(Name("Anna"), phrase(HER, "brother")), "know", phrase(THE, "king")),
        "Anna and her brother know the king.",
        "Anna und ihr Bruder kennen den König.",
    ),
    # relative clauses
    (
        clause(
            NounPhrase(
                THE, NOUNS["man"], relative=clause(RelativePronoun(NOUNS["man"], False), "sell", phrase(A, "car"))
            ),
            "laugh",
        ),
        "The man who sells a car laughs.",
        "Der Mann, der ein Auto verkauft, lacht.",
    ),
    (
        clause(
            ME,
            "know",
            NounPhrase(
                THE,
                NOUNS["child"],
                plural=True,
                relative=clause(SHE, "help", RelativePronoun(NOUNS["child"], True), front="object"),
            ),
        ),
        "I know the children who she helps.",
        "Ich kenne die Kinder, denen sie hilft.",
    ),
]


@pytest.mark.parametrize(("meaning", "source", "target"), STATEMENTS, ids=[source for _, source, _ in STATEMENTS])
def test_statements(meaning, source, target):
    words, german_words = say(meaning)
    assert spell(words, ".") == source
    assert spell(german_words, ".") == target


QUESTIONS = [
    (OPENS, "first", "Does the man open the door?", "Macht der Mann die Tür auf?"),
    (
        clause(WHO, "open", phrase(THE, "door"), tense="past"),
        "second",
        "Who opened the door?",
        "Wer hat die Tür aufgemacht?",
    ),
    (clause(MAN, "help", WHO, front="object"), "second", "Who does the man help?", "Wem hilft der Mann?"),
    (clause(YOU, "wait for", WHO, front="object"), "second", "Who do you wait for?", "Auf wen wartest du?"),
    (
        clause(SHE, "buy", phrase(WHICH, "hat"), tense="past", front="object"),
        "second",
        "Which hat did she buy?",
        "Welchen Hut hat sie gekauft?",
    ),
    (
        clause(phrase(HOW_MANY, "guest", plural=True), "sleep", tense="progressive"),
        "second",
        "How many guests are sleeping?",
        "Wie viele Gäste schlafen?",
    ),
    (
        clause(HE, "drive", opener=Adverbial("where", "wohin"), modal=HAVE_TO),
        "second",
        "Where does he have to drive?",
        "Wohin muss er fahren?",
    ),
]


@pytest.mark.parametrize(("meaning", "order", "source", "target"), QUESTIONS, ids=[row[2] for row in QUESTIONS])
def test_questions(meaning, order, source, target):
    assert spell(english.clause_words(meaning, is_question=True), "?") == source
    assert spell(german.clause_words(meaning, order), "?") == target


SUBORDINATE = [
    (OPENS, "der Mann die Tür aufmacht"),
    (clause(MAN, "open", phrase(THE, "door"), tense="past"), "der Mann die Tür aufgemacht hat"),
    (clause(MAN, "open", phrase(THE, "door"), modal=CAN), "der Mann die Tür aufmachen kann"),
    (Clause(SHE, BE, predicate=Quality(ADJECTIVES["sick"])), "sie krank ist"),
]


@pytest.mark.parametrize(("meaning", "words"), SUBORDINATE, ids=[words for _, words in SUBORDINATE])
def test_subordinate_clause_is_verb_final(meaning, words):
    assert " ".join(german.clause_words(meaning, "last")) == words


def test_main_clause_after_subordinate_is_verb_first():
    assert " ".join(german.clause_words(OPENS, "first")) == "macht der Mann die Tür auf"


def test_infinitive_of_separable_verb():
    without_subject = clause(None, "open", phrase(THE, "door"))
    assert " ".join(german.infinitive_words(without_subject)) == "die Tür aufzumachen"
    assert " ".join(german.infinitive_words(clause(None, "buy", phrase(A, "hat")))) == "einen Hut zu kaufen"


def test_imperative_has_no_subject():
    order = clause(None, "give", phrase(THE, "key"), recipient=ME)
    assert english.clause_words(order) == ["give", "me", "the", "key"]
    assert german.clause_words(order) == ["gib", "mir", "den", "Schlüssel"]
    denied = clause(None, "open", phrase(THE, "window"), negated=True)
    assert " ".join(english.clause_words(denied)) == "do not open the window"
    assert " ".join(german.clause_words(denied)) == "mach das Fenster nicht auf"


def test_it_agrees_with_german_gender():
    forms = {noun: IT_OF_GENDER[NOUNS[noun].gender].accusative for noun in ("letter", "lamp", "book")}
    assert forms == {"letter": "ihn", "lamp": "sie", "book": "es"}


def test_infinitive_clause_follows_comma():
    tries = next(verb for verb in INFINITIVE_VERBS if verb.english.base == "try")
    main = german.clause_words(Clause(SHE, tries, "past"))
    goal = german.infinitive_words(clause(None, "open", phrase(THE, "door")))
    assert spell([*main, ",", *goal], ".") == "Sie hat versucht, die Tür aufzumachen."
