"""Readers of the markup of evaluation campaigns: WMT's .sgm test sets and IWSLT's talks."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from data_prep.formats.text_files import Pair, read_lines
from resmlp_mt.common.errors import ResMLPError

_SEGMENT = re.compile(r"<seg[^>]*>(.*)</seg>", re.IGNORECASE)
_SPACES = re.compile(r"\s+")
# IWSLT's training text has lines of metadata; titles and descriptions are text within tags.
_IWSLT_TAGS = re.compile(r"</?(?:title|description)>")
_DROPPED_BY_FAIRSEQ = ("<url>", "<talkid>", "<keywords>")


def read_sgm(src: Path, tgt: Path, errors: str = "strict") -> Iterator[Pair]:
    """Yields the segments of a test set in order.

    They are read as sacrebleu reads them, so that our scores and those of `sacrebleu -t` are of the same text: the text
    between the tags, white space collapsed, entities unchanged.

    Args:
        src: the source side, one `<seg>` a line.
        tgt: the reference side.
        errors: as in `text_files.read_lines`.

    Raises:
        ResMLPError: the sides have different numbers of segments.
    """
    sides = [list(_segments(path, errors)) for path in (src, tgt)]
    if len(sides[0]) != len(sides[1]):
        raise ResMLPError(
            f"{src} and {tgt} have different numbers of segments, {len(sides[0]):,} and {len(sides[1]):,}; download "
            "them again"
        )
    yield from zip(*sides, strict=True)


def _segments(path: Path, errors: str) -> Iterator[str]:
    for line in read_lines(path, errors):
        if line.lstrip().lower().startswith("<seg"):
            match = _SEGMENT.search(line)
            if match is None:
                raise ResMLPError(f"{path} does not have <seg> and </seg> in one line in {line[:80]!r}; correct it")
            yield _SPACES.sub(" ", match[1]).strip()


def read_sgm_series(*texts: Path, errors: str = "strict") -> Iterator[Pair]:
    """Yields the segments of several test sets in sequence.

    Args:
        texts: source and reference of the first set, source and reference of the second, and so on.
        errors: as in `text_files.read_lines`.
    """
    for src, tgt in zip(texts[::2], texts[1::2], strict=True):
        yield from read_sgm(src, tgt, errors)


def read_iwslt_tags(src: Path, tgt: Path, errors: str = "strict") -> Iterator[Pair]:
    """Yields the pairs of IWSLT's training text, `train.tags.SRC-TGT.LANG`.

    Lines with URLs, ids and keywords of talks are skipped; titles and descriptions are kept without their tags.

    Source: fairseq, examples/translation/prepare-iwslt14.sh.

    Args:
        src: the source side.
        tgt: the target side.
        errors: as in `text_files.read_lines`.

    Raises:
        ResMLPError: the sides have different numbers of lines of text.
    """
    sides = [list(_talk_lines(path, errors)) for path in (src, tgt)]
    if len(sides[0]) != len(sides[1]):
        raise ResMLPError(
            f"{src} and {tgt} have different numbers of lines of text, {len(sides[0]):,} and {len(sides[1]):,}; "
            "download them again"
        )
    yield from zip(*sides, strict=True)


def _talk_lines(path: Path, errors: str) -> Iterator[str]:
    for line in read_lines(path, errors):
        if not any(tag in line for tag in _DROPPED_BY_FAIRSEQ):
            yield _IWSLT_TAGS.sub("", line).strip()
