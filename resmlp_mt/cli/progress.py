"""Progress of `resmlp-mt translate`: speed and remaining time on a terminal, and messages on standard error."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from pathlib import Path

from resmlp_mt.common.progress import progress_bar
from resmlp_mt.translation.types import Translation


class Progress:
    """Shows sentences and tokens per second, and the remaining time where the size of the input is known.

    Args:
        path: of the input; None for standard input.
        shown: whether progress is shown. Messages are printed in any case.
    """

    def __init__(self, path: Path | None, shown: bool) -> None:
        is_sized = path is not None and path.is_file() and path.suffix != ".gz"
        total = path.stat().st_size if is_sized and path else None
        self._start = time.monotonic()
        self._lines = self._sentences = self._tokens = 0
        layout = "{desc}, {remaining} left" if total else "{desc}"
        # smoothing=0: the remaining time follows the mean speed since the start
        options = {"desc": self._text(), "bar_format": layout, "smoothing": 0, "leave": True, "disable": False}
        self._bar = progress_bar("translate", total, "B", **options) if shown else None

    def start_at(self, lines: int, done_bytes: int) -> None:
        """Starts after what an earlier run has translated."""
        self._lines = lines
        self._start = time.monotonic()
        if self._bar is not None:
            self._bar.reset()
            self._bar.initial = self._bar.n = done_bytes

    def log(self, message: str) -> None:
        """Prints a message."""
        line = f"resmlp-mt translate: {message}"
        if self._bar is None:
            print(line, file=sys.stderr, flush=True)
        else:
            self._bar.write(line, file=sys.stderr)

    def ignore(self, message: str) -> None:
        """Prints nothing; replaces `log` with --quiet."""

    def advance(self, translations: Sequence[Translation], done_bytes: int) -> None:
        """Counts translations.

        Args:
            translations: the next ones.
            done_bytes: bytes of the input up to their end.
        """
        self._lines += len(translations)
        self._sentences += len(translations)
        self._tokens += sum(translation.tokens for translation in translations)
        if self._bar is not None:
            self._bar.set_description_str(self._text(), refresh=False)
            self._bar.update(done_bytes - self._bar.n)

    def _text(self) -> str:
        seconds = max(time.monotonic() - self._start, 1e-9)
        return (
            f"{self._lines:,} lines, {self._sentences / seconds:.1f} sentences/s, {self._tokens / seconds:.0f} tokens/s"
        )

    def finish(self) -> None:
        """Leaves the final counts on the terminal, if progress was shown."""
        if self._bar is not None:
            self._bar.set_description_str(self._text(), refresh=False)
            self._bar.close()
