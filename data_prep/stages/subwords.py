"""Trains the sentencepiece models.

They have fairseq's special tokens at fairseq's indices, so that a piece's id is its token.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import sentencepiece

from data_prep.settings import Settings
from data_prep.workers import available_cores, run_in_child
from resmlp_mt.common.errors import ResMLPError
from resmlp_mt.common.files import open_whole_file
from resmlp_mt.translation.special_tokens import SPECIAL_TOKENS
from resmlp_mt.translation.text.dictionary import SPECIAL_TOKEN_NAMES
from resmlp_mt.translation.text.sentencepiece_model import NORMALIZATION

# sentencepiece's default limit of 4192 bytes would silently skip long lines.
_LONGEST_SENTENCE_BYTES = 1 << 16


def model_names(settings: Settings) -> tuple[str, ...]:
    """The file names of the models: one for both languages, or one for each, source first."""
    return ("spm.model",) if settings.joint else tuple(f"spm.{lang}.model" for lang in settings.languages)


def train_model(sample: Path, out: Path, settings: Settings) -> None:
    """Trains a sentencepiece model in a child process, so that an interrupt ends it and its memory is freed.

    Args:
        sample: text, one prepared sentence per line.
        out: the model file to write.
        settings: algorithm, size and coverage of the vocabulary.

    Raises:
        ResMLPError: the text is too small for the vocabulary, or the vocabulary for the text's characters.
    """
    options = {
        "input": str(sample),
        "model_type": settings.model_type,
        "vocab_size": settings.vocab_size,
        "character_coverage": settings.character_coverage or (0.9999 if settings.byte_fallback else 1.0),
        "byte_fallback": settings.byte_fallback,
        "normalization_rule_name": NORMALIZATION,
        "max_sentence_length": _LONGEST_SENTENCE_BYTES,
        "bos_id": SPECIAL_TOKEN_NAMES.index("<s>"),
        "pad_id": SPECIAL_TOKENS.padding,
        "eos_id": SPECIAL_TOKENS.end,
        "unk_id": SPECIAL_TOKENS.unknown,
        "num_threads": available_cores(),
        "minloglevel": 2,
    }
    try:
        model = run_in_child(_train, options)
    except RuntimeError as error:
        reason = str(error).split("] ")[-1].strip().replace("\n", " ")
        raise ResMLPError(
            f"--vocab-size {settings.vocab_size} does not fit the training text. sentencepiece says: {reason} "
            "Change --vocab-size or --character-coverage"
        ) from error
    with open_whole_file(out) as file:
        file.write(model)


def _train(options: dict[str, object]) -> bytes:
    # Into memory: the library itself does not report a full disk.
    model = io.BytesIO()
    trainer: Any = sentencepiece.SentencePieceTrainer
    trainer.train(model_writer=model, **options)
    return model.getvalue()
