"""What happens to a sentence before sentencepiece sees it, and after."""

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
        tokenizer: "none", or "moses" for Moses tokens, as fairseq's `--tokenizer moses` makes them.
        normalize_punctuation: Moses' normalisation of punctuation.
        lowercase: no capitals.
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
        settings: which of these steps to take.
        lang: language code, for the language's own rules.
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

        Every kind of white space becomes a space: fairseq splits its segmented text at any of them, so that a piece
        holding, say, U+0085 would come out of its vocabulary. Half a surrogate pair becomes a question mark.
        """
        text = text.encode("utf-8", "replace").decode("utf-8")
        if self._normalise:
            text = self._normalise(text)
        if self._tokenise:
            # As fairseq's own `--tokenizer moses`: dashes split, XML characters escaped.
            text = self._tokenise(text, aggressive_dash_splits=True, return_str=True, escape=True)
        return " ".join((text.lower() if self._lowercase else text).split())

    def restore(self, text: str) -> str:
        """Undoes the tokens, as far as that can be."""
        return self._detokenise(text.split()) if self._detokenise else text


def letters_and_digits(text: str) -> str:
    """The letters and digits of a text, without case."""
    return _NOT_LETTER_OR_DIGIT.sub("", text.casefold())


def normal_form(text: str) -> str:
    """What two near-equal sentences share: their letters and digits, without case, punctuation and spaces.

    A sentence without letters and digits is its own normal form.
    """
    return letters_and_digits(text) or text
