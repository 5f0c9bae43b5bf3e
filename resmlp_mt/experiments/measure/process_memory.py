"""Peak memory of a command and all its child processes, for the benchmarks."""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

SAMPLE_SECONDS = 0.05


def run_measured(
    command: Sequence[str],
    environment: dict[str, str] | None = None,
    on_line: Callable[[str], None] | None = None,
) -> tuple[float, int]:
    """Runs a command to its end.

    Args:
        command: program and arguments.
        environment: environment variables (default: those of this process).
        on_line: called with each line of the command's standard error.

    Returns:
        Seconds, and the peak memory of the process tree in KiB: the sum of the proportional set sizes, in which a page
        shared by two processes counts half for each, sampled 20 times per second.

    Raises:
        RuntimeError: when the command fails; the message has the end of its standard error.
    """
    start = time.perf_counter()
    with subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=environment
    ) as process:
        sampler = _Sampler(process.pid)
        errors = []
        for line in process.stderr or ():
            errors.append(line)
            if on_line:
                on_line(line.rstrip("\n"))
        status = process.wait()
        seconds = time.perf_counter() - start
        peak = sampler.stop()
    if status != 0:
        raise RuntimeError(f"{' '.join(command)} ended with status {status}:\n{''.join(errors)[-3000:]}")
    return seconds, peak


class _Sampler:
    """Samples the memory of a process and its descendants in a thread."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._peak = 0
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)
        self._thread.start()

    def stop(self) -> int:
        """Ends the sampling and returns the peak in KiB."""
        self._stopped.set()
        self._thread.join()
        return self._peak

    def _sample(self) -> None:
        while not self._stopped.wait(SAMPLE_SECONDS):
            self._peak = max(self._peak, sum(_memory(pid) for pid in _process_tree(self._pid)))


def _process_tree(pid: int) -> list[int]:
    pids = [pid]
    for member in pids:
        for children in Path(f"/proc/{member}/task").glob("*/children"):
            try:
                pids += map(int, children.read_text().split())
            except OSError:
                continue
    return pids


def _memory(pid: int) -> int:
    try:
        rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:")), 0)
