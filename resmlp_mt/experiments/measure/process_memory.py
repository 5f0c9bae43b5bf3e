"""Peak memory of a command and of all processes that it starts, for the benchmarks."""

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
        environment: its environment variables; this process's when None.
        on_line: called with each line that the command writes to its standard error stream.

    Returns:
        Seconds, and the largest memory of the whole family of processes in KiB: the sum of their proportional set
        sizes, in which a page shared by two counts half for each, sampled 20 times a second.

    Raises:
        RuntimeError: with the end of what the command said, if it failed.
    """
    start = time.perf_counter()
    with subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=environment
    ) as process:
        sampler = _Sampler(process.pid)
        said = []
        for line in process.stderr or ():
            said.append(line)
            if on_line:
                on_line(line.rstrip("\n"))
        status = process.wait()
        seconds = time.perf_counter() - start
        peak = sampler.stop()
    if status != 0:
        raise RuntimeError(f"{' '.join(command)} ended with status {status}:\n{''.join(said)[-3000:]}")
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
            self._peak = max(self._peak, sum(_memory(pid) for pid in _family(self._pid)))


def _family(pid: int) -> list[int]:
    family = [pid]
    for member in family:
        for children in Path(f"/proc/{member}/task").glob("*/children"):
            try:
                family += map(int, children.read_text().split())
            except OSError:
                continue
    return family


def _memory(pid: int) -> int:
    try:
        rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:")), 0)
