"""Commands of this environment, several at a time, which all end when this process is told to end."""

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
_SAID = 2000  # characters of a failed command's log that are shown
_GRACE_SECONDS = 60
_LOOK_SECONDS = 0.1  # between looks at a process's memory


class CommandError(RuntimeError):
    """A command failed; the message says which and ends with the end of its log."""


@dataclass(frozen=True)
class Finished:
    """A command that ended well: its peak memory, and its log from this start on."""

    peak_mib: float
    said: str


class Commands:
    """Runs commands from several threads; `stop` ends those that run, and no other begins after that."""

    def __init__(self) -> None:
        self._running: set[subprocess.Popen[bytes]] = set()
        self._lock = threading.Lock()
        self._stopped = False

    def run(self, log: Path, threads: int, *words: object) -> Finished:
        """Runs a command of this environment to its end; what it says is added to a file.

        Args:
            log: gets both of its output streams.
            threads: of the command.
            words: its name and arguments.

        Raises:
            CommandError: when it fails.
        """
        command = [str(BIN / str(words[0])), *map(str, words[1:])]
        environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "PYTHONWARNINGS": "ignore"}
        with log.open("ab") as output:
            begin = output.tell()
            with self._lock:
                if self._stopped:
                    raise CommandError("stopped")
                # Its own session: a Ctrl-C in the terminal reaches this process alone, which then ends the command.
                process = subprocess.Popen(
                    command, stdout=output, stderr=subprocess.STDOUT, cwd=ROOT, env=environment, start_new_session=True
                )
                self._running.add(process)
            peak = _wait(process)
        with self._lock:
            self._running.discard(process)
        said = log.read_bytes()[begin:].decode("utf-8", "replace")
        if process.returncode != 0:
            name = Path(command[0]).name
            raise CommandError(f"{name} ended with status {process.returncode}, see {log}:\n{said[-_SAID:]}")
        return Finished(peak, said)

    def stop(self) -> None:
        """Asks the running commands to end, and ends those that have not done so within a minute."""
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
    """Waits for a process's end; returns its peak memory in MiB, as the system last told it, or 0 where it tells none.

    The system's own account at the end, `ru_maxrss`, begins with the memory of the process that started this one.
    """
    peak = 0
    while True:
        with contextlib.suppress(OSError, StopIteration):
            status = Path(f"/proc/{process.pid}/status").read_text(encoding="utf-8").splitlines()
            peak = int(next(line for line in status if line.startswith("VmHWM:")).split()[1])
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_LOOK_SECONDS)
            return peak / 1024


def run_jobs(jobs: Iterable[Callable[[], Any]], at_once: int, commands: Commands) -> list[Any]:
    """Runs functions in threads, beginning them in their order. Ctrl-C and SIGTERM end the commands first.

    Args:
        jobs: the functions; each may use `commands`.
        at_once: number of threads.
        commands: ended when this process is interrupted or a job fails by more than a command's failure.

    Returns:
        What each returned, or the `CommandError` that it raised.

    Raises:
        KeyboardInterrupt: on SIGTERM too.
    """

    def interrupt(number: int, frame: FrameType | None) -> None:
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
