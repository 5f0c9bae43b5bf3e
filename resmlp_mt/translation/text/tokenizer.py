"""The tokenizer: from raw sentences to a model's tokens and back, the same for preparing, training and translating."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from resmlp_mt.common.errors import ResMLPError
from resmlp_mt.translation.special_tokens import SPECIAL_TOKENS
from resmlp_mt.translation.text.dictionary import SPECIAL_TOKEN_NAMES
from resmlp_mt.translation.text.normalization import TextPreparation, TextSettings, normal_form
from resmlp_mt.translation.text.sentencepiece_model import WORD_START, dictionary_symbols, load_model, parse_model

UNKNOWN_LETTER = "\ua66e"  # a letter that hardly any text contains


@dataclass(frozen=True)
class EncodedText:
    """Sentences in tokens.

    Attributes:
        tokens: of all sentences one after another, each sentence with its end, `(sum of sizes,)`.
        sizes: tokens of each sentence, `(sentences,)`.
        pieces: sentencepiece's own ids of each sentence, without its end.
    """

    tokens: NDArray[np.int64]
    sizes: NDArray[np.int64]
    pieces: list[list[int]]


class Tokenizer:
    """Converts sentences of one language to tokens and back.

    Args:
        model: a serialised sentencepiece model.
        symbols: of the vocabulary, by token, the special tokens included.
        settings: how the text is prepared before sentencepiece sees it.
        lang: language code.

    Attributes:
        prepare: prepares a raw sentence for `encode_prepared`.

    Raises:
        ResMLPError: `model` is not a sentencepiece model, or none of its pieces are in the vocabulary.
    """

    def __init__(self, model: bytes, symbols: Sequence[str], settings: TextSettings, lang: str) -> None:
        self.lang = lang
        self.symbols = symbols
        self.prepare = TextPreparation(settings, lang)
        self._model = parse_model(model)
        token_of_symbol = {symbol: token for token, symbol in enumerate(symbols)}
        names = [self._model.id_to_piece(piece) for piece in range(self._model.get_piece_size())]
        self._token_of_piece = [token_of_symbol.get(name, SPECIAL_TOKENS.unknown) for name in names]
        if all(token <= SPECIAL_TOKENS.unknown for token in self._token_of_piece):
            raise ResMLPError(
                "the sentencepiece model and the vocabulary have no piece in common; use the model that the vocabulary "
                "was made with"
            )
        self._token_table = np.array(self._token_of_piece, np.int64)

    @classmethod
    def from_model(cls, path: Path, settings: TextSettings, lang: str) -> Tokenizer:
        """The tokenizer of a sentencepiece model file, whose pieces are the vocabulary."""
        symbols = [*SPECIAL_TOKEN_NAMES, *dictionary_symbols(load_model(path))]
        return cls(path.read_bytes(), symbols, settings, lang)

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """Converts raw sentences to tokens, each with its end."""
        pieces = self._model.encode([self.prepare(text) for text in texts], out_type=int, num_threads=1)
        return [[*(self._token_of_piece[piece] for piece in of_text), SPECIAL_TOKENS.end] for of_text in pieces]

    def encode_prepared(self, prepared: Sequence[str], dropout: float | None = None) -> EncodedText:
        """Converts prepared sentences to tokens, in arrays: the fast form for corpora.

        Args:
            prepared: sentences from `prepare`.
            dropout: sample one of many segmentations of each sentence with this probability of leaving out a merge
                (BPE) or this smoothing (unigram); None for the single best one.
        """
        pieces = self._model.encode(
            list(prepared),
            out_type=int,
            num_threads=1,
            enable_sampling=dropout is not None,
            alpha=dropout,
            nbest_size=-1,
        )
        sizes = np.fromiter(map(len, pieces), np.int64, len(pieces)) + 1
        ends = np.cumsum(sizes) - 1
        tokens = np.empty(int(sizes.sum()), np.int64)
        is_piece = np.ones(len(tokens), bool)
        is_piece[ends] = False
        flat = np.fromiter(chain.from_iterable(pieces), np.int64, len(tokens) - len(pieces))
        tokens[is_piece] = self._token_table[flat]
        tokens[ends] = SPECIAL_TOKENS.end
        return EncodedText(tokens, sizes, pieces)

    def is_lossy(self, prepared: str, pieces: Sequence[int]) -> bool:
        """Whether pieces, none of them unknown, do not decode to the sentence as sentencepiece normalises it.

        Args:
            prepared: the sentence.
            pieces: of `EncodedText.pieces`.
        """
        expected = self._model.normalize(prepared).replace(WORD_START, " ").strip()
        return self._model.decode(list(pieces)) != expected and self._model.unk_id() not in pieces

    def decode(self, tokens: Sequence[int]) -> str:
        """Converts tokens to a raw sentence; special tokens except the unknown one are left out."""
        text = self._model.decode_pieces(self._ordinary(tokens))
        return self.prepare.restore(text).replace("\n", " ")  # a line break can be spelled in bytes

    def normal_form(self, tokens: Sequence[int]) -> str:
        """The normal form of a sentence in tokens, which leaks are compared by; see `normalization.normal_form`.

        Unknown tokens count as the letter `UNKNOWN_LETTER`. Moses tokens are not joined.
        """
        known = (token for token in tokens if token >= SPECIAL_TOKENS.unknown)
        pieces = [UNKNOWN_LETTER if token == SPECIAL_TOKENS.unknown else self.symbols[token] for token in known]
        return normal_form(self._model.decode_pieces(pieces))

    def words(self, tokens: Sequence[int]) -> tuple[list[str], list[int]]:
        """Groups tokens into words.

        Args:
            tokens: of a sentence.

        Returns:
            The words, and for each token except the end of the sentence the index of its word.
        """
        groups: list[list[str]] = []
        word_of_token = []
        for symbol in self._ordinary(tokens):
            if not groups or symbol.startswith(WORD_START):
                groups.append([])
            groups[-1].append(symbol)
            word_of_token.append(len(groups) - 1)
        return [self._model.decode_pieces(group) or WORD_START for group in groups], word_of_token

    def _ordinary(self, tokens: Sequence[int]) -> list[str]:
        return [self.symbols[token] for token in tokens if token >= SPECIAL_TOKENS.unknown]
