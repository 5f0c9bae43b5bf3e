"""sentencepiece models, and the vocabulary that fairseq gets from one."""

from __future__ import annotations

from pathlib import Path

from sentencepiece import SentencePieceProcessor

from resmlp_mt.common.errors import ResMLPError

NORMALIZATION = "nmt_nfkc"
WORD_START = "\u2581"  # stands for the space before a word


def load_model(path: Path) -> SentencePieceProcessor:
    """Loads a sentencepiece model.

    Raises:
        ResMLPError: the file is not a sentencepiece model.
    """
    try:
        return SentencePieceProcessor(model_file=str(path))
    except (OSError, RuntimeError) as error:
        raise ResMLPError(f"{path} cannot be read as a sentencepiece model; check the name") from error


def parse_model(model: bytes) -> SentencePieceProcessor:
    """Loads a serialised sentencepiece model.

    Raises:
        ResMLPError: the content is not a sentencepiece model.
    """
    processor = SentencePieceProcessor()
    try:
        processor.LoadFromSerializedProto(model)
    except RuntimeError as error:
        raise ResMLPError("the sentencepiece model cannot be read: it is damaged; get it again") from error
    return processor


def dictionary_symbols(model: SentencePieceProcessor) -> list[str]:
    """The symbols of fairseq's dictionary after its special tokens: all pieces except the model's own special ones.

    Raises:
        ResMLPError: a piece contains a line break, which a dictionary file cannot hold.
    """
    symbols = [model.id_to_piece(piece) for piece in range(model.get_piece_size()) if not _is_special(model, piece)]
    for symbol in symbols:
        if "\n" in symbol or "\r" in symbol:
            raise ResMLPError(
                f"the sentencepiece model has a line break in the piece {symbol!r}, which a fairseq dictionary cannot "
                f"hold; train it with --normalization_rule_name {NORMALIZATION}"
            )
    return symbols


def _is_special(model: SentencePieceProcessor, piece: int) -> bool:
    return model.is_control(piece) or model.is_unknown(piece) or model.is_unused(piece)
