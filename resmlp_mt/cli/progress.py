"""Progress of a long job on a terminal; remarks on standard error."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from pathlib import Path

from resmlp_mt.translation.types import Translation

_CLEAR = "\r\x1b[K"


class Progress:
    """Shows sentences per second and the remaining time.

    Args:
        path: of the input, whose size tells how much is left; None for a pipe.
        shown: whether progress is drawn. Remarks are always made.
    """

    def __init__(self, path: Path | None, shown: bool) -> None:
        known = path is not None and path.is_file() and path.suffix != ".gz"
        self._total_bytes = path.stat().st_size if known and path else 0
        self._shown = shown
        self._start = time.monotonic()
        self._lines = self._sentences = self._tokens = 0
        self._done_bytes = self._first_bytes = 0

    def start_at(self, lines: int, done_bytes: int) -> None:
        """Begins behind what an earlier run has done."""
        self._lines, self._done_bytes, self._first_bytes = lines, done_bytes, done_bytes
        self._start = time.monotonic()

    def say(self, remark: str) -> None:
        """Makes a remark."""
        print(f"{_CLEAR if self._shown else ''}resmlp-mt translate: {remark}", file=sys.stderr, flush=True)

    def ignore(self, remark: str) -> None:
        """Makes no remark."""

    def advance(self, translations: Sequence[Translation], done_bytes: int) -> None:
        """Counts what has been done."""
        self._lines += len(translations)
        self._sentences += len(translations)
        self._tokens += sum(translation.tokens for translation in translations)
        self._done_bytes = done_bytes
        if self._shown:
            print(_CLEAR + self._text(), end="", file=sys.stderr, flush=True)

    def _text(self) -> str:
        seconds = max(time.monotonic() - self._start, 1e-9)
        text = (
            f"{self._lines:,} lines, {self._sentences / seconds:.1f} sentences/s, {self._tokens / seconds:.0f} tokens/s"
        )
        done = self._done_bytes - self._first_bytes
        if self._total_bytes and done:
            left = int(seconds * max(self._total_bytes - self._done_bytes, 0) / done)
            text += f", {left // 3600}:{left // 60 % 60:02}:{left % 60:02} left"
        return text

    def finish(self) -> None:
        """Says how it went, if progress was shown."""
        if self._shown:
            print(_CLEAR + self._text(), file=sys.stderr)
