"""The machine of a benchmark: its processor, its measured peak, and the CPU share of other processes meanwhile.

    watch = MachineWatch(threads)     # at the start: identifies the processor, measures the peak
    ...
    machine = watch.finish()          # at the end: for the JSON; `machine_line(machine)` is the line above the table

This module imports neither torch nor fairseq: the peak is measured in another process (`peak.py`).
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from resmlp_mt.experiments.measure.cpu_names import Processor, parse_cpuinfo

QUIET = 0.05  # maximum CPU share of other processes on a quiet machine
Peak = dict[str, dict[str, float]]  # GFLOP/s by type and library
_PEAK = Path(__file__).resolve().parent / "peak.py"
_MIN_SECONDS = 0.2  # the kernel counts in hundredths of a second


@dataclass(frozen=True)
class Clocks:
    """CPU time counters in seconds, summed over the usable CPUs.

    Attributes:
        total: all time, including idle time.
        busy: time that processes of this system used.
        stolen: time that the host gave to other virtual machines.
        own: part of `busy` that this process and its finished children used.
    """

    total: float
    busy: float
    stolen: float
    own: float


def parse_stat(text: str, cpus: Collection[int], ticks: int, own: float) -> Clocks:
    """Parses the text of /proc/stat.

    Args:
        text: one line per CPU: user, nice, system, idle, iowait, irq, softirq, steal, and guest times, which user and
            nice already include.
        cpus: numbers of the CPUs to sum over.
        ticks: clock ticks per second.
        own: CPU seconds of this process and its finished children.
    """
    names = {f"cpu{number}" for number in cpus}
    total = idle = stolen = 0
    for line in text.splitlines():
        name, *rest = line.split()
        if name in names:
            counts = [int(count) for count in rest[:8]]
            total += sum(counts)
            idle += counts[3] + counts[4]
            stolen += counts[7]
    return Clocks(total / ticks, (total - idle - stolen) / ticks, stolen / ticks, own)


def read_clocks() -> Clocks | None:
    """Reads the current counters; None if the system has no /proc/stat."""
    try:
        text = Path("/proc/stat").read_text(encoding="ascii")
    except OSError:
        return None
    return parse_stat(text, os.sched_getaffinity(0), os.sysconf("SC_CLK_TCK"), sum(os.times()[:4]))


def share_of_others(before: Clocks | None, after: Clocks | None) -> tuple[float, float] | None:
    """The share of the usable CPUs' time that others used, and the part of it that other virtual machines used.

    Returns:
        Both from 0 to 1; None without counters, or with too little time between them.
    """
    if before is None or after is None or after.total - before.total < _MIN_SECONDS:
        return None
    total = after.total - before.total
    stolen = (after.stolen - before.stolen) / total
    others = max(0.0, after.busy - before.busy - (after.own - before.own)) / total + stolen
    return min(1.0, others), stolen


def usable_cpus() -> int:
    """Number of CPUs that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def find_processor() -> Processor:
    """The processor of this machine, from /proc/cpuinfo or else from `platform`."""
    try:
        processor = parse_cpuinfo(Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace"))
    except OSError:
        processor = None
    return processor or Processor(platform.processor() or platform.machine())


def measure_peak(
    threads: int, seconds: float = 1.0, types: Sequence[str] = ("float32", "bfloat16"), device: str = "cpu"
) -> Peak:
    """Measures the peak speed of matmuls in another process.

    Args:
        threads: number of threads.
        seconds: duration for each type and library.
        types: number types.
        device: PyTorch device.

    Returns:
        GFLOP/s by type and library; empty, with a line on standard error, if the measurement fails.
    """
    command = [sys.executable, str(_PEAK), f"--threads={threads}", f"--seconds={seconds}", f"--device={device}"]
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    done = subprocess.run([*command, "--types", *types], env=environment, capture_output=True, text=True)
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1]
        print(f"The peak of this machine was not measured: {reason}", file=sys.stderr)
        return {}
    peaks: dict[str, dict[str, float]] = json.loads(done.stdout.splitlines()[-1])
    return peaks


def highest(peak: Peak, kind: str) -> float | None:
    """GFLOP/s of the fastest library for a type; None if it was not measured."""
    return max(peak.get(kind, {}).values(), default=None)


def find_gpu() -> dict[str, Any] | None:
    """The first GPU that PyTorch can use: its "name" and "peak_gflops"; None if there is none."""
    ask = "import torch; print(torch.cuda.get_device_name() if torch.cuda.is_available() else '')"
    name = subprocess.run([sys.executable, "-c", ask], capture_output=True, text=True).stdout.strip()
    return {"name": name, "peak_gflops": measure_peak(1, device="cuda")} if name else None


class MachineWatch:
    """Describes the machine and measures its load by others, from the start of a benchmark to its end.

    Args:
        threads: number of threads of the benchmark.
        since: counters at the start (default: the current ones).
        uses_gpu: whether the benchmark runs on a GPU if there is one, which is then described too.
    """

    def __init__(self, threads: int, since: Clocks | None = None, uses_gpu: bool = False) -> None:
        self._before = since or read_clocks()
        processor = find_processor()
        self._described = {
            "processor": str(processor),
            "vendor": processor.vendor,
            "family": processor.family,
            "model": processor.model,
            "stepping": processor.stepping,
            "microarchitecture": processor.microarchitecture,
            "instructions": list(processor.instructions),
            "cores": usable_cpus(),
            "threads": threads,
            "peak_gflops": measure_peak(max(1, threads)),
            "gpu": find_gpu() if uses_gpu else None,
        }

    def finish(self) -> dict[str, Any]:
        """The machine for a benchmark's JSON.

        "others_share" is the CPU share of others since the start, "stolen_share" the part of other virtual machines,
        and "quiet" whether it is small; all are None if the system has no counters.
        """
        shares = share_of_others(self._before, read_clocks())
        others, stolen = shares or (None, None)
        return {
            **self._described,
            "others_share": None if others is None else round(others, 3),
            "stolen_share": None if stolen is None else round(stolen, 3),
            "quiet": None if others is None else others <= QUIET,
            "python": platform.python_version(),
            **{package: version(package) for package in ("torch", "fairseq-fixed", "numpy")},
        }


def machine_line(machine: Mapping[str, Any]) -> str:
    """One line that describes the machine, for the line above a table.

    Args:
        machine: the result of `MachineWatch.finish`.
    """
    name, cores, threads = machine["processor"], machine["cores"], machine["threads"]
    article = "an" if name[:1] in "AEIOU" else "a"
    parts = [f"{cores} {'core' if cores == 1 else 'cores'} of {article} {name}"]
    if threads:
        parts.append(f"{threads} {'thread' if threads == 1 else 'threads'}")
    parts += [*_peak_parts(machine["peak_gflops"]), _load_text(machine["others_share"], machine["quiet"])]
    if gpu := machine.get("gpu"):
        parts += [f"GPU {gpu['name']}", *_peak_parts(gpu["peak_gflops"])]
    parts += [f"Python {machine['python']}", f"torch {machine['torch']}", f"fairseq-fixed {machine['fairseq-fixed']}"]
    return f"Machine: {', '.join(parts)}."


def _peak_parts(peak: Peak) -> list[str]:
    parts = []
    for kind, speeds in peak.items():
        each = ", ".join(f"{library} {_rounded(speed)}" for library, speed in speeds.items())
        detail = f" ({each})" if len(speeds) > 1 else ""
        parts.append(f"{_rounded(max(speeds.values()))} GFLOP/s in {kind}{detail}")
    return [f"peak {' and '.join(parts)}"] if parts else []


def _rounded(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 else f"{value:.2g}"


def _load_text(others: float | None, quiet: bool | None) -> str:
    if others is None:
        return "load by others not known"
    return f"{'quiet' if quiet else 'not quiet'} (others took {others:.0%} of the processor)"
