"""Prepares a sentence for sentencepiece and undoes the preparation; the normal form for comparing sentences."""

from __future__ import annotations

import re
from dataclasses import dataclass

from resmlp_mt.common.errors import require_choice, require_flag

TOKENIZERS = ("none", "moses")
_NOT_LETTER_OR_DIGIT = re.compile(r"[\W_]+")


@dataclass(frozen=True)
class TextSettings:
    """How the training text was prepared.

    Attributes:
        tokenizer: "none", or "moses" for Moses tokens like those of fairseq's `--tokenizer moses`.
        normalize_punctuation: normalise punctuation as Moses does.
        lowercase: convert to lower case.
    """

    tokenizer: str = "none"
    normalize_punctuation: bool = False
    lowercase: bool = False

    def __post_init__(self) -> None:
        require_choice("tokenizer", self.tokenizer, TOKENIZERS)
        for name in ("normalize_punctuation", "lowercase"):
            require_flag(name, getattr(self, name))


class TextPreparation:
    """Prepares sentences of one language: punctuation, Moses tokens, case, single spaces.

    Args:
        settings: which of these steps to apply.
        lang: language code; the Moses rules depend on the language.
    """

    def __init__(self, settings: TextSettings, lang: str) -> None:
        self._lowercase = settings.lowercase
        self._normalise = self._tokenise = self._detokenise = None
        if settings.normalize_punctuation:
            from sacremoses import MosesPunctNormalizer

            self._normalise = MosesPunctNormalizer(lang).normalize
        if settings.tokenizer == "moses":
            from sacremoses import MosesDetokenizer, MosesTokenizer

            self._tokenise = MosesTokenizer(lang).tokenize
            self._detokenise = MosesDetokenizer(lang).detokenize

    def __call__(self, text: str) -> str:
        """Prepares a sentence.

        Every white-space character becomes a space: fairseq splits its tokenized text at all of them, so that a piece
        with U+0085 in it, for example, would not be found in the vocabulary. A lone surrogate becomes a question mark.
        """
        text = text.encode("utf-8", "replace").decode("utf-8")
        if self._normalise:
            text = self._normalise(text)
        if self._tokenise:
            # Like fairseq's `--tokenizer moses`: dashes are split, XML characters are escaped.
            text = self._tokenise(text, aggressive_dash_splits=True, return_str=True, escape=True)
        return " ".join((text.lower() if self._lowercase else text).split())

    def restore(self, text: str) -> str:
        """Joins Moses tokens again, as far as that is possible."""
        return self._detokenise(text.split()) if self._detokenise else text


def letters_and_digits(text: str) -> str:
    """The letters and digits of a text, case-folded."""
    return _NOT_LETTER_OR_DIGIT.sub("", text.casefold())


def normal_form(text: str) -> str:
    """The form in which near-equal sentences are equal: letters and digits, without case, punctuation and spaces.

    A sentence without letters and digits is its own normal form.
    """
    return letters_and_digits(text) or text
