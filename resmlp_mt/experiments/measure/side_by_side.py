"""Helpers of the benchmarks: the machine, a table, and the peak memory of a child process.

This module imports neither fairseq nor torch, so that a benchmark can measure fairseq without this project's patches.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from typing import Any

from resmlp_mt.experiments.measure.machine import machine_line


def print_table(header: Sequence[str], rows: Sequence[Sequence[Any]], machine: Mapping[str, Any] | None = None) -> None:
    """Prints a Markdown table. Floats have three significant digits, or no decimals from 100 on.

    Args:
        header: titles of the columns.
        rows: rows of the table.
        machine: the result of `MachineWatch.finish`, for the line above the table.
    """
    if machine is not None:
        print(f"{machine_line(machine)}\n")

    def text(value: Any) -> str:
        if isinstance(value, float):
            return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
        return str(value)

    lines = [list(header), *[[text(value) for value in row] for row in rows]]
    widths = [max(len(line[column]) for line in lines) for column in range(len(header))]
    lines.insert(1, ["-" * width for width in widths])
    for line in lines:
        print("| " + " | ".join(value.ljust(width) for value, width in zip(line, widths, strict=True)) + " |")


def median_ratio(first: Sequence[float], second: Sequence[float]) -> float:
    """Median of the paired ratios first / second, which is robust against changes of the machine's speed."""
    return statistics.median(a / b for a, b in zip(first, second, strict=True))


def run_child(arguments: Sequence[str], threads: int) -> tuple[str, int]:
    """Runs this Python with `arguments`; returns its standard output and its peak memory in KiB.

    Raises:
        RuntimeError: when it fails; the message has the end of its standard error.
    """
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    with tempfile.TemporaryFile("w+") as output, tempfile.TemporaryFile("w+") as errors:
        process = subprocess.Popen([sys.executable, *arguments], stdout=output, stderr=errors, env=environment)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        errors.seek(0)
        stdout, stderr = output.read(), errors.read()
    if process.returncode != 0:
        raise RuntimeError(f"{' '.join(arguments)} ended with status {process.returncode}:\n{stderr[-3000:]}")
    return stdout, usage.ru_maxrss
