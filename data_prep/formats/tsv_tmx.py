"""Readers of parallel text in TSV and TMX files."""

from __future__ import annotations

import io
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from data_prep.formats.text_files import Pair, read_blocks, read_lines
from resmlp_mt.common.errors import ResMLPError

_XML_LANG = "{http://www.w3.org/XML/1998/namespace}lang"


def read_tsv(path: Path, errors: str = "strict") -> Iterator[Pair]:
    """Yields the first two columns of a tab-separated file.

    Args:
        path: plain or compressed; column 1 is the source, column 2 the target, further columns are ignored.
        errors: as in `text_files.read_lines`.

    Raises:
        ResMLPError: a line has no second column; the message names the line.
    """
    for number, line in enumerate(read_lines(path, errors), 1):
        columns = line.split("\t", 2)
        if len(columns) < 2:
            raise ResMLPError(f"line {number:,} of {path} has no tab; each line must have the form SOURCE<tab>TARGET")
        yield columns[0], columns[1]


def read_tmx(
    path: Path,
    src_lang: str,
    tgt_lang: str,
    errors: str = "strict",  # noqa: ARG001 - argument of every `Part.read`
) -> Iterator[Pair]:
    """Yields the translation units of a TMX file that have both languages, in constant memory.

    Args:
        path: plain or compressed TMX 1.4.
        src_lang: source language code; "en" also finds "en-GB" and "EN".
        tgt_lang: target language code.
        errors: not used: an XML parser cannot skip invalid bytes.

    Raises:
        ResMLPError: the file is not well-formed XML; the message names the line.
    """
    parser: Any = ElementTree.XMLPullParser(events=("start", "end"))
    root = None
    try:
        for block in read_blocks(path):
            parser.feed(block)
            for event, element in parser.read_events():
                if event == "start":
                    root = element if root is None else root
                elif element.tag == "tu":
                    variants = dict(_variants(element))
                    if src_lang in variants and tgt_lang in variants:
                        yield variants[src_lang], variants[tgt_lang]
                    element.clear()
                elif element.tag == "body" and root is not None:
                    root.clear()
        parser.close()
    except ElementTree.ParseError as error:
        raise ResMLPError(f"{path} is not well-formed TMX ({error}); correct or convert it") from error


def _variants(unit: ElementTree.Element) -> Iterator[tuple[str, str]]:
    for variant in unit.iter("tuv"):
        lang = variant.get(_XML_LANG) or variant.get("lang") or ""
        segment = variant.find("seg")
        if segment is not None:
            text = io.StringIO()
            text.writelines(segment.itertext())
            # A line feed inside a segment would break the format of one sentence a line.
            yield lang.replace("_", "-").split("-")[0].lower(), text.getvalue().replace("\n", " ")
