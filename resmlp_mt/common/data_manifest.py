"""The manifest of a prepared data set, `manifest.json`: its schema, its reader and its writer.

`data_prep` writes the manifest as the last file of a data set. A folder that `fairseq-preprocess` wrote has none.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, TypedDict

from resmlp_mt.common.errors import ResMLPError
from resmlp_mt.common.files import file_digest, read_json, write_json

MANIFEST = "manifest.json"
FORMAT = 1


class VocabularyRecord(TypedDict, total=False):
    """The sentencepiece models, one for both languages or the source's and the target's.

    Attributes:
        models: their file names.
        pieces: the number of pieces of each.
    """

    models: list[str]
    pieces: list[int]


class SplitRecord(TypedDict, total=False):
    """A split: train, valid, test, test1, ...

    Attributes:
        name: name of the split in the corpus; held-out splits only.
        pairs: number of sentence pairs.
        pairs_by_shard: the same for each shard; training data only.
        tokens: by language, ends of sentences included.
        unknown: by language, how many of the tokens are unknown.
        round_trips_checked: sentences that were decoded again and compared with the original.
        unknown_examples: some sentences with unknown tokens; held-out splits only.
    """

    name: str
    pairs: int
    pairs_by_shard: list[int]
    tokens: dict[str, int]
    unknown: dict[str, int]
    round_trips_checked: int
    unknown_examples: list[str]


class RemovedRecord(TypedDict, total=False):
    """The removed training pairs.

    Attributes:
        read: number of pairs before any was removed.
        rules: number of pairs that each rule removed.
        examples: some removed pairs, with "rule", "part", "line", "src" and "tgt".
    """

    read: int
    rules: dict[str, int]
    examples: list[dict[str, Any]]


class SourceRecord(TypedDict):
    """A source file of the data set.

    Attributes:
        file: its name.
        urls: where it can be downloaded.
        bytes: its size.
        digest: "ALGORITHM:HEXADECIMAL" of the file.
        expected: the published digest; None where none is published.
        expected_from: who published it.
    """

    file: str
    urls: list[str]
    bytes: int
    digest: str
    expected: str | None
    expected_from: str


class FileRecord(TypedDict, total=False):
    """A file of the data set.

    Attributes:
        bytes: its size.
        digest: "sha256:HEXADECIMAL".
    """

    bytes: int
    digest: str


@dataclass(frozen=True)
class DataManifest:
    """The sources, settings and counts of a data set. Every field is a key of the file.

    Attributes:
        format: revision of this schema.
        command: the command line that made the data set.
        settings: of `data_prep.settings.Settings`, by name.
        train_data: the folders of the training shards, relative to the data set's.
        vocabulary: the sentencepiece models.
        splits: by name.
        removed: the removed training pairs.
        parts: the parts of the corpus.
        sources: the files that were read.
        versions: of Python and of libraries.
        files: the files of the data set, by path relative to its folder.
    """

    format: int = FORMAT
    command: str = ""
    settings: dict[str, Any] = field(default_factory=dict)
    train_data: list[str] = field(default_factory=lambda: ["."])
    vocabulary: VocabularyRecord = field(default_factory=VocabularyRecord)
    splits: dict[str, SplitRecord] = field(default_factory=dict)
    removed: RemovedRecord = field(default_factory=RemovedRecord)
    parts: list[dict[str, Any]] = field(default_factory=list)
    sources: list[SourceRecord] = field(default_factory=list)
    versions: dict[str, str] = field(default_factory=dict)
    files: dict[str, FileRecord] = field(default_factory=dict)

    @property
    def languages(self) -> tuple[str, str]:
        """Source and target language."""
        return self.settings["src"], self.settings["tgt"]

    def digest_of(self, name: str) -> str | None:
        """The digest of a file of the data set; None if it is not recorded."""
        return self.files.get(name, {}).get("digest")

    def summary(self, folder: Path) -> dict[str, Any]:
        """The part of the manifest that training runs record to identify their data.

        Args:
            folder: folder of the data set.
        """
        return {
            "manifest": file_digest(folder / MANIFEST),
            "settings": self.settings,
            "pairs": {split: record.get("pairs") for split, record in self.splits.items()},
            "sources": self.sources,
        }


def read_manifest(folder: Path) -> DataManifest | None:
    """Reads the manifest of a data folder.

    Returns:
        The manifest; None where the folder has none. Keys that are missing have their defaults.

    Raises:
        ResMLPError: the file is damaged or of another format.
    """
    path = folder / MANIFEST
    if not path.is_file():
        return None
    try:
        content = dict(read_json(path))
    except (OSError, ValueError, TypeError) as error:
        raise ResMLPError(f"the manifest {path} cannot be read ({error}); prepare the data again") from error
    if content.get("format", FORMAT) != FORMAT:
        raise ResMLPError(
            f"the manifest {path} has format {content['format']}, but this version of resmlp-mt reads format {FORMAT}; "
            "install the version that wrote it, or prepare the data again"
        )
    return DataManifest(**{known.name: content[known.name] for known in fields(DataManifest) if known.name in content})


def write_manifest(folder: Path, manifest: DataManifest) -> None:
    """Writes the manifest of a data folder."""
    write_json(folder / MANIFEST, vars(manifest))
