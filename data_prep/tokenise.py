"""What happens to a sentence before sentencepiece sees it."""

from __future__ import annotations

from data_prep.settings import Settings


class TextPreparation:
    """Prepares sentences of one language: punctuation, Moses tokens, case, single spaces.

    Args:
        settings: which of these steps to take.
        lang: language code, for the language's own rules.
    """

    def __init__(self, settings: Settings, lang: str) -> None:
        self._lowercase = settings.lowercase
        self._normalise = None
        self._tokenise = None
        if settings.normalize_punctuation:
            from sacremoses import MosesPunctNormalizer

            self._normalise = MosesPunctNormalizer(lang).normalize
        if settings.tokenizer == "moses":
            from sacremoses import MosesTokenizer

            self._tokenise = MosesTokenizer(lang).tokenize

    def __call__(self, text: str) -> str:
        """Prepares a sentence.

        Every kind of white space becomes a space: fairseq splits its segmented text at any of them, so that a piece
        holding, say, U+0085 would come out of its vocabulary.
        """
        if self._normalise:
            text = self._normalise(text)
        if self._tokenise:
            # As fairseq's own `--tokenizer moses`: dashes split, XML characters escaped.
            text = self._tokenise(text, aggressive_dash_splits=True, return_str=True, escape=True)
        return " ".join((text.lower() if self._lowercase else text).split())
