"""Cleaning rules: which pairs they remove and which they keep."""

import pytest

from data_prep.languages import in_expected_script
from data_prep.settings import Settings
from data_prep.stages import cleaning_rules as clean
from data_prep.stages.cleaning_rules import Chunk, Cleaner
from resmlp_mt.common.errors import ResMLPError

GOOD = ("A dog sees the new house.", "Ein Hund sieht das neue Haus.")


def _cleaner(src="en", tgt="de", **changes):
    return Cleaner(Settings("files", src, tgt, **changes))


@pytest.mark.parametrize(
    ("rule", "src", "tgt"),
    [
        (clean.INVALID_UTF8, "A dog\udcff.", "Ein Hund."),
        (clean.UNREADABLE, "A dog.", "Ein H\ufffdnd."),
        (clean.UNREADABLE, "A \x00 dog.", "Ein Hund."),
        (clean.EMPTY, "A dog.", " \u00a0"),
        (clean.EMPTY, "", ""),
        (clean.TOO_LONG, "dog " * 251, "Hund " * 251),
        (clean.LONG_WORD, "See " + "x" * 101, "Sieh das hier"),
        (clean.RATIO, "A dog.", "Ein Hund sieht das neue Haus heute."),
        (clean.IDENTICAL, "Windows Server", " Windows Server "),
        (clean.SCRIPT, "A dog sees it.", "Собака видит его."),
        (clean.SCRIPT, "狗看见", "Ein Hund"),
    ],
)
def test_bad_pair_is_removed_by_its_rule(rule, src, tgt):
    assert _cleaner().broken_rule(src, tgt) == rule


@pytest.mark.parametrize(
    ("src", "tgt"),
    [
        GOOD,
        ("A\u2028dog\r", "Ein\u0085Hund"),
        ("dog " * 250, "Hund " * 250),
        ("See " + "x" * 100, "Sieh " + "x" * 99),
        ("A dog.", "Ein Hund sieht das neue Haus."),
        ("1 + 1 = 2", "1 + 1 = 2."),
        ("π is α", "π ist ein α"),
    ],
)
def test_pair_within_limits_is_kept(src, tgt):
    assert _cleaner().broken_rule(src, tgt) is None


def test_skipped_rule_removes_nothing():
    assert _cleaner(skip_rules=(clean.IDENTICAL,)).broken_rule("Windows", "Windows") is None


def test_languages_without_spaces_are_measured_in_characters():
    assert _cleaner("en", "zh").broken_rule("I like my small dog very much.", "我非常喜欢我的小狗。") is None
    assert _cleaner("ja", "zh", max_words=9).broken_rule("私は小さな犬が好きです", "我喜欢小狗") == clean.TOO_LONG
    assert _cleaner("ja", "zh").broken_rule("私は小さな犬が大好きです", "狗狗") == clean.RATIO


@pytest.mark.parametrize(
    ("text", "lang", "expected"),
    [
        ("Straße", "de", True),
        ("Привет", "ru", True),
        ("Привет", "de", False),
        ("Ok привет мир", "ru", True),
        ("Here is one слово", "ru", False),
        ("123 – 456!", "ru", True),
        ("Добар дан", "sr", True),
        ("ひらがなと漢字", "ja", True),
        ("漢字", "zh", True),
    ],
)
def test_half_of_letters_must_be_in_expected_script(text, lang, expected):
    assert in_expected_script(text, lang) is expected


def test_language_identification_removes_other_languages():
    pytest.importorskip("py3langid")
    cleaner = _cleaner(language_id=True)
    french = "Le chien regarde la nouvelle maison de mes parents depuis ce matin."
    assert cleaner.broken_rule("The dog has been looking at my parents' new house since this morning.", french) == (
        clean.LANGUAGE
    )
    assert cleaner.broken_rule(*GOOD) is None


def test_unsupported_language_is_named():
    pytest.importorskip("py3langid")
    with pytest.raises(ResMLPError, match="does not support the language tlh"):
        _cleaner("en", "tlh", language_id=True)


def test_removed_pairs_are_counted_and_order_is_kept():
    pairs = [GOOD, ("", ""), ("same", "same"), ("A cat.", "Eine Katze."), ("", "x")]
    chunk = Chunk("part", 41, [src for src, _ in pairs], [tgt for _, tgt in pairs])
    result = _cleaner().clean(chunk)
    assert result.counts == {"read": 5, clean.EMPTY: 2, clean.IDENTICAL: 1}
    assert result.src_text.decode().splitlines() == [GOOD[0], "A cat."]
    assert result.tgt_text.decode().splitlines() == [GOOD[1], "Eine Katze."]
    assert result.lines.tolist() == [41, 44]
    assert [(pair.rule, pair.line) for pair in result.removed] == [
        (clean.EMPTY, 42),
        (clean.IDENTICAL, 43),
        (clean.EMPTY, 45),
    ]
