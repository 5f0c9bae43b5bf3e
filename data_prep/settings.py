"""The configuration of a data set; two runs with equal settings write equal files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from resmlp_mt.common.errors import ResMLPError, require_choice
from resmlp_mt.translation.text.normalization import TOKENIZERS, TextSettings

MODEL_TYPES = ("bpe", "unigram")
INVALID_UTF8 = ("error", "remove")


@dataclass(frozen=True)
class Settings:
    """The configuration of one data set.

    Attributes:
        corpus: name in the table of corpora.
        src: source language code.
        tgt: target language code.
        model_type: sentencepiece's algorithm, "bpe" or "unigram".
        vocab_size: pieces of the model (of each, if separate), fairseq's four special tokens included; 0 chooses by
            the number of training pairs.
        joint: one vocabulary for both languages.
        byte_fallback: spell characters outside the vocabulary as bytes, so that no token is unknown.
        character_coverage: share of the training text's characters that have their own piece; 0 chooses 0.9999 with
            byte fallback and 1 without.
        sentencepiece_sample: number of sentences of each language that sentencepiece is trained on.
        sentencepiece_model: digest of a given model, which is used instead of training one; "" to train.
        tokenizer: "moses" applies the Moses tokenizer before sentencepiece.
        normalize_punctuation: normalise punctuation as Moses does, before sentencepiece.
        lowercase: convert to lower case before sentencepiece, as the published results of some corpora do.
        bpe_dropout: probability of leaving out a merge (BPE), or the smoothing of the sampling (unigram); 0 takes the
            best segmentation. Source: Provilkov et al. 2020; Kudo 2018.
        dropout_copies: differently sampled copies of the training data; epoch e reads copy e modulo their number.
        max_words: longest sentence, in words (in characters for languages written without spaces).
        max_subwords: longest training sentence in pieces, on either side.
        max_ratio: largest ratio of the two lengths in words.
        max_word_characters: longest word, in characters.
        language_id: remove pairs that a language identifier assigns to another language.
        skip_rules: cleaning rules that are not applied.
        invalid_utf8: "error" stops at invalid bytes, "remove" removes the pair.
        valid_size: pairs set aside for validation if the corpus has no validation set.
        test_size: pairs set aside for testing if the corpus has no test set.
        shard_pairs: maximum number of training pairs in a shard.
        keep_removed: write the removed pairs to files.
        seed: seed of all random choices.
    """

    corpus: str
    src: str
    tgt: str
    model_type: str = "bpe"
    vocab_size: int = 0
    joint: bool = True
    byte_fallback: bool = True
    character_coverage: float = 0.0
    sentencepiece_sample: int = 1_000_000
    sentencepiece_model: str = ""
    tokenizer: str = "none"
    normalize_punctuation: bool = False
    lowercase: bool = False
    bpe_dropout: float = 0.0
    dropout_copies: int = 1
    max_words: int = 250
    max_subwords: int = 250
    max_ratio: float = 3.0
    max_word_characters: int = 100
    language_id: bool = False
    skip_rules: tuple[str, ...] = ()
    invalid_utf8: str = "error"
    valid_size: int = 2000
    test_size: int = 2000
    shard_pairs: int = 10_000_000
    keep_removed: bool = False
    seed: int = 1

    def __post_init__(self) -> None:
        if self.src == self.tgt:
            raise ResMLPError(f"--pair must name two different languages, but is {self.pair}")
        require_choice("--model-type", self.model_type, MODEL_TYPES)
        require_choice("--tokenizer", self.tokenizer, TOKENIZERS)
        require_choice("--invalid-utf8", self.invalid_utf8, INVALID_UTF8)
        _require_range("--vocab-size", self.vocab_size, 0, 1_000_000)
        _require_range("--character-coverage", self.character_coverage, 0, 1)
        _require_range("--bpe-dropout", self.bpe_dropout, 0, 1)
        _require_range("--dropout-copies", self.dropout_copies, 1, 100)
        _require_range("--max-ratio", self.max_ratio, 1, 1000)
        for name in ("sentencepiece_sample", "max_words", "max_subwords", "max_word_characters", "shard_pairs"):
            _require_range(f"--{name.replace('_', '-')}", getattr(self, name), 1, 10**12)
        for name in ("valid_size", "test_size"):
            _require_range(f"--{name.replace('_', '-')}", getattr(self, name), 0, 10**9)
        if self.dropout_copies > 1 and self.bpe_dropout == 0:
            raise ResMLPError(
                f"--dropout-copies {self.dropout_copies} requires --bpe-dropout, without which all copies are equal; "
                "add --bpe-dropout 0.1, or leave out --dropout-copies"
            )

    @property
    def pair(self) -> str:
        """The two languages as fairseq writes them in file names, for example "en-de"."""
        return f"{self.src}-{self.tgt}"

    @property
    def languages(self) -> tuple[str, str]:
        """Source and target language."""
        return self.src, self.tgt

    @property
    def text(self) -> TextSettings:
        """The preparation of a sentence for sentencepiece."""
        return TextSettings(self.tokenizer, self.normalize_punctuation, self.lowercase)

    def as_json(self) -> dict[str, Any]:
        """The settings as JSON values."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}


def _require_range(name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise ResMLPError(f"{name} must be from {low:g} to {high:g}, but is {value}")


def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """Describes the differences between two configurations.

    Args:
        old: configuration of the folder, from `Settings.as_json`.
        new: configuration of this run.

    Returns:
        One "name: old value -> new value" for each difference.
    """
    names = dict.fromkeys((*(field.name for field in fields(Settings)), *old, *new))
    return [f"{name}: {old.get(name)} -> {new.get(name)}" for name in names if old.get(name) != new.get(name)]
