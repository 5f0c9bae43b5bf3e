"""Everything that decides what a prepared data set holds; two runs with equal settings give equal files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from resmlp_mt.common.errors import require, require_choice
from resmlp_mt.translation.text.normalization import TOKENIZERS, TextSettings

MODEL_TYPES = ("bpe", "unigram")
INVALID_UTF8 = ("error", "remove")


@dataclass(frozen=True)
class Settings:
    """The configuration of one data set.

    Attributes:
        corpus: a name of the table of corpora.
        src: source language code.
        tgt: target language code.
        model_type: sentencepiece's algorithm, "bpe" or "unigram".
        vocab_size: pieces of the model (of each, when separate), fairseq's four special symbols included; 0 chooses by
            the number of training pairs.
        joint: one vocabulary for both languages.
        byte_fallback: spell characters outside the vocabulary in bytes, so that nothing is ever unknown.
        character_coverage: share of the training text's characters that get a piece of their own; 0 chooses 0.9999 with
            bytes to fall back to, and all of them without.
        sentencepiece_sample: sentences, of each language, from which the vocabulary is learned.
        sentencepiece_model: digest of a given model that is used instead of learning one; "" to learn.
        tokenizer: "moses" tokenises before segmentation.
        normalize_punctuation: Moses' normalisation of punctuation before segmentation.
        lowercase: lower-case before segmentation, as the published results of some corpora do.
        bpe_dropout: chance to leave out a merge (BPE), or the smoothing of the sampling (unigram); 0 segments in the
            one best way. Source: Provilkov et al. 2020; Kudo 2018.
        dropout_copies: differently sampled copies of the training data; epoch e reads copy e modulo their number.
        max_words: longest sentence, in words (in characters for languages written without spaces).
        max_subwords: longest training sentence in pieces, either side.
        max_ratio: largest quotient of the two lengths in words.
        max_word_characters: longest word, in characters.
        language_id: remove pairs that a language identifier finds to be in another language.
        skip_rules: cleaning rules that are not applied.
        invalid_utf8: "error" stops at invalid bytes, "remove" removes the pair.
        valid_size: pairs set aside for validation when the corpus has none.
        test_size: pairs set aside for a test when the corpus has none.
        shard_pairs: most training pairs in one shard.
        keep_removed: write the removed pairs into files.
        seed: of everything that is chosen at random.
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
        require(self.src != self.tgt, "--pair", "two different languages", f"{self.src}-{self.tgt}", "name two")
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
        sampled = self.bpe_dropout > 0
        require(
            sampled or self.dropout_copies == 1,
            "--dropout-copies",
            "1 without --bpe-dropout",
            self.dropout_copies,
            "add --bpe-dropout 0.1, or leave it out",
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
        """What happens to a sentence before sentencepiece sees it."""
        return TextSettings(self.tokenizer, self.normalize_punctuation, self.lowercase)

    def as_json(self) -> dict[str, Any]:
        """The settings as JSON holds them."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}


def _require_range(name: str, value: float, low: float, high: float) -> None:
    require(low <= value <= high, name, f"from {low:g} to {high:g}", value, "change it")


def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """Describes where two configurations differ.

    Args:
        old: the one of the folder, as `Settings.as_json` gives it.
        new: the one that was asked for.

    Returns:
        One "name: old value -> new value" for each difference.
    """
    names = dict.fromkeys((*(field.name for field in fields(Settings)), *old, *new))
    return [f"{name}: {old.get(name)} -> {new.get(name)}" for name in names if old.get(name) != new.get(name)]
