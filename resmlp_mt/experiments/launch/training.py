"""A running training: the log file, the lines on the terminal, and the stop signals."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

from resmlp_mt.common import threads
from resmlp_mt.common.allocator import NO_THREAD_CACHE
from resmlp_mt.training.stopping import EXIT_STATUS as STOPPED

# Lines of fairseq's log and their short forms for the terminal.
_SHOWN = (
    (re.compile(r"train_inner \| (epoch \d+: +\d+ / \d+).* (ppl=[\d.]+), (wps=[\d.]+)"), r"  \1  \2  \3"),
    (re.compile(r" valid \| (epoch \d+) .* (ppl [\d.]+) .* (bleu [\d.]+) "), r"  \1: validation \2, \3"),
    (re.compile(r" valid \| (epoch \d+) .* (ppl [\d.]+) "), r"  \1: validation \2"),
    (re.compile(r"\| (early stop since .*)"), r"  \1"),
    (re.compile(r"(fairseq-train: error: .*)"), r"\1"),
    (re.compile(r"^((?:\[rank\d+\]: )?\w*Error: .*)"), r"\1"),
)


def shown(line: str) -> str | None:
    """The short form of a line of fairseq's log for the terminal; None if it is not shown."""
    for pattern, form in _SHOWN:
        match = pattern.search(line)
        if match:
            return match.expand(form)
    return None


class Training:
    """A running training: writes its log and forwards signals.

    Args:
        command: the command to run.
        log: file that its output is appended to.
    """

    def __init__(self, command: Sequence[str], log: Path) -> None:
        self.was_stopped = False
        self._log = log.open("a", encoding="utf-8")
        self._process: subprocess.Popen[str] | None = None
        self._is_torchrun = command[0] == "torchrun"
        stops = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)
        self._handlers_before = {number: signal.signal(number, self._stop) for number in stops}
        environment = {**NO_THREAD_CACHE, **os.environ, "PYTHONUNBUFFERED": "1"}
        threads.spin_briefly(environment)
        # A session of its own: a terminal's Ctrl-C must not reach torchrun, which kills its processes after 30 seconds.
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
            env=environment,
        )
        if self.was_stopped:  # a signal came while the process started
            self._stop(signal.SIGTERM, None)

    def _stop(self, number: int, _frame: FrameType | None) -> None:
        """Signals the training processes to stop; torchrun itself runs until they have ended."""
        self.was_stopped = True
        for process in self._trainers():
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGTERM if number == signal.SIGINT else number)

    def _trainers(self) -> list[int]:
        if self._process is None:
            return []
        parent = self._process.pid
        if not self._is_torchrun:
            return [parent]
        try:
            children = [int(pid) for pid in Path(f"/proc/{parent}/task/{parent}/children").read_text().split()]
        except OSError:  # the process has just ended
            children = []
        return children or [parent]

    def wait(self) -> int:
        """Writes the log until the process ends; returns its exit status, or `STOPPED` after a stop signal."""
        assert self._process is not None
        assert self._process.stdout is not None
        with self._log:
            for line in self._process.stdout:
                self._log.write(line)
                self._log.flush()
                if text := shown(line):
                    print(text, flush=True)
        status = self._process.wait()
        for number, handler in self._handlers_before.items():
            signal.signal(number, handler)
        if status and self.was_stopped:
            return STOPPED
        return status if status >= 0 else 128 - status
