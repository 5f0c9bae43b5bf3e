"""Text as it is: UTF-8, lines ended by a line feed alone, plain or compressed, and two files in step.

A carriage return, U+2028 or U+0085 is text: splitting at them is how other tools lose the pairing of two files.
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
# Text shrinks to a tenth, repetitive text to a fiftieth; what grows further is made to fill the disk or the memory.
MAX_EXPANSION = 200
ALWAYS_ALLOWED_BYTES = 1 << 26
_BLOCK_BYTES = 1 << 20
# Zstandard gives all that a piece holds at once: small pieces keep even a decompression bomb small.
_PACKED_BYTES = 1 << 12
_BYTE_ORDER_MARK = "\ufeff"


def _open(path: Path) -> IO[bytes]:
    """Opens a file for reading, through a decompressor chosen by the end of its name."""
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
        raise ResMLPError(f"{path} must be a readable file, but is not ({error.strerror}); check the name") from error


def _zstandard() -> Any:
    try:
        return importlib.import_module("zstandard")
    except ImportError as error:
        raise ResMLPError("files ending in .zst need a library; run `pip install zstandard`") from error


def _decompressed(path: Path) -> Iterator[bytes]:
    with _open(path) as file:
        if path.suffix == ".zst":
            yield from _zstandard_frames(file)
            return
        while block := file.read(_BLOCK_BYTES):
            yield block


def _zstandard_frames(file: IO[bytes]) -> Iterator[bytes]:
    # The library's own file object takes a truncated file for a whole one.
    context = _zstandard().ZstdDecompressor()
    frame = context.decompressobj()
    while packed := file.read(_PACKED_BYTES):
        while packed:
            frame = context.decompressobj() if frame.eof else frame
            yield frame.decompress(packed)
            packed = frame.unused_data if frame.eof else b""
    if not frame.eof:
        raise EOFError("the last frame is not whole")


def _damaged_types() -> tuple[type[Exception], ...]:
    """What the decompressors raise at a damaged or truncated file."""
    types: tuple[type[Exception], ...] = (EOFError, OSError, lzma.LZMAError, zlib.error)
    if "zstandard" in sys.modules:
        types += (_zstandard().ZstdError,)
    return types


def expansion_limit(packed: Path) -> int:
    """The most bytes that a compressed file may give before it is taken for a decompression bomb."""
    return max(packed.stat().st_size * MAX_EXPANSION, ALWAYS_ALLOWED_BYTES)


def read_blocks(path: Path) -> Iterator[bytes]:
    """Yields the decompressed content of a file in blocks of about one megabyte.

    Raises:
        ResMLPError: when the file is damaged, truncated, or expands beyond `MAX_EXPANSION`.
    """
    limit = expansion_limit(path) if path.suffix in COMPRESSIONS[1:] else None
    total = 0
    try:
        for block in _decompressed(path):
            total += len(block)
            if limit is not None and total > limit:
                raise ResMLPError(
                    f"{path} must hold at most {MAX_EXPANSION} times its own size, but expands beyond that after "
                    f"{total:,} bytes; it is not a compressed text"
                )
            yield block
    except _damaged_types() as error:
        raise ResMLPError(
            f"{path} must be a whole {path.suffix or 'text'} file, but is damaged or cut short after {total:,} bytes "
            f"of text ({error}); get it again"
        ) from error


def read_lines(path: Path, errors: str = "strict") -> Iterator[str]:
    """Yields the lines of a UTF-8 text file without their line feeds; a byte order mark at the start is dropped.

    Args:
        path: plain or compressed text.
        errors: "strict", or "surrogateescape" to let invalid bytes through as lone surrogates for a later rule to find.

    Raises:
        ResMLPError: names the file and the line of invalid bytes, or of a line over `MAX_LINE_BYTES`, or the
            encoding if it is UTF-16 or UTF-32.
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
        place = done + content.count(b"\n", 0, error.start) + 1
        raise ResMLPError(
            f"{path} must be UTF-8 text, but line {place:,} holds the byte 0x{content[error.start]:02x}; convert the "
            "file, or remove such pairs with --invalid-utf8 remove"
        ) from error
    lines = text.split("\n")
    if done == 0:
        lines[0] = lines[0].removeprefix(_BYTE_ORDER_MARK)
    for number, line in enumerate(lines, done + 1):
        # A character takes one to four bytes, so that most lines need no second look.
        if len(line) * 4 > MAX_LINE_BYTES and len(line.encode(errors="surrogateescape")) > MAX_LINE_BYTES:
            raise _too_long(path, number)
    return lines


def _too_long(path: Path, line: int) -> ResMLPError:
    return ResMLPError(
        f"{path} must hold one sentence a line, but line {line:,} is longer than {MAX_LINE_BYTES:,} bytes; "
        "check that lines end in line feeds"
    )


def read_line_pairs(src: Path, tgt: Path, errors: str = "strict") -> Iterator[Pair]:
    """Yields line n of two files together.

    Args:
        src: the source sentences.
        tgt: their translations.
        errors: as in `read_lines`.

    Raises:
        ResMLPError: when one file ends before the other: names both and their numbers of lines.
    """
    src_lines, tgt_lines = read_lines(src, errors), read_lines(tgt, errors)
    for number, (src_line, tgt_line) in enumerate(zip_longest(src_lines, tgt_lines)):
        if src_line is None or tgt_line is None:
            shorter, longer, rest = (src, tgt, tgt_lines) if src_line is None else (tgt, src, src_lines)
            raise ResMLPError(
                f"{shorter} and {longer} must hold equally many lines, but hold {number:,} and "
                f"{number + 1 + sum(1 for _ in rest):,}; line n of both must be a pair"
            )
        yield src_line, tgt_line
