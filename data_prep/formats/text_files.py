"""Reads UTF-8 text, plain or compressed, and parallel text in two files.

Only a line feed ends a line. A carriage return, U+2028 or U+0085 is text: tools that split lines there lose the
alignment of two files.
"""

from __future__ import annotations

import bz2
import gzip
import importlib
import lzma
import sys
import zlib
from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path
from typing import IO, Any, cast

from resmlp_mt.common.errors import ResMLPError
from resmlp_mt.translation.text.lines import refuse_other_encodings

Pair = tuple[str, str]

COMPRESSIONS = ("", ".gz", ".xz", ".bz2", ".zst")
MAX_LINE_BYTES = 1_000_000
# Text compresses to a tenth, repetitive text to a fiftieth; a larger ratio is that of a decompression bomb.
MAX_EXPANSION = 200
ALWAYS_ALLOWED_BYTES = 1 << 26
_BLOCK_BYTES = 1 << 20
# Zstandard decompresses a piece of input at once: small pieces limit even a decompression bomb.
_PACKED_BYTES = 1 << 12
_BYTE_ORDER_MARK = "\ufeff"


def _open(path: Path) -> IO[bytes]:
    """Opens a file for reading, decompressed according to its suffix."""
    try:
        match path.suffix:
            case ".gz":
                return cast(IO[bytes], gzip.open(path, "rb"))
            case ".xz":
                return cast(IO[bytes], lzma.open(path, "rb"))
            case ".bz2":
                return cast(IO[bytes], bz2.open(path, "rb"))
            case _:
                return path.open("rb")
    except OSError as error:
        raise ResMLPError(f"{path} cannot be read ({error.strerror}); check the name") from error


def _zstandard() -> Any:
    try:
        return importlib.import_module("zstandard")
    except ImportError as error:
        raise ResMLPError("reading .zst files requires zstandard; run `pip install zstandard`") from error


def _decompressed(path: Path) -> Iterator[bytes]:
    with _open(path) as file:
        if path.suffix == ".zst":
            yield from _zstandard_frames(file)
            return
        while block := file.read(_BLOCK_BYTES):
            yield block


def _zstandard_frames(file: IO[bytes]) -> Iterator[bytes]:
    # The library's own file object does not notice that a file is truncated.
    context = _zstandard().ZstdDecompressor()
    frame = context.decompressobj()
    while packed := file.read(_PACKED_BYTES):
        while packed:
            frame = context.decompressobj() if frame.eof else frame
            yield frame.decompress(packed)
            packed = frame.unused_data if frame.eof else b""
    if not frame.eof:
        raise EOFError("the last frame is incomplete")


def _damaged_types() -> tuple[type[Exception], ...]:
    """The errors that the decompressors raise for a damaged or truncated file."""
    types: tuple[type[Exception], ...] = (EOFError, OSError, lzma.LZMAError, zlib.error)
    if "zstandard" in sys.modules:
        types += (_zstandard().ZstdError,)
    return types


def expansion_limit(packed: Path) -> int:
    """The number of bytes that a compressed file may expand to before it is considered a decompression bomb."""
    return max(packed.stat().st_size * MAX_EXPANSION, ALWAYS_ALLOWED_BYTES)


def read_blocks(path: Path) -> Iterator[bytes]:
    """Yields the decompressed content of a file in blocks of about one megabyte.

    Raises:
        ResMLPError: the file is damaged, truncated, or expands beyond `MAX_EXPANSION`.
    """
    limit = expansion_limit(path) if path.suffix in COMPRESSIONS[1:] else None
    total = 0
    try:
        for block in _decompressed(path):
            total += len(block)
            if limit is not None and total > limit:
                raise ResMLPError(
                    f"{path} expands to more than {MAX_EXPANSION} times its size, so it is not a compressed text; "
                    f"reading stopped after {total:,} bytes"
                )
            yield block
    except _damaged_types() as error:
        raise ResMLPError(
            f"the {path.suffix or 'text'} file {path} is damaged or truncated after {total:,} bytes of text ({error}); "
            "get it again"
        ) from error


def read_lines(path: Path, errors: str = "strict") -> Iterator[str]:
    """Yields the lines of a UTF-8 text file without their line feeds; a byte order mark at the start is dropped.

    Args:
        path: plain or compressed text.
        errors: "strict", or "surrogateescape" to decode invalid bytes to lone surrogates, which a cleaning rule finds.

    Raises:
        ResMLPError: the text has invalid bytes or a line over `MAX_LINE_BYTES`, or is UTF-16 or UTF-32; the message
            names the file, and the line or the encoding.
    """
    done = 0
    rest = b""
    for block in read_blocks(path):
        complete, line_feed, rest_of_block = block.rpartition(b"\n")
        if not line_feed:
            rest += block
            if len(rest) > MAX_LINE_BYTES:
                raise _too_long(path, done + 1)
            continue
        lines = _decoded_lines(path, rest + complete, done, errors)
        yield from lines
        done += len(lines)
        rest = rest_of_block
    if rest:
        yield from _decoded_lines(path, rest, done, errors)


def _decoded_lines(path: Path, content: bytes, done: int, errors: str) -> list[str]:
    if done == 0:
        refuse_other_encodings(content, str(path))
    try:
        text = content.decode("utf-8", errors)
    except UnicodeDecodeError as error:
        line = done + content.count(b"\n", 0, error.start) + 1
        raise ResMLPError(
            f"{path} is not UTF-8: line {line:,} holds the byte 0x{content[error.start]:02x}; convert the file, or "
            "remove such pairs with --invalid-utf8 remove"
        ) from error
    lines = text.split("\n")
    if done == 0:
        lines[0] = lines[0].removeprefix(_BYTE_ORDER_MARK)
    for number, text_line in enumerate(lines, done + 1):
        # A character takes at most four bytes, so most lines need not be encoded again.
        if len(text_line) * 4 > MAX_LINE_BYTES and len(text_line.encode(errors="surrogateescape")) > MAX_LINE_BYTES:
            raise _too_long(path, number)
    return lines


def _too_long(path: Path, line: int) -> ResMLPError:
    return ResMLPError(
        f"{path} does not have one sentence a line: line {line:,} is longer than {MAX_LINE_BYTES:,} bytes; check that "
        "lines end in line feeds"
    )


def read_line_pairs(src: Path, tgt: Path, errors: str = "strict") -> Iterator[Pair]:
    """Yields the lines of two files in pairs.

    Args:
        src: the source sentences.
        tgt: their translations.
        errors: as in `read_lines`.

    Raises:
        ResMLPError: one file ends before the other; the message names both and their numbers of lines.
    """
    src_lines, tgt_lines = read_lines(src, errors), read_lines(tgt, errors)
    for number, (src_line, tgt_line) in enumerate(zip_longest(src_lines, tgt_lines)):
        if src_line is None or tgt_line is None:
            shorter, longer, rest = (src, tgt, tgt_lines) if src_line is None else (tgt, src, src_lines)
            raise ResMLPError(
                f"{shorter} and {longer} have different numbers of lines, {number:,} and "
                f"{number + 1 + sum(1 for _ in rest):,}; line n of one must be the translation of line n of the other"
            )
        yield src_line, tgt_line
