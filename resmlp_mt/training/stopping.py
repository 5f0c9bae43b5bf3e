"""Signals that make a training run save and stop: SIGTERM, and SIGUSR1, which Slurm can send before its time limit.

The first signal only sets a flag, which is checked after each update. A second one ends the process at once.
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

# sysexits.h, EX_TEMPFAIL: "try again later". Differs from 0 (finished) and from 1 and 2 (failed), for scripts.
EXIT_STATUS = 75

# A launcher may signal the whole process group and also forward its own signal: copies within this time count as one.
_COPY_SECONDS = 1.0


class StopRequest:
    """Records whether a signal has requested this process to stop.

    Args:
        pass_on: called with the number of each signal, for example to forward it; optional.
        verbose: whether to print a message to standard error when the first signal arrives.

    Attributes:
        received: number of the first signal, or None.
    """

    def __init__(self, pass_on: Callable[[int], None] | None = None, verbose: bool = False) -> None:
        self.received: int | None = None
        self._pass_on, self._verbose, self._process, self._time = pass_on, verbose, os.getpid(), 0.0

    def listen(self) -> None:
        """Installs the signal handlers. Python allows this only in the main thread; elsewhere it does nothing."""
        if threading.current_thread() is threading.main_thread():
            for number in SIGNALS:
                signal.signal(number, self._receive)

    def _receive(self, number: int, _frame: FrameType | None) -> None:
        if os.getpid() != self._process:
            return  # a forked data loader, which this process still needs
        now = time.monotonic()
        if self.received is None:
            self.received, self._time = number, now
            if self._verbose:  # not through logging: the signal may have interrupted a log call
                with contextlib.suppress(OSError):  # the same signal may have ended the reader of standard error
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
        """Name of the signal received; a generic text if another process received it."""
        return signal.Signals(self.received).name if self.received else "a signal to another process"


def send_to_children(number: int) -> None:
    """Sends a signal to the child processes that this process has started with `multiprocessing`."""
    for child in multiprocessing.active_children():
        if child.pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(child.pid, number)


def _exit_on_sigterm_from(parent: int) -> None:
    while True:
        if signal.sigwaitinfo({signal.SIGTERM}).si_pid == parent:
            os._exit(0)


def keep_loading_data(set_handlers: Callable[[], None]) -> None:
    """Wraps torch's `_set_worker_signal_handlers`: data loader workers survive a SIGTERM to the process group.

    torch's handler kills a worker, except that it exits cleanly if its parent sent the signal. The training process
    would then fail at its next batch, before it could save.

    Args:
        set_handlers: torch's function.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    set_handlers()
    threading.Thread(target=_exit_on_sigterm_from, args=(os.getppid(),), daemon=True).start()
