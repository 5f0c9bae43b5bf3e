"""German inflection: the forms of nouns, determiners, adjectives, relative pronouns, verbs and numbers."""

from __future__ import annotations

from data_prep.corpora.demo_language.lexicon import Adjective, Noun
from data_prep.corpora.demo_language.meaning import THE, A, Determiner, Phrase, is_plural, person_of
from data_prep.corpora.demo_language.verbs import BE, GermanVerb, german_stem, links_with_e

_CASES = ("nom", "acc", "dat", "gen")
_COLUMNS = "mfnp"
# One row for each case, one column for each gender in the singular and for the plural.
_ARTICLE = ("der die das die", "den die das die", "dem der dem den", "des der des der")
_STRONG_DETERMINER = ("er e es e", "en e es e", "em er em en", "es er es er")
_STRONG_ADJECTIVE = ("er e es e", "en e es e", "em er em en", "en er en er")
_WEAK_ADJECTIVE = ("e e e en", "en e e en", "en en en en", "en en en en")
_RELATIVE = ("der die das die", "den die das die", "dem der dem denen", "dessen deren dessen deren")
_EIN_WITHOUT_ENDING = (("nom", "m"), ("nom", "n"), ("acc", "n"))

_GENITIVES = {
    **{"Bus": "Busses", "Geheimnis": "Geheimnisses"},
    **{word: word + "s" for word in ("Chef", "Film", "Koch", "Park", "Schal", "Spiel")},
}

_ONES = (
    *("null", "ein", "zwei", "drei", "vier", "fünf", "sechs", "sieben", "acht", "neun", "zehn", "elf", "zwölf"),
    *("dreizehn", "vierzehn", "fünfzehn", "sechzehn", "siebzehn", "achtzehn", "neunzehn"),
)
_TENS = ("", "", "zwanzig", "dreißig", "vierzig", "fünfzig", "sechzig", "siebzig", "achtzig", "neunzig")


def number_in_words(number: int) -> str:
    """Writes a whole number from 2 to 99: 21 -> "einundzwanzig"."""
    if number < len(_ONES):
        return _ONES[number]
    tens, ones = divmod(number, 10)
    return (f"{_ONES[ones]}und" if ones else "") + _TENS[tens]


def _cell(table: tuple[str, ...], case: str, column: str) -> str:
    return table[_CASES.index(case)].split()[_COLUMNS.index(column)]


def column_of(noun: Noun, plural: bool) -> str:
    """The column of the tables of endings: the gender "m", "f" or "n", or "p" for the plural."""
    return "p" if plural else noun.gender


def _genitive(noun: Noun) -> str:
    word = noun.german
    if word in _GENITIVES:
        return _GENITIVES[word]
    vowels = [letter in "aeiouäöüy" for letter in word.lower()]
    syllables = sum(now and not before for before, now in zip([False, *vowels], vowels, strict=False))
    takes_es = word.endswith(("s", "ß", "x", "z")) or (syllables == 1 and not vowels[-1])
    return word + ("es" if takes_es else "s")


def noun_form(noun: Noun, case: str, plural: bool = False) -> str:
    """Declines a noun.

    Args:
        noun: the noun.
        case: "nom", "acc", "dat" or "gen".
        plural: whether more than one is meant.

    Returns:
        The form: (Kind, dat, plural) -> "Kindern", (Junge, acc) -> "Jungen", (Auto, gen) -> "Autos".
    """
    if plural:
        needs_n = case == "dat" and not noun.german_plural.endswith(("n", "s"))
        return noun.german_plural + ("n" if needs_n else "")
    if noun.weak and case != "nom":
        return noun.german_plural
    return _genitive(noun) if case == "gen" and noun.gender != "f" else noun.german


def determiner_form(determiner: Determiner, case: str, column: str) -> str:
    """Declines a determiner for a case and a column ("m", "f", "n" or "p"); empty where German has none."""
    if determiner.declension == "none":
        return determiner.german
    if determiner == THE:
        return _cell(_ARTICLE, case, column)
    if determiner == A and column == "p":
        return ""
    if determiner.declension == "ein" and (case, column) in _EIN_WITHOUT_ENDING:
        return determiner.german
    return determiner.german + _cell(_STRONG_DETERMINER, case, column)


def relative_form(case: str, column: str) -> str:
    """Declines the relative pronoun: like "der", but "denen" in the dative plural."""
    return _cell(_RELATIVE, case, column)


def adjective_form(adjective: Adjective, determiner: Determiner, case: str, column: str) -> str:
    """Declines an adjective before a noun: strong where the determiner shows no ending, otherwise weak."""
    word = adjective.german
    stem = word[:-2] + word[-1] if word.endswith(("el", "euer")) else word.removesuffix("e")
    shows_ending = determiner_form(determiner, case, column) not in ("", determiner.german)
    is_strong = determiner.strong_adjectives or not shows_ending
    return stem + _cell(_STRONG_ADJECTIVE if is_strong else _WEAK_ADJECTIVE, case, column)


def finite_form(verb: GermanVerb, subject: Phrase, preterite: bool = False) -> str:
    """Conjugates a verb in the present or the preterite for its subject, without its separable prefix."""
    person, plural = person_of(subject), is_plural(subject)
    if preterite:
        stem = verb.preterite.removesuffix("e")
        link = "e" if verb.preterite.endswith("e") else ""
        return stem + ("en" if plural else link + "st" if person == 2 else link)
    if plural:
        return "sind" if verb is BE.german else verb.infinitive
    return verb.present[person - 1]


def imperative(verb: GermanVerb) -> str:
    """The imperative singular, without the separable prefix: geben -> "gib", warten -> "warte", tragen -> "trag"."""
    stem, second = german_stem(verb.infinitive), verb.present[1]
    changes_e_to_i = "e" in stem[:4] and "i" in second and "i" not in stem
    if changes_e_to_i:
        return second.removesuffix("t") if stem.endswith(("s", "ß")) else second.removesuffix("st")
    takes_e = links_with_e(stem) or stem.endswith(("ig", "ier", "er")) or verb.infinitive.endswith("eln")
    return verb.present[0] if takes_e else stem
