"""Loads the content of a data set's report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from resmlp_mt.common.data_folder import split_prefix, training_folders
from resmlp_mt.common.data_manifest import MANIFEST, DataManifest, read_manifest
from resmlp_mt.common.errors import ResMLPError
from resmlp_mt.common.indexed_data import read_indexed, read_sizes
from resmlp_mt.translation.special_tokens import SPECIAL_TOKENS
from resmlp_mt.translation.text.dictionary import SPECIAL_TOKEN_NAMES
from resmlp_mt.translation.text.sentencepiece_model import dictionary_symbols, load_model

SAMPLE_PAIRS = 12
_TOKENS_AT_ONCE = 1 << 24


@dataclass(frozen=True)
class DataSet:
    """The content of a data set's report.

    Attributes:
        manifest: its manifest.
        sizes: pieces in each training sentence, for each side `(pairs,)`.
        counts: occurrences of each piece in the training text, for each side `(pieces,)`.
        symbols: the pieces of each side.
        samples: some training pairs, as two lists of pieces each.
    """

    manifest: DataManifest
    sizes: list[NDArray[np.int32]]
    counts: list[NDArray[np.int64]]
    symbols: list[list[str]]
    samples: list[tuple[list[str], list[str]]]

    @property
    def languages(self) -> tuple[str, str]:
        """Source and target language."""
        return self.manifest.languages


def load_data_set(out: Path) -> DataSet:
    """Loads a data set for its report.

    Raises:
        ResMLPError: the folder holds no finished data set.
    """
    manifest = read_manifest(out)
    if manifest is None:
        raise ResMLPError(f"{out} holds no finished data set: it has no {MANIFEST}; run `python -m data_prep` first")
    shards = training_folders(out, manifest)
    prefixes = [
        [split_prefix(shard, "train", manifest.languages, lang) for shard in shards] for lang in manifest.languages
    ]
    names = manifest.vocabulary["models"]
    symbols = [dictionary_symbols(load_model(out / name)) for name in (names[0], names[-1])]
    return DataSet(
        manifest=manifest,
        # The end of the sentence is not counted as a piece.
        sizes=[np.concatenate([read_sizes(prefix) for prefix in side]) - 1 for side in prefixes],
        counts=[_count(side, len(pieces)) for side, pieces in zip(prefixes, symbols, strict=True)],
        symbols=symbols,
        samples=_samples([side[0] for side in prefixes], symbols, manifest.settings["seed"]),
    )


def _count(prefixes: Sequence[Path], pieces: int) -> NDArray[np.int64]:
    counts = np.zeros(len(SPECIAL_TOKEN_NAMES) + pieces, np.int64)
    for prefix in prefixes:
        token_ids = read_indexed(prefix).tokens
        for start in range(0, len(token_ids), _TOKENS_AT_ONCE):
            counts += np.bincount(token_ids[start : start + _TOKENS_AT_ONCE], minlength=len(counts))
    return counts[len(SPECIAL_TOKEN_NAMES) :]


def _samples(prefixes: Sequence[Path], symbols: Sequence[list[str]], seed: int) -> list[tuple[list[str], list[str]]]:
    """Some training pairs, chosen at random, in pieces."""
    texts = [read_indexed(prefix) for prefix in prefixes]
    pairs = len(texts[0].sizes)
    chosen = np.random.default_rng(seed).choice(pairs, min(SAMPLE_PAIRS, pairs), replace=False)
    sides = []
    for text, pieces in zip(texts, symbols, strict=True):
        ends = np.cumsum(text.sizes, dtype=np.int64)
        sentences = [text.tokens[ends[index] - text.sizes[index] : ends[index]].tolist() for index in chosen]
        names = [*SPECIAL_TOKEN_NAMES, *pieces]
        sides.append([[names[token] for token in ids if token != SPECIAL_TOKENS.end] for ids in sentences])
    return list(zip(*sides, strict=True))
