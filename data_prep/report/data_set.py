"""What a report shows of a data set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data_prep import folder
from data_prep.stages.subwords import END, SPECIAL_SYMBOLS, dictionary_symbols, load_model
from resmlp_mt.common.errors import ResMLPError
from resmlp_mt.common.files import read_json
from resmlp_mt.common.indexed_data import read_sizes, read_token_ids

SAMPLE_PAIRS = 12
_COUNTED_AT_ONCE = 1 << 24


@dataclass(frozen=True)
class DataSet:
    """What the report shows of a data set.

    Attributes:
        manifest: its manifest.
        sizes: pieces in each training sentence, for each side `(pairs,)`.
        counts: occurrences of each piece in the training text, for each side `(pieces,)`.
        symbols: the pieces of each side.
        samples: pairs of training sentences, each a pair of lists of pieces.
    """

    manifest: dict[str, Any]
    sizes: list[NDArray[np.int32]]
    counts: list[NDArray[np.int64]]
    symbols: list[list[str]]
    samples: list[tuple[list[str], list[str]]]

    @property
    def languages(self) -> tuple[str, str]:
        """Source and target language."""
        return self.manifest["settings"]["src"], self.manifest["settings"]["tgt"]


def load_data_set(out: Path) -> DataSet:
    """Reads what the report shows.

    Raises:
        ResMLPError: when the folder holds no finished data set.
    """
    if not (out / folder.MANIFEST).is_file():
        raise ResMLPError(
            f"{out} must hold a finished data set, but has no {folder.MANIFEST}; run `python -m data_prep`"
        )
    manifest = read_json(out / folder.MANIFEST)
    settings = manifest["settings"]
    languages = (settings["src"], settings["tgt"])
    shards = [out / path for path in manifest["train_data"]]
    prefixes = [[shard / f"train.{'-'.join(languages)}.{lang}" for shard in shards] for lang in languages]
    names = manifest["vocabulary"]["models"]
    symbols = [dictionary_symbols(load_model(out / name)) for name in (names[0], names[-1])]
    return DataSet(
        manifest=manifest,
        # The end of the sentence is no piece.
        sizes=[np.concatenate([read_sizes(prefix)[0] for prefix in side]) - 1 for side in prefixes],
        counts=[_count(side, len(pieces)) for side, pieces in zip(prefixes, symbols, strict=True)],
        symbols=symbols,
        samples=_samples([side[0] for side in prefixes], symbols, settings["seed"]),
    )


def _count(prefixes: Sequence[Path], pieces: int) -> NDArray[np.int64]:
    counts = np.zeros(SPECIAL_SYMBOLS + pieces, np.int64)
    for prefix in prefixes:
        token_ids = read_token_ids(prefix)
        for start in range(0, len(token_ids), _COUNTED_AT_ONCE):
            counts += np.bincount(token_ids[start : start + _COUNTED_AT_ONCE], minlength=len(counts))
    return counts[SPECIAL_SYMBOLS:]


def _samples(prefixes: Sequence[Path], symbols: Sequence[list[str]], seed: int) -> list[tuple[list[str], list[str]]]:
    """Some training pairs, chosen at random, as pieces."""
    sizes = [read_sizes(prefix)[0] for prefix in prefixes]
    chosen = np.random.default_rng(seed).choice(len(sizes[0]), min(SAMPLE_PAIRS, len(sizes[0])), replace=False)
    sides = []
    for prefix, side_sizes, pieces in zip(prefixes, sizes, symbols, strict=True):
        token_ids = read_token_ids(prefix)
        ends = np.cumsum(side_sizes, dtype=np.int64)
        sentences = [token_ids[ends[place] - side_sizes[place] : ends[place]].tolist() for place in chosen]
        sides.append([[_symbol(pieces, token) for token in ids if token != END] for ids in sentences])
    return list(zip(*sides, strict=True))


def _symbol(pieces: list[str], token: int) -> str:
    return pieces[token - SPECIAL_SYMBOLS] if token >= SPECIAL_SYMBOLS else "<unk>"
