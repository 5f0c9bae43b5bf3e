"""The layout of a prepared data folder, which `data_prep` and `fairseq-preprocess` write and fairseq reads."""

from __future__ import annotations

from pathlib import Path

from resmlp_mt.common.data_manifest import MANIFEST, DataManifest
from resmlp_mt.common.indexed_data import idx_path, read_sizes

RAW = "raw"
REPORT = "report.html"


def split_prefix(folder: Path, split: str, pair: tuple[str, str], lang: str) -> Path:
    """The path of one side of a binarised split without `.bin` and `.idx`, such as `DIR/train.en-de.en`."""
    return folder / f"{split}.{pair[0]}-{pair[1]}.{lang}"


def raw_path(folder: Path, split: str, lang: str) -> Path:
    """The raw text of one side of a held-out split."""
    return folder / RAW / f"{split}.{lang}"


def dictionary_path(folder: Path, lang: str) -> Path:
    """The path of the fairseq dictionary of a language."""
    return folder / f"dict.{lang}.txt"


def data_files(folder: Path) -> list[Path]:
    """The files of a data folder that `python -m data_prep` or `fairseq-preprocess` wrote, except the report."""
    patterns = (MANIFEST, f"{RAW}/*", "dict.*", "spm*.model", "*.bin", "*.idx", "shard*/*")
    return [path for pattern in patterns for path in folder.glob(pattern)]


def training_folders(folder: Path, manifest: DataManifest | None) -> list[Path]:
    """The folders of the training shards; without a manifest the data folder itself."""
    return [folder / name for name in (manifest or DataManifest()).train_data]


def has_training_data(folder: Path, pair: tuple[str, str]) -> bool:
    """Whether a folder holds binarised training data of a language pair."""
    return idx_path(split_prefix(folder, "train", pair, pair[0])).is_file()


def longest_source(folder: Path, manifest: DataManifest | None, pair: tuple[str, str]) -> int | None:
    """Tokens of the longest training source, its end included; None where there is no training data."""
    sizes = [
        int(read_sizes(split_prefix(shard, "train", pair, pair[0])).max(initial=0))
        for shard in training_folders(folder, manifest)
        if has_training_data(shard, pair)
    ]
    return max(sizes, default=None)
