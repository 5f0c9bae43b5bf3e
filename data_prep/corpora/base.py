"""What a corpus is: files to fetch, and parts of them that belong to the train, valid or test split."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from data_prep.formats.text_files import Pair


@dataclass(frozen=True)
class Source:
    """One file of the outside world.

    Attributes:
        name: the file's name in the download folder and in `--from-dir`.
        urls: where it can be downloaded, tried in order; empty when it exists only on this machine.
        size: bytes, None when unknown.
        digest: "ALGORITHM:HEXADECIMAL" of the file; None means "unpublished, recorded at first download".
        text_digest: the same of its decompressed text, which survives another compression; None when unknown.
        origin: who published the size and the digests.
        other_names: further names under which `--from-dir` may hold the same file.
        replacement: another packing of the same texts, with the same paths inside, for when this one cannot be had.
        local: the file itself, when it is the user's own; then nothing is searched or downloaded.
    """

    name: str
    urls: tuple[str, ...] = ()
    size: int | None = None
    digest: str | None = None
    text_digest: str | None = None
    origin: str = ""
    other_names: tuple[str, ...] = ()
    replacement: Source | None = None
    local: Path | None = None


@dataclass(frozen=True)
class Member:
    """A text: a whole source, or one member of an archive.

    Attributes:
        source: the file to fetch.
        inside: the path inside the archive; None when the source is the text itself.
    """

    source: Source
    inside: str | None = None


@dataclass(frozen=True)
class Part:
    """Some pairs of a corpus.

    Attributes:
        name: for the log, the manifest and the removal table, for example "europarl-v7".
        split: "train", "valid", or a test set: "test", "test1", "test2" as fairseq numbers them.
        members: the texts that `read` needs, in its order; empty when the corpus makes its pairs itself.
        read: called with the paths of these texts and `errors=` (see `read.read_lines`); gives pairs (source, target).
        expected_pairs: how many pairs there must be; None when unknown.
        origin: where that number comes from.
        weight: how often a pair appears in the training data; 0.5 keeps every second pair.
        optional: leave the part out when `--from-dir` does not hold it, instead of refusing.
    """

    name: str
    split: str
    members: tuple[Member, ...]
    read: Callable[..., Iterable[Pair]]
    expected_pairs: int | None = None
    origin: str = ""
    weight: float = 1.0
    optional: bool = False

    def sources(self) -> list[Source]:
        """The files that the part may be read from, replacements included."""
        own = [member.source for member in self.members]
        return [*own, *(source.replacement for source in own if source.replacement is not None)]


@dataclass(frozen=True)
class Request:
    """What the user asked of a corpus.

    Attributes:
        src: source language code.
        tgt: target language code.
        from_dir: folder that already holds the files, or None.
        train: `(path, weight)` of the user's own corpora.
        valid: paths of the user's own validation sets.
        test: paths of the user's own test sets.
    """

    src: str
    tgt: str
    from_dir: Path | None = None
    train: tuple[tuple[str, float], ...] = ()
    valid: tuple[str, ...] = ()
    test: tuple[str, ...] = ()


@dataclass(frozen=True)
class Corpus:
    """One row of the table of corpora.

    Attributes:
        name: the word on the command line.
        summary: one line of help.
        parts: finds the parts for a request; raises `ResMLPError` for a pair that the corpus does not have.
        defaults: settings that differ from `Settings`' own for this corpus, by field name.
        pair_defaults: the same for some pairs of languages, whichever is the source.
    """

    name: str
    summary: str
    parts: Callable[[Request], list[Part]]
    defaults: Mapping[str, Any] = field(default_factory=dict)
    pair_defaults: Mapping[frozenset[str], Mapping[str, Any]] = field(default_factory=dict)


def test_split(number: int) -> str:
    """The name of a test set: "test", "test1", "test2", ... as `fairseq-preprocess --testpref A,B,C` has them."""
    return f"test{number}" if number else "test"
