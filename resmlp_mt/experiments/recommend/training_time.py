"""The expected time of a training on this machine, from its operations and the speed of matrix products here."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass

from resmlp_mt.experiments.measure.machine import highest, measure_peak, usable_cpus
from resmlp_mt.experiments.recommend.operations import GPU_EFFICIENCY, efficiency, training_hours
from resmlp_mt.experiments.recommend.scales import Scale

_SECONDS = 0.3  # length of each measurement
_MAX_THREADS = 8  # maximum number of threads that the matmuls of small models are divided among


@dataclass(frozen=True)
class Speed:
    """The speed of this machine for a training.

    Attributes:
        gflops: peak speed of matmuls in GFLOP/s; None if it was not measured.
        device: "gpu" or "cpu".
        threads: number of threads on a CPU.
    """

    gflops: float | None
    device: str
    threads: int = 1

    def hours(self, operations: float, dim: int) -> float | None:
        """Hours of a training with this model dim; None if the speed is unknown."""
        if self.gflops is None:
            return None
        reached = GPU_EFFICIENCY if self.device == "gpu" else efficiency(dim)
        return training_hours(operations, self.gflops, reached)

    @property
    def text(self) -> str:
        """The peak, as text."""
        if self.gflops is None:
            return "not measured"
        threads = "1 thread" if self.threads == 1 else f"{self.threads} threads"
        where = "one GPU in bfloat16" if self.device == "gpu" else f"{threads} in float32"
        return f"{number(self.gflops)} GFLOP/s with {where}"


def measure_speed(device: str) -> Speed:
    """Measures the peak of "gpu" or "cpu", for a training as `launch` starts it, in less than a second."""
    if device == "gpu":
        return Speed(highest(measure_peak(1, _SECONDS, ("bfloat16",), "cuda"), "bfloat16"), device)
    requested = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0]
    threads = int(requested) if requested.isdigit() and int(requested) > 0 else min(usable_cpus(), _MAX_THREADS)
    return Speed(highest(measure_peak(threads, _SECONDS, ("float32",)), "float32"), device, threads)


def time_line(operations: float, scale: Scale, speed: Speed) -> str:
    """One line: the expected time of the training that was picked."""
    hours = speed.hours(operations, scale.dim)
    if hours is None:
        return f"expected time: unknown, since this machine's speed was not measured ({operations:.1e} operations)"
    return (
        f"expected time: at most {duration(hours)}, within a factor of two ({operations:.1e} operations; "
        f"the peak here and now is {speed.text})"
    )


def gpu_line(operations: float, passes: float, scale: Scale | None, speed: Speed) -> str:
    """One line: the picks for a GPU; `scale` is None if they equal those for this machine."""
    if scale is None:
        return "for a GPU the picks are the same, since there is little data"
    line = f"for a GPU (--for gpu): {scale.size}, at most {number(passes)} passes"
    hours = None if speed.device == "gpu" else speed.hours(operations, scale.dim)
    return line if hours is None else f"{line}; without one that would take {duration(hours)}"


def number(value: float) -> str:
    """A number with two significant digits, or as an integer from 10 on."""
    return f"{value:,.0f}" if value >= 10 else f"{value:.2g}"


def duration(hours: float) -> str:
    """A duration as text in minutes, hours or days."""
    if hours < 1:
        return f"{max(1, math.ceil(60 * hours))} minutes"
    return f"{number(hours)} hours" if hours < 48 else f"{number(hours / 24)} days"
