"""Facts about languages: scripts, word separators, and language identification."""

from __future__ import annotations

import importlib
import re
from collections.abc import Sequence
from functools import cache

from resmlp_mt.common.errors import ResMLPError

_RANGES = {
    "Latin": "A-Za-z\u00aa\u00ba\u00c0-\u024f\u0250-\u02af\u1e00-\u1eff",
    "Greek": "\u0370-\u03ff\u1f00-\u1fff",
    "Cyrillic": "\u0400-\u052f\u1c80-\u1c8f\u2de0-\u2dff\ua640-\ua69f",
    "Armenian": "\u0530-\u058f",
    "Hebrew": "\u0590-\u05ff\ufb1d-\ufb4f",
    "Arabic": "\u0600-\u06ff\u0750-\u077f\u08a0-\u08ff\ufb50-\ufdff\ufe70-\ufeff",
    "Devanagari": "\u0900-\u097f\ua8e0-\ua8ff",
    "Bengali": "\u0980-\u09ff",
    "Gurmukhi": "\u0a00-\u0a7f",
    "Gujarati": "\u0a80-\u0aff",
    "Tamil": "\u0b80-\u0bff",
    "Telugu": "\u0c00-\u0c7f",
    "Kannada": "\u0c80-\u0cff",
    "Malayalam": "\u0d00-\u0d7f",
    "Sinhala": "\u0d80-\u0dff",
    "Thai": "\u0e00-\u0e7f",
    "Lao": "\u0e80-\u0eff",
    "Myanmar": "\u1000-\u109f",
    "Georgian": "\u10a0-\u10ff\u1c90-\u1cbf\u2d00-\u2d2f",
    "Ethiopic": "\u1200-\u139f",
    "Khmer": "\u1780-\u17ff",
    "Hangul": "\u1100-\u11ff\u3130-\u318f\uac00-\ud7af\u4e00-\u9fff",
    "Kana and Han": "\u3040-\u30ff\u31f0-\u31ff\uff66-\uff9d\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff",
    "Han": "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003134f",
}
_LANGUAGES_OF_SCRIPT = {
    "Latin": "af az bs ca cs cy da de en eo es et eu fi fo fr fy ga gl hr hu id is it la lb lt lv ms mt nb nl nn no oc "
    "pl pt ro sk sl so sq sv sw tk tl tr uz vi xh yo zu",
    "Greek": "el",
    "Cyrillic": "be bg kk ky mk mn ru tg uk",
    "Armenian": "hy",
    "Hebrew": "he yi",
    "Arabic": "ar fa ps sd ug ur",
    "Devanagari": "hi mr ne sa",
    "Bengali": "as bn",
    "Gurmukhi": "pa",
    "Gujarati": "gu",
    "Tamil": "ta",
    "Telugu": "te",
    "Kannada": "kn",
    "Malayalam": "ml",
    "Sinhala": "si",
    "Thai": "th",
    "Lao": "lo",
    "Myanmar": "my",
    "Georgian": "ka",
    "Ethiopic": "am ti",
    "Khmer": "km",
    "Hangul": "ko",
    "Kana and Han": "ja",
    "Han": "zh",
}
_SCRIPT = {lang: script for script, langs in _LANGUAGES_OF_SCRIPT.items() for lang in langs.split()}
_WITHOUT_SPACES = frozenset({"ja", "km", "lo", "my", "th", "zh"})
_LETTERS = re.compile(r"[^\W\d_]")
SCRIPT_SHARE = 0.5

# With fewer letters, language identifiers guess.
_LETTERS_TO_IDENTIFY = 30
_CERTAIN = 0.9


def written_without_spaces(lang: str) -> bool:
    """Whether a language is written without spaces between words, so that lengths are counted in characters."""
    return lang in _WITHOUT_SPACES


@cache
def _foreign_letter(lang: str) -> re.Pattern[str] | None:
    """Matches a letter outside the language's script; None for a language whose script is unknown."""
    script = _SCRIPT.get(lang)
    return re.compile(rf"[^\W\d_{_RANGES[script]}]") if script else None


def in_expected_script(text: str, lang: str) -> bool:
    """Whether at least half of the letters are of the language's script.

    Args:
        text: a sentence.
        lang: its language code. Languages that are not in the table, such as Serbian with its two scripts, accept
            every script.

    Returns:
        The answer; True for a text without letters.
    """
    pattern = _foreign_letter(lang)
    foreign = len(pattern.findall(text)) if pattern else 0
    return foreign == 0 or foreign <= (1 - SCRIPT_SHARE) * len(_LETTERS.findall(text))


class LanguageIdentifier:
    """Detects sentences in another language with the library `py3langid`.

    Args:
        languages: source and target language.

    Raises:
        ResMLPError: the library is not installed, or does not know one of the languages.
    """

    def __init__(self, languages: Sequence[str]) -> None:
        try:
            library = importlib.import_module("py3langid.langid")
            # Requires version 0.4: earlier versions store their model as a pickle.
            identifier = library.LanguageIdentifier.from_model_file(library.MODEL_FILE, norm_probs=True)
        except (ImportError, AttributeError) as error:
            raise ResMLPError(
                "--language-id requires py3langid; run `pip install 'py3langid>=0.4'`, or leave the option out"
            ) from error
        self._languages = tuple(languages)
        self._identifier = identifier
        known = set(identifier.labels)
        for lang in languages:
            if lang not in known:
                raise ResMLPError(f"--language-id does not support the language {lang}; leave the option out")

    def is_wrong(self, *texts: str) -> bool:
        """Whether the source or the target sentence is very probably in a language other than its own."""
        for text, lang in zip(texts, self._languages, strict=True):
            if len(_LETTERS.findall(text)) >= _LETTERS_TO_IDENTIFY:
                identified, probability = self._identifier.classify(text)
                if identified != lang and probability >= _CERTAIN:
                    return True
        return False
