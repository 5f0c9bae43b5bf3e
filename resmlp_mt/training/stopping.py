"""Signals that ask a training to save and stop: SIGTERM, and SIGUSR1, which Slurm sends before its time-out.

The first one only leaves a note, which the training reads after each update. A second one ends the process at once.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable
from types import FrameType

SIGNALS = (signal.SIGTERM, signal.SIGUSR1)

# sysexits.h, EX_TEMPFAIL: "try again later". Neither 0 (finished) nor 1 or 2 (failed), so that a script can tell.
EXIT_STATUS = 75

# A launcher may send a signal to the whole group and pass its own on: copies within this time count as one.
_COPY_SECONDS = 1.0


class StopRequest:
    """Whether a signal has asked this process to stop.

    Args:
        pass_on: what else to do with a signal; by default nothing.
        aloud: say that one was received.

    Attributes:
        received: the number of the first signal.
    """

    def __init__(self, pass_on: Callable[[int], None] | None = None, aloud: bool = False) -> None:
        self.received: int | None = None
        self._pass_on, self._aloud, self._process, self._time = pass_on, aloud, os.getpid(), 0.0

    def listen(self) -> None:
        """Receives the signals from now on. Python lets only the main thread do so; in another, nothing happens."""
        if threading.current_thread() is threading.main_thread():
            for number in SIGNALS:
                signal.signal(number, self._receive)

    def _receive(self, number: int, frame: FrameType | None) -> None:
        if os.getpid() != self._process:
            return  # a process forked from ours to load data: ours still needs it
        now = time.monotonic()
        if self.received is None:
            self.received, self._time = number, now
            if self._aloud:  # not as a log record: the signal may have come in the midst of one
                with contextlib.suppress(OSError):  # whoever read it may have ended of the same signal
                    os.write(2, f"{self.name} received: saving and stopping after this update\n".encode())
            if self._pass_on:
                self._pass_on(number)
        elif now - self._time > _COPY_SECONDS:
            if self._pass_on:
                self._pass_on(number)
            signal.signal(number, signal.SIG_DFL)
            os.kill(self._process, number)

    @property
    def name(self) -> str:
        """Of the signal received; in another process than this, it is not known which."""
        return signal.Signals(self.received).name if self.received else "a signal to another process"


def send_to_children(number: int) -> None:
    """Sends a signal to the processes that this one has started with `multiprocessing`."""
    for child in multiprocessing.active_children():
        if child.pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(child.pid, number)


def _end_when_the_parent_says_so(parent: int) -> None:
    while True:
        if signal.sigwaitinfo({signal.SIGTERM}).si_pid == parent:
            os._exit(0)


def keep_loading_data(set_handlers: Callable[[], None]) -> None:
    """Goes around torch's `_set_worker_signal_handlers`: processes that load data survive a SIGTERM to all.

    torch's own handler ends such a process unless the sender is its parent (then it ends, too, but in order); the
    training would fail at its next batch, before it could save.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    set_handlers()
    threading.Thread(target=_end_when_the_parent_says_so, args=(os.getppid(),), daemon=True).start()
