"""Reads lines from files and pipes: line n is everything before the n-th line feed."""

from __future__ import annotations

import codecs
import gzip
import hashlib
import sys
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, cast

from resmlp_mt.common.errors import ResMLPError, require_choice

ERRORS = ("replace", "error")
WINDOW_LINES = 512  # enough for batches of similar length; little is lost when a job is killed
MAX_LINE_BYTES = 16 * 2**20
# A window ends after this much text, so that a window of very long lines fits into memory too.
WINDOW_BYTES = 4 * 2**20
_BLOCK_BYTES = 2**16
_BYTE_ORDER_MARK = "\ufeff"
# The longer ones first: the mark of UTF-32, little-endian, begins with that of UTF-16.
_OTHER_ENCODINGS = {
    codecs.BOM_UTF32_LE: "UTF-32",
    codecs.BOM_UTF32_BE: "UTF-32",
    codecs.BOM_UTF16_LE: "UTF-16",
    codecs.BOM_UTF16_BE: "UTF-16",
}


def refuse_other_encodings(content: bytes, name: str) -> None:
    """Refuses text whose first bytes are the byte-order mark of UTF-16 or UTF-32.

    Args:
        content: the beginning of the text, at least up to the first line feed.
        name: of the text, for the message.

    Raises:
        ResMLPError: the message names the encoding and the command that converts it.
    """
    for mark, encoding in _OTHER_ENCODINGS.items():
        if content.startswith(mark):
            raise ResMLPError(
                f"{name} is not UTF-8: it begins with the byte-order mark of {encoding}; convert it with "
                f"`iconv -f {encoding} -t UTF-8`"
            )


def open_input(path: Path | None) -> BinaryIO:
    """Opens a file, decompressed if its name ends in .gz, or standard input.

    Args:
        path: None for standard input.

    Raises:
        ResMLPError: the file cannot be opened, or standard input is closed.
    """
    if path is None:
        if sys.stdin is None:
            raise ResMLPError("the standard input is closed; redirect text to it, or give a file")
        return sys.stdin.buffer
    try:
        return cast(BinaryIO, gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb"))
    except OSError as error:
        raise ResMLPError(f"{path} cannot be read ({error.strerror}); check the name") from error


class LineReader:
    """Reads lines in windows, in bounded memory. Only a line feed ends a line; a carriage return is text.

    Args:
        stream: has `read1`, like files, gzip files and standard input.
        name: of the stream, for messages.
        errors: what to do with a line that is not UTF-8: "replace" invalid bytes by U+FFFD and report it, or "error".
        say: receives a message about each line that is not UTF-8.

    Attributes:
        lines: number of lines read.
        consumed: sha256 of the bytes of these lines.
        consumed_bytes: number of these bytes.
    """

    def __init__(
        self, stream: BinaryIO, name: str, errors: str = "replace", say: Callable[[str], None] = print
    ) -> None:
        require_choice("--errors", errors, ERRORS)
        self._stream, self._name, self._errors, self._say = stream, name, errors, say
        self._waiting: list[bytes] = []  # complete lines, the next one last
        self._rest = b""
        self._at_end = False
        self.lines = 0
        self.consumed = hashlib.sha256()
        self.consumed_bytes = 0

    def read_window(self, most: int, wait: bool = True) -> list[str]:
        """Reads the next lines.

        Args:
            most: maximum number of lines; fewer are read when they are very long.
            wait: wait for `most` lines to arrive; otherwise only for the first one.

        Returns:
            The lines without line feeds; an empty list at the end of the input.

        Raises:
            ResMLPError: the input is damaged or UTF-16, a line is too long, or a line is not UTF-8 with errors="error".
        """
        window: list[str] = []
        size = 0
        while len(window) < most and size < WINDOW_BYTES:
            if not self._waiting and (self._at_end or (window and not wait) or not self._fill()):
                break
            line = self._waiting.pop()
            size += len(line)
            window.append(self._take(line))
        return window

    def _fill(self) -> bool:
        """Waits for at least one complete line; returns whether there is one."""
        while not self._waiting and not self._at_end:
            try:
                block = self._stream.read1(_BLOCK_BYTES)  # type: ignore[attr-defined]
            except (OSError, EOFError, zlib.error) as error:
                raise ResMLPError(f"{self._name} is damaged ({error}); get it again") from error
            self._at_end = not block
            *complete, self._rest = (self._rest + block).split(b"\n")
            if self._at_end and self._rest:
                complete.append(self._rest)
            if len(self._rest) > MAX_LINE_BYTES:
                raise ResMLPError(
                    f"line {self.lines + len(complete) + 1} of {self._name} is longer than {MAX_LINE_BYTES:,} bytes; "
                    "check that lines end in line feeds"
                )
            self._waiting = complete[::-1]
        return bool(self._waiting)

    def _take(self, line: bytes) -> str:
        self.lines += 1
        self.consumed.update(line + b"\n")
        self.consumed_bytes += len(line) + 1
        if self.lines == 1:
            refuse_other_encodings(line, self._name)
        try:
            text = line.decode("utf-8")
        except UnicodeDecodeError as error:
            problem = f"line {self.lines} of {self._name} is not UTF-8 (byte 0x{line[error.start]:02x})"
            if self._errors == "error":
                raise ResMLPError(f"{problem}; convert the file, or use --errors replace") from error
            self._say(f"{problem}: invalid bytes were replaced")
            text = line.decode("utf-8", "replace")
        return text.removeprefix(_BYTE_ORDER_MARK) if self.lines == 1 else text


def read_lines(path: Path) -> list[str]:
    """Reads all lines of a UTF-8 file, decompressed if its name ends in .gz.

    Raises:
        ResMLPError: the file cannot be read or is not UTF-8.
    """
    lines: list[str] = []
    with open_input(path) as stream:
        reader = LineReader(stream, str(path), errors="error")
        while window := reader.read_window(1_000_000):
            lines += window
    return lines
