"""Runs commands of this environment in parallel; all of them stop when this process is stopped."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent
_LOG_END = 2000  # characters of a failed command's log in the error message
_GRACE_SECONDS = 60
_POLL_SECONDS = 0.1  # between two readings of a process's memory


class CommandError(RuntimeError):
    """A command failed. The message has its name, exit status and the end of its log."""


@dataclass(frozen=True)
class Finished:
    """A successful command: its peak memory, and the output of this run."""

    peak_mib: float
    output: str


class Commands:
    """Runs commands from several threads. `stop` ends the running ones; none starts after it."""

    def __init__(self) -> None:
        self._running: set[subprocess.Popen[bytes]] = set()
        self._lock = threading.Lock()
        self._stopped = False

    def run(self, log: Path, threads: int, *args: object) -> Finished:
        """Runs a command of this environment to its end and appends its output to a log.

        Args:
            log: file for standard output and standard error.
            threads: number of threads of the command.
            args: name of the command and its arguments.

        Raises:
            CommandError: when it fails.
        """
        command = [str(BIN / str(args[0])), *map(str, args[1:])]
        environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "PYTHONWARNINGS": "ignore"}
        with log.open("ab") as log_file:
            begin = log_file.tell()
            with self._lock:
                if self._stopped:
                    raise CommandError("stopped")
                # A session of its own: Ctrl-C in the terminal reaches this process only, which then ends the command.
                process = subprocess.Popen(
                    command,
                    stdout=log_file,
                    stderr=subprocess.STDOUT,
                    cwd=ROOT,
                    env=environment,
                    start_new_session=True,
                )
                self._running.add(process)
            peak = _wait(process)
        with self._lock:
            self._running.discard(process)
        output = log.read_bytes()[begin:].decode("utf-8", "replace")
        if process.returncode != 0:
            name = Path(command[0]).name
            raise CommandError(f"{name} ended with status {process.returncode}, see {log}:\n{output[-_LOG_END:]}")
        return Finished(peak, output)

    def stop(self) -> None:
        """Sends SIGTERM to the running commands, and kills those that are still running after a minute."""
        with self._lock:
            self._stopped = True
            for process in self._running:
                process.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + _GRACE_SECONDS
        while time.monotonic() < deadline:
            with self._lock:
                if not self._running:
                    return
            time.sleep(0.1)
        with self._lock:
            for process in self._running:
                process.kill()


def _wait(process: subprocess.Popen[bytes]) -> float:
    """Waits for a process; returns its peak memory in MiB from the last reading of VmHWM, or 0 if there was none.

    `ru_maxrss` at the end would not do: it includes the memory of the parent at the time of the fork.
    """
    peak = 0
    while True:
        with contextlib.suppress(OSError, StopIteration):
            status = Path(f"/proc/{process.pid}/status").read_text(encoding="utf-8").splitlines()
            peak = int(next(line for line in status if line.startswith("VmHWM:")).split()[1])
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_POLL_SECONDS)
            return peak / 1024


def run_jobs(jobs: Iterable[Callable[[], Any]], at_once: int, commands: Commands) -> list[Any]:
    """Runs functions in threads and starts them in order. On Ctrl-C or SIGTERM it stops the commands first.

    Args:
        jobs: the functions; each may use `commands`.
        at_once: number of threads.
        commands: stopped when this process is interrupted, or when a job raises anything but `CommandError`.

    Returns:
        For each job its return value, or the `CommandError` that it raised.

    Raises:
        KeyboardInterrupt: on Ctrl-C and on SIGTERM.
    """

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    pool = ThreadPoolExecutor(at_once)
    try:
        futures = [pool.submit(job) for job in jobs]
        waiting = set(futures)
        while waiting:
            done, waiting = wait(waiting, timeout=0.5, return_when=FIRST_COMPLETED)
            for error in filter(None, (future.exception() for future in done)):
                if not isinstance(error, CommandError):
                    raise error
    except BaseException:
        commands.stop()
        raise
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
        signal.signal(signal.SIGTERM, before)
    return [future.exception() or future.result() for future in futures]
