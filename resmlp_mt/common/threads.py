"""Chooses how many threads a computation uses, and what threads do while they wait for one another.

OpenMP divides every matrix product among its threads and waits at the end for the slowest. Two things make that slow:
a product too small to be worth the wait, and a thread whose CPU is in use by another process, since all other threads
wait until it is scheduled again. Hence: one thread for small computations, no more threads than idle CPUs where the
load can change at any time, and waiting threads that sleep soon instead of spinning for milliseconds.

What the user has set (`OMP_NUM_THREADS`, `OMP_WAIT_POLICY`, `GOMP_SPINCOUNT`) is respected. This module imports torch
only where it sets threads, so that it can be used before torch loads OpenMP. `scripts/benchmarks/threads.py` measures
it.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, MutableMapping
from pathlib import Path

from resmlp_mt.common.errors import ResMLPError

# Rounds that a waiting thread spins before it sleeps, about 0.2 ms. libgomp's default, 300,000, is about 6 ms, during
# which the thread that it waits for may lack a CPU; with much fewer, threads sleep between any two products of a model.
SPIN_COUNT = 10_000
MOST_WORKERS = 8  # the number of batches in a window of lines

# The work that makes one more thread worthwhile, measured on 2 cores of an AMD EPYC (Zen 3). The time of a decoding
# step of few rows is that of reading the weights; the time of larger computations is that of their multiply-adds.
_WEIGHTS_PER_THREAD = 4_000_000
_MULTIPLY_ADDS_PER_THREAD = 500_000_000
# Where waiting threads spin for long, they are so slow on a busy machine that only larger computations are divided.
_MULTIPLY_ADDS_WORTH_SPINNING = 10_000_000_000

_SPIN_VARIABLES = ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")
_SECONDS_PER_SAMPLE = 0.5  # the kernel counts in hundredths of a second
_SPARE = 0.25  # share of a CPU that other processes may use before it counts as busy


def usable_cpus() -> int:
    """The number of CPUs that this process may use, by its affinity and by the quota of its control group."""
    quota = cpu_quota()
    cpus = len(_affinity())
    return cpus if quota is None else max(1, min(cpus, int(quota)))


def _affinity() -> set[int]:
    return os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set(range(os.cpu_count() or 1))


def cpu_quota(groups: Path = Path("/proc/self/cgroup"), root: Path = Path("/sys/fs/cgroup")) -> float | None:
    """The number of CPUs that the control groups of this process (versions 1 and 2) allow; None without a limit.

    Args:
        groups: the file that lists the control groups.
        root: where control groups are mounted.
    """
    try:
        lines = groups.read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    quotas = []
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            quotas += [_quota_v2(folder) for folder in _with_parents(root, path)]
        elif "cpu" in controllers.split(","):
            quotas += [_quota_v1(folder) for folder in _with_parents(root / "cpu", path)]
    return min((quota for quota in quotas if quota is not None), default=None)


def _with_parents(mount: Path, path: str) -> list[Path]:
    """The folders of a group and of its parents; a container may see only the mount itself."""
    parts = Path(path.lstrip("/")).parts
    return [mount.joinpath(*parts[:depth]) for depth in range(len(parts) + 1)]


def _quota_v2(folder: Path) -> float | None:
    return _share(_read_fields(folder / "cpu.max"))


def _quota_v1(folder: Path) -> float | None:
    return _share([*_read_fields(folder / "cpu.cfs_quota_us"), *_read_fields(folder / "cpu.cfs_period_us")])


def _read_fields(file: Path) -> list[str]:
    try:
        return file.read_text(encoding="utf-8").split()
    except OSError:
        return []


def _share(fields: list[str]) -> float | None:
    """Time divided by period, for example of ["150000", "100000"]; None for "max", -1 and other unlimited values."""
    if len(fields) != 2 or not all(field.isdigit() for field in fields) or int(fields[1]) == 0:
        return None
    return int(fields[0]) / int(fields[1])


def chosen_by_user(environment: Mapping[str, str]) -> int | None:
    """The number of threads in `OMP_NUM_THREADS`, or None. Of a list the first number counts."""
    first = environment.get("OMP_NUM_THREADS", "").split(",")[0].strip()
    return int(first) if first.isdigit() and int(first) > 0 else None


def spins_briefly(environment: Mapping[str, str]) -> bool:
    """Whether `spin_briefly` or the user has set how long waiting threads spin."""
    return any(name in environment for name in _SPIN_VARIABLES)


def spin_briefly(environment: MutableMapping[str, str]) -> None:
    """Makes waiting threads sleep after a short time, in processes that load OpenMP with this environment later."""
    if not spins_briefly(environment):
        environment["GOMP_SPINCOUNT"] = str(SPIN_COUNT)


def require_count(option: str, count: int | None) -> None:
    """Checks a number of threads or workers against the number of usable CPUs.

    Args:
        option: its name, for the message.
        count: None if the option was not given.

    Raises:
        ResMLPError: the number is not possible; the message names the range.
    """
    cpus = usable_cpus()
    if count is not None and not 1 <= count <= cpus:
        raise ResMLPError(
            f"{option} must be from 1 to {cpus}, the CPUs that this process may use, but is {count}; choose a number "
            "in that range"
        )


def for_step(weights: int, cpus: int) -> int:
    """The number of threads for a decoding step of few rows.

    Args:
        weights: number of weights that the step reads.
        cpus: number of usable CPUs.
    """
    return _divide(weights, _WEIGHTS_PER_THREAD, cpus)


def for_pass(multiply_adds: int, cpus: int, briefly: bool = True) -> int:
    """The number of threads for a pass of many rows: a batch of images, or a training batch.

    Args:
        multiply_adds: of the forward pass.
        cpus: number of usable CPUs.
        briefly: whether waiting threads spin only briefly.
    """
    if not briefly and multiply_adds < _MULTIPLY_ADDS_WORTH_SPINNING:
        return 1
    return _divide(multiply_adds, _MULTIPLY_ADDS_PER_THREAD, cpus)


def _divide(work: int, per_thread: int, cpus: int) -> int:
    return max(1, min(cpus, work // per_thread))


def idle_cpus(cpus: int, taken: float) -> int:
    """The number of idle CPUs, at least one, where other processes use `taken` of them."""
    return max(1, int(cpus - taken + _SPARE))


def default_workers(cpus: int) -> int:
    """How many batches are translated at the same time, with one thread each."""
    return min(cpus, MOST_WORKERS)


def use_for_pass(multiply_adds: int) -> None:
    """Sets torch's number of threads for passes of this size, unless the user has set `OMP_NUM_THREADS`."""
    if chosen_by_user(os.environ) is None:
        _set_threads(for_pass(multiply_adds, usable_cpus(), spins_briefly(os.environ)))


def _set_threads(count: int) -> None:
    import torch

    if torch.get_num_threads() != count:
        torch.set_num_threads(count)


class LoadOfOthers:
    """Measures how many of the usable CPUs other processes use; on Linux only."""

    def __init__(self) -> None:
        self._before = _clocks()

    def sample(self) -> float | None:
        """CPUs used by other processes since the last sample; None where that is not known (yet)."""
        now, before = _clocks(), self._before
        if now is None or before is None or now[0] - before[0] < _SECONDS_PER_SAMPLE:
            return None
        self._before = now
        seconds, busy, own = (after - earlier for after, earlier in zip(now, before, strict=True))
        return max(0.0, (busy - own) / seconds)


def _clocks() -> tuple[float, float, float] | None:
    """Seconds of wall-clock time, of busy time of the usable CPUs, and of CPU time of this process."""
    usable = {f"cpu{number}" for number in _affinity()}
    try:
        rows = [line.split() for line in Path("/proc/stat").read_text(encoding="utf-8").splitlines()]
    except OSError:
        return None
    # user nice system idle iowait irq softirq steal; time that another virtual machine takes (steal) counts as busy
    busy = sum(sum(map(int, row[1:4])) + sum(map(int, row[6:9])) for row in rows if row[0] in usable)
    return time.monotonic(), busy / os.sysconf("SC_CLK_TCK"), time.process_time()


class ThreadsByLoad:
    """Limits torch's threads to the number of idle CPUs, which is measured from time to time.

    Only for computations whose last digits need not be reproducible: they may depend on the number of threads.

    Args:
        most: the number of threads on an idle machine; one thread is used until the load is known.
        load: measures the load of other processes.
        set_threads: sets torch's number of threads.
    """

    def __init__(self, most: int, load: LoadOfOthers, set_threads: Callable[[int], None] = _set_threads) -> None:
        self._most, self._load, self._set_threads = most, load, set_threads
        self._set_threads(1)

    def adjust(self) -> None:
        """Adjusts the number of threads; to be called before each computation."""
        if self._most > 1 and (taken := self._load.sample()) is not None:
            self._set_threads(min(self._most, idle_cpus(usable_cpus(), taken)))
