"""From sentences to token ids: preparation of the text, the sentencepiece models, and fairseq's dictionary.

The models are trained with fairseq's four special symbols in fairseq's places, so that a model's ids are fairseq's.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import sentencepiece
from numpy.typing import NDArray

from data_prep.settings import Settings
from data_prep.workers import available_cores, run_in_child
from resmlp_mt.common.errors import ResMLPError
from resmlp_mt.common.files import open_whole_file, write_text
from resmlp_mt.translation.text.normalization import TextPreparation

# fairseq.data.Dictionary puts <s>, <pad>, </s>, <unk> first, in this order.
BEGIN, PADDING, END, UNKNOWN = range(4)
SPECIAL_SYMBOLS = 4
SPACE = "\u2581"
NORMALIZATION = "nmt_nfkc"
# sentencepiece's own limit of 4192 bytes would leave out long lines in silence.
_LONGEST_SENTENCE_BYTES = 1 << 16


def model_names(settings: Settings) -> tuple[str, ...]:
    """The file names of the models: one for both languages, or one for each, source first."""
    return ("spm.model",) if settings.joint else tuple(f"spm.{lang}.model" for lang in settings.languages)


def train_model(sample: Path, out: Path, settings: Settings) -> None:
    """Learns a sentencepiece model in a process of its own, so that an interrupt ends it and its memory is given back.

    Args:
        sample: text, one prepared sentence a line.
        out: the model file to write.
        settings: algorithm, size and coverage of the vocabulary.

    Raises:
        ResMLPError: when the text is too small for the vocabulary, or the vocabulary for the text's characters.
    """
    options = {
        "input": str(sample),
        "model_type": settings.model_type,
        "vocab_size": settings.vocab_size,
        "character_coverage": settings.character_coverage or (0.9999 if settings.byte_fallback else 1.0),
        "byte_fallback": settings.byte_fallback,
        "normalization_rule_name": NORMALIZATION,
        "max_sentence_length": _LONGEST_SENTENCE_BYTES,
        "bos_id": BEGIN,
        "pad_id": PADDING,
        "eos_id": END,
        "unk_id": UNKNOWN,
        "num_threads": available_cores(),
        "minloglevel": 2,
    }
    try:
        model = run_in_child(_train, options)
    except RuntimeError as error:
        reason = str(error).split("] ")[-1].strip().replace("\n", " ")
        raise ResMLPError(
            f"--vocab-size must fit the training text, but is {settings.vocab_size} and sentencepiece says: {reason} "
            "Change --vocab-size or --character-coverage"
        ) from error
    with open_whole_file(out) as file:
        file.write(model)


def _train(options: dict[str, object]) -> bytes:
    # Into memory: the library itself takes no notice when the disk is full.
    model = io.BytesIO()
    trainer: Any = sentencepiece.SentencePieceTrainer
    trainer.train(model_writer=model, **options)
    return model.getvalue()


def load_model(path: Path) -> sentencepiece.SentencePieceProcessor:
    """Loads a sentencepiece model.

    Raises:
        ResMLPError: when the file is not one.
    """
    try:
        return sentencepiece.SentencePieceProcessor(model_file=str(path))
    except (OSError, RuntimeError) as error:
        raise ResMLPError(f"{path} must be a sentencepiece model, but cannot be read as one; check the name") from error


def dictionary_symbols(model: sentencepiece.SentencePieceProcessor) -> list[str]:
    """The symbols of fairseq's dictionary after its four special ones: the model's pieces but for its own specials.

    Raises:
        ResMLPError: when a piece holds a line end, which a dictionary file cannot.
    """
    symbols = [model.id_to_piece(piece) for piece in range(model.get_piece_size()) if not _is_special(model, piece)]
    for symbol in symbols:
        if "\n" in symbol or "\r" in symbol:
            raise ResMLPError(
                f"the sentencepiece model must have no line end in a piece, but has {symbol!r}; train it with "
                f"--normalization_rule_name {NORMALIZATION}"
            )
    return symbols


def _is_special(model: sentencepiece.SentencePieceProcessor, piece: int) -> bool:
    return model.is_control(piece) or model.is_unknown(piece) or model.is_unused(piece)


def write_dictionary(path: Path, symbols: Sequence[str], counts: Sequence[int]) -> None:
    """Writes fairseq's dictionary, `SYMBOL COUNT` a line.

    Args:
        path: `dict.LANG.txt`.
        symbols: from `dictionary_symbols`.
        counts: how often each occurs in the training data.
    """
    write_text(path, "".join(f"{symbol} {count}\n" for symbol, count in zip(symbols, counts, strict=True)))


class Segmenter:
    """Turns sentences of one language into the ids of fairseq's dictionary.

    Args:
        model_path: the sentencepiece model.
        settings: preparation of the text, and sampling.
        lang: the language, for the tokeniser.
    """

    def __init__(self, model_path: Path, settings: Settings, lang: str) -> None:
        self.model = load_model(model_path)
        self.prepare = TextPreparation(settings.text, lang)
        self._dropout = settings.bpe_dropout
        self._fairseq_ids = _fairseq_ids(self.model)
        self.vocab_size = SPECIAL_SYMBOLS + len(dictionary_symbols(self.model))

    def encode(
        self, prepared: Sequence[str], sample: bool = False
    ) -> tuple[NDArray[np.integer], NDArray[np.int64], list[list[int]]]:
        """Segments prepared sentences.

        Args:
            prepared: sentences that went through `prepare`.
            sample: draw one of many segmentations of each (BPE-dropout) instead of the best.

        Returns:
            The fairseq ids of all sentences one after another, each sentence ended by `END`, `(sum of sizes,)`; the
            sizes, `(sentences,)`; and the model's own ids.
        """
        pieces = self.model.encode(
            list(prepared),
            out_type=int,
            num_threads=1,
            enable_sampling=sample,
            alpha=self._dropout if sample else None,
            nbest_size=-1,
        )
        sizes = np.fromiter(map(len, pieces), np.int64, len(pieces)) + 1
        ends = np.cumsum(sizes) - 1
        token_ids = np.empty(int(sizes.sum()), self._fairseq_ids.dtype)
        is_piece = np.ones(len(token_ids), bool)
        is_piece[ends] = False
        flat = np.fromiter(chain.from_iterable(pieces), np.int64, len(token_ids) - len(pieces))
        token_ids[is_piece] = self._fairseq_ids[flat]
        token_ids[ends] = END
        return token_ids, sizes, pieces

    def changes(self, text: str, pieces: Sequence[int]) -> bool:
        """Whether pieces, none of them unknown, fail to give back the sentence as the model normalises it."""
        restored = self.model.decode(list(pieces))
        return restored != self.model.normalize(text).replace(SPACE, " ").strip() and self.model.unk_id() not in pieces


def _fairseq_ids(model: sentencepiece.SentencePieceProcessor) -> NDArray[np.integer]:
    table = np.full(model.get_piece_size(), UNKNOWN, np.int64)
    ordinary = [piece for piece in range(len(table)) if not _is_special(model, piece)]
    table[ordinary] = np.arange(SPECIAL_SYMBOLS, SPECIAL_SYMBOLS + len(ordinary))
    return table
