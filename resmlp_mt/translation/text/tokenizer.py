"""From raw sentences to a model's tokens and back."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import sentencepiece

from resmlp_mt.common.errors import ResMLPError
from resmlp_mt.translation.special_tokens import SPECIAL_TOKENS as SYMBOLS
from resmlp_mt.translation.text.normalization import TextPreparation, TextSettings, normal_form

SPECIAL_SYMBOLS = ("<s>", "<pad>", "</s>", "<unk>")  # fairseq's, in its places
WORD_START = "\u2581"
UNKNOWN_LETTER = "\ua66e"  # a letter that hardly any text has


def read_dictionary(path: Path) -> list[str]:
    """Reads the symbols of a fairseq dictionary, which has `SYMBOL COUNT` in each line.

    Returns:
        All symbols by their token, the special ones included.

    Raises:
        ResMLPError: when the file cannot be read or is no dictionary.
    """
    try:
        lines = path.read_text(encoding="utf-8").removesuffix("\n").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise ResMLPError(f"{path} must be a fairseq dictionary, but cannot be read ({error}); check --data") from error
    symbols = list(SPECIAL_SYMBOLS)
    for number, line in enumerate(lines, 1):
        symbol, _, count = line.removesuffix(" #fairseq:overwrite").rpartition(" ")
        if not symbol or not count.isdigit():
            raise ResMLPError(f"{path} must have SYMBOL COUNT in each line, but line {number} has not; check --data")
        symbols.append(symbol)
    return symbols


class Segmenter:
    """Turns sentences of one language into tokens and back.

    Args:
        model: a serialised sentencepiece model.
        symbols: of the vocabulary, by token, the special ones included.
        settings: preparation of the text.
        lang: language code.

    Raises:
        ResMLPError: when `model` is no sentencepiece model, or none of its pieces are in the vocabulary.
    """

    def __init__(self, model: bytes, symbols: Sequence[str], settings: TextSettings, lang: str) -> None:
        self.lang = lang
        self.symbols = symbols
        self._prepare = TextPreparation(settings, lang)
        self._pieces = sentencepiece.SentencePieceProcessor()
        try:
            self._pieces.LoadFromSerializedProto(model)
        except RuntimeError as error:
            raise ResMLPError("the sentencepiece model cannot be read as one; it is damaged: get it again") from error
        token_of_symbol = {symbol: token for token, symbol in enumerate(symbols)}
        names = [self._pieces.id_to_piece(piece) for piece in range(self._pieces.get_piece_size())]
        self._token_of_piece = [token_of_symbol.get(name, SYMBOLS.unknown) for name in names]
        if all(token <= SYMBOLS.unknown for token in self._token_of_piece):
            raise ResMLPError("the sentencepiece model must be that of the vocabulary, but shares no piece with it")

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """Segments raw sentences into tokens, each ended by the end of the sentence."""
        pieces = self._pieces.encode([self._prepare(text) for text in texts], out_type=int, num_threads=1)
        return [[*(self._token_of_piece[piece] for piece in of_text), SYMBOLS.end] for of_text in pieces]

    def decode(self, tokens: Sequence[int]) -> str:
        """Puts a raw sentence together; special tokens but the unknown one leave no trace."""
        text = self._pieces.decode_pieces(self._ordinary(tokens))
        return self._prepare.restore(text).replace("\n", " ")  # a line end can be spelled in bytes

    def normal_form(self, tokens: Sequence[int]) -> str:
        """The normal form of a sentence in tokens, by which leaks are found; see `text.normal_form`.

        Unknown tokens count as the letter `UNKNOWN_LETTER`. Moses tokens stay as they are.
        """
        known = (token for token in tokens if token >= SYMBOLS.unknown)
        pieces = [UNKNOWN_LETTER if token == SYMBOLS.unknown else self.symbols[token] for token in known]
        return normal_form(self._pieces.decode_pieces(pieces))

    def words(self, tokens: Sequence[int]) -> tuple[list[str], list[int]]:
        """Puts the words together of which tokens are parts.

        Args:
            tokens: of a sentence.

        Returns:
            The words, and for each token but the end of the sentence the number of its word.
        """
        groups: list[list[str]] = []
        word_of_token = []
        for symbol in self._ordinary(tokens):
            if not groups or symbol.startswith(WORD_START):
                groups.append([])
            groups[-1].append(symbol)
            word_of_token.append(len(groups) - 1)
        return [self._pieces.decode_pieces(group) or WORD_START for group in groups], word_of_token

    def _ordinary(self, tokens: Sequence[int]) -> list[str]:
        return [self.symbols[token] for token in tokens if token >= SYMBOLS.unknown]
