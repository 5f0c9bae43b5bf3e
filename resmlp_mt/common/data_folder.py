"""What the binarised files tell of a training set: its sentences, and the longest of them."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from resmlp_mt.common.errors import ResMLPError

MANIFEST = "manifest.json"
_MAGIC = b"MMIDIDX\x00\x00"  # fairseq.data.indexed_dataset.MMapIndexedDataset
_HEADER = struct.Struct("<QBQ")  # version, type code, number of sentences
_TYPES: dict[int, type[np.integer]] = {4: np.int32, 5: np.int64, 8: np.uint16, 9: np.uint32}


def data_files(data: Path) -> list[Path]:
    """The files of a data folder: what `python -m data_prep` or `fairseq-preprocess` has made, but for its report."""
    patterns = (MANIFEST, "raw/*", "dict.*", "spm*.model", "*.bin", "*.idx", "shard*/*")
    return [path for pattern in patterns for path in data.glob(pattern)]


@dataclass(frozen=True)
class BinarisedText:
    """One side of a binarised split, read where it lies.

    Attributes:
        sizes: tokens of each sentence, its end included, (sentences,).
        tokens: of all sentences, (sum of sizes,).
    """

    sizes: NDArray[np.int32]
    tokens: NDArray[np.integer]


def read_binarised(prefix: Path) -> BinarisedText:
    """Opens `PREFIX.idx` and `PREFIX.bin` as `fairseq-preprocess` writes them.

    Raises:
        ResMLPError: when they are missing or of another form.
    """
    index, content = Path(f"{prefix}.idx"), Path(f"{prefix}.bin")
    try:
        header = index.read_bytes()
        if not header.startswith(_MAGIC):
            raise ValueError("no index of fairseq's mmap form")
        _, code, count = _HEADER.unpack_from(header, len(_MAGIC))
        sizes = np.frombuffer(header, np.int32, count, len(_MAGIC) + _HEADER.size)
        tokens = np.memmap(content, _TYPES[code], mode="r", shape=(int(sizes.sum()),))
    except (OSError, ValueError, KeyError, struct.error) as error:
        raise ResMLPError(f"{prefix} must be binarised text, but is not ({error}); prepare the data again") from error
    return BinarisedText(sizes, tokens)


def training_folders(data: Path, manifest: dict) -> list[Path]:
    """The folders of the training shards."""
    return [data / name for name in manifest.get("train_data", ["."])]


def has_training_data(data: Path, pair: tuple[str, str]) -> bool:
    """Whether a folder holds binarised training data of a language pair."""
    return (data / f"train.{pair[0]}-{pair[1]}.{pair[0]}.idx").is_file()


def longest_sources(data: Path, manifest: dict, pair: tuple[str, str]) -> int | None:
    """Sub-words of the longest training source, its end included; None where there is no training data."""
    sizes = [
        int(read_binarised(folder / f"train.{pair[0]}-{pair[1]}.{pair[0]}").sizes.max(initial=0))
        for folder in training_folders(data, manifest)
        if has_training_data(folder, pair)
    ]
    return max(sizes, default=None)
