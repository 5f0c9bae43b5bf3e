"""The description of a corpus: files to acquire, and parts of them that belong to the train, valid or test split."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from data_prep.formats.text_files import Pair


@dataclass(frozen=True)
class Source:
    """One file of a corpus.

    Attributes:
        name: the file's name in the download folder and in `--from-dir`.
        urls: where it can be downloaded, tried in order; empty if it exists only on this machine.
        size: bytes; None if unknown.
        digest: "ALGORITHM:HEXADECIMAL" of the file; None means "unpublished, recorded at first download".
        text_digest: digest of its decompressed text, which does not depend on the compression; None if unknown.
        origin: who published the size and the digests.
        other_names: further names under which `--from-dir` may hold the same file.
        replacement: another archive of the same texts, with the same paths inside, used if this one is not available.
        local: the path, if it is the user's own file; then nothing is looked up or downloaded.
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
        source: the file.
        inside: the path inside the archive; None if the source is the text itself.
    """

    source: Source
    inside: str | None = None


@dataclass(frozen=True)
class Part:
    """Some pairs of a corpus.

    Attributes:
        name: for the log, the manifest and the table of removed pairs, for example "europarl-v7".
        split: "train", "valid", or a test set: "test", "test1", "test2" as fairseq numbers them.
        members: the texts that `read` needs, in its order; empty if the corpus generates its pairs.
        read: called with the paths of these texts and `errors=` (see `text_files.read_lines`); yields pairs (source,
            target).
        expected_pairs: the published number of pairs; None if unknown.
        origin: who published that number.
        weight: how often a pair appears in the training data; 0.5 keeps half of the pairs.
        optional: leave the part out if `--from-dir` does not hold it, instead of raising an error.
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
        """The files that the part can be read from, replacements included."""
        own = [member.source for member in self.members]
        return [*own, *(source.replacement for source in own if source.replacement is not None)]


@dataclass(frozen=True)
class Request:
    """The languages and files that the user requests from a corpus.

    Attributes:
        src: source language code.
        tgt: target language code.
        from_dir: folder that contains the files, or None.
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
        name: its name on the command line.
        summary: one line of help.
        parts: returns the parts for a request; raises `ResMLPError` for a language pair that the corpus does not have.
        defaults: defaults of this corpus that differ from those of `Settings`, by field name.
        pair_defaults: the same for some language pairs, in both directions.
    """

    name: str
    summary: str
    parts: Callable[[Request], list[Part]]
    defaults: Mapping[str, Any] = field(default_factory=dict)
    pair_defaults: Mapping[frozenset[str], Mapping[str, Any]] = field(default_factory=dict)


def test_split(number: int) -> str:
    """The name of a test set: "test", "test1", "test2", ... as `fairseq-preprocess --testpref A,B,C` names them."""
    return f"test{number}" if number else "test"
