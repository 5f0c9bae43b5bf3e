"""How many threads suit a piece of work, and what threads do while they wait for one another.

OpenMP divides every product among its threads and waits at its end for the last of them. Two things make that slow: a
product too small to be worth the wait, and a thread whose CPU another process uses, since all others wait until the
system lets it go on. Hence: one thread for small work, no more threads than CPUs are idle where that can change at any
time, and waiting threads that sleep soon instead of spinning for milliseconds.

What the user has set (`OMP_NUM_THREADS`, `OMP_WAIT_POLICY`, `GOMP_SPINCOUNT`) is respected. This module imports torch
only where it sets threads, so that it can be used before torch loads OpenMP. It is measured by
`scripts/benchmarks/threads.py`.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, MutableMapping
from pathlib import Path

from resmlp_mt.common.errors import require

# Rounds that a waiting thread spins before it sleeps, about 0.2 ms. libgomp's default, 300,000, is about 6 ms, in which
# it keeps its CPU from the thread that it waits for; much fewer, and it sleeps between any two products of a model.
SPIN_COUNT = 10_000
MOST_WORKERS = 8  # batches in a window of lines

# What a second thread has to do to be worth its waits, measured on 2 cores of an AMD EPYC (Zen 3).
# A decoding step of few rows takes as long as it takes to read the weights; anything larger as its multiply-adds take.
_WEIGHTS_PER_THREAD = 4_000_000
_MULTIPLY_ADDS_PER_THREAD = 500_000_000
# Where waiting threads spin for long, a busy machine makes them so slow that only work beyond this is divided.
_MULTIPLY_ADDS_WORTH_SPINNING = 10_000_000_000

_SPIN_VARIABLES = ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")
_SECONDS_PER_SAMPLE = 0.5  # the kernel counts in hundredths of a second
_SPARE = 0.25  # of a CPU that others may take before it counts as busy


def usable_cpus() -> int:
    """The number of CPUs that this process may use, by its affinity and by the quota of its control group."""
    quota = cpu_quota()
    cpus = len(_affinity())
    return cpus if quota is None else max(1, min(cpus, int(quota)))


def _affinity() -> set[int]:
    return os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set(range(os.cpu_count() or 1))


def cpu_quota(groups: Path = Path("/proc/self/cgroup"), root: Path = Path("/sys/fs/cgroup")) -> float | None:
    """The CPUs that the control groups of this process (versions 1 and 2) grant it, or None without a limit.

    Args:
        groups: says which they are.
        root: where they are mounted.
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
    """The folder of a group and of all that it is in; a container may see only the mount itself."""
    parts = Path(path.lstrip("/")).parts
    return [mount.joinpath(*parts[:depth]) for depth in range(len(parts) + 1)]


def _quota_v2(folder: Path) -> float | None:
    return _share(_read_words(folder / "cpu.max"))


def _quota_v1(folder: Path) -> float | None:
    return _share([*_read_words(folder / "cpu.cfs_quota_us"), *_read_words(folder / "cpu.cfs_period_us")])


def _read_words(file: Path) -> list[str]:
    try:
        return file.read_text(encoding="utf-8").split()
    except OSError:
        return []


def _share(words: list[str]) -> float | None:
    """Time over period, of ["150000", "100000"]; None for "max", -1 or anything else that is no limit."""
    if len(words) != 2 or not all(word.isdigit() for word in words) or int(words[1]) == 0:
        return None
    return int(words[0]) / int(words[1])


def chosen_by_user(environment: Mapping[str, str]) -> int | None:
    """The threads that `OMP_NUM_THREADS` asks for, or None. It may be a list, whose first number counts here."""
    first = environment.get("OMP_NUM_THREADS", "").split(",")[0].strip()
    return int(first) if first.isdigit() and int(first) > 0 else None


def spins_briefly(environment: Mapping[str, str]) -> bool:
    """Whether it is settled how long waiting threads spin, by `spin_briefly` or by the user."""
    return any(name in environment for name in _SPIN_VARIABLES)


def spin_briefly(environment: MutableMapping[str, str]) -> None:
    """Has waiting threads sleep after a short while, in processes that load OpenMP with this environment later on."""
    if not spins_briefly(environment):
        environment["GOMP_SPINCOUNT"] = str(SPIN_COUNT)


def require_count(option: str, count: int | None) -> None:
    """Refuses a number of threads or workers that the usable CPUs cannot run at the same time; None is none given.

    Raises:
        ResMLPError: names the numbers that are possible.
    """
    cpus = usable_cpus()
    rule = f"from 1 to {cpus}, the CPUs that this process may use"
    require(count is None or 1 <= count <= cpus, option, rule, count, "choose a number in that range")


def for_step(weights: int, cpus: int) -> int:
    """Threads for a decoding step of few rows.

    Args:
        weights: that the step reads.
        cpus: usable ones.
    """
    return _divide(weights, _WEIGHTS_PER_THREAD, cpus)


def for_pass(multiply_adds: int, cpus: int, briefly: bool = True) -> int:
    """Threads for a pass of many rows: a batch of images, or of a training.

    Args:
        multiply_adds: of the pass forward.
        cpus: usable ones.
        briefly: whether waiting threads spin only briefly.
    """
    if not briefly and multiply_adds < _MULTIPLY_ADDS_WORTH_SPINNING:
        return 1
    return _divide(multiply_adds, _MULTIPLY_ADDS_PER_THREAD, cpus)


def _divide(work: int, per_thread: int, cpus: int) -> int:
    return max(1, min(cpus, work // per_thread))


def idle_cpus(cpus: int, taken: float) -> int:
    """The CPUs that are left, at least one, where others take `taken` of them."""
    return max(1, int(cpus - taken + _SPARE))


def default_workers(cpus: int) -> int:
    """How many batches are translated at the same time, with a thread each."""
    return min(cpus, MOST_WORKERS)


def use_for_pass(multiply_adds: int) -> None:
    """Sets torch's threads for passes of a size, unless the user has set `OMP_NUM_THREADS`."""
    if chosen_by_user(os.environ) is None:
        _set_threads(for_pass(multiply_adds, usable_cpus(), spins_briefly(os.environ)))


def _set_threads(count: int) -> None:
    import torch

    if torch.get_num_threads() != count:
        torch.set_num_threads(count)


class LoadOfOthers:
    """Measures how many of the usable CPUs other processes take, where the system says so (Linux)."""

    def __init__(self) -> None:
        self._before = _clocks()

    def sample(self) -> float | None:
        """CPUs taken by others since the last sample, or None where it is not known yet or not at all."""
        now, before = _clocks(), self._before
        if now is None or before is None or now[0] - before[0] < _SECONDS_PER_SAMPLE:
            return None
        self._before = now
        seconds, busy, own = (after - earlier for after, earlier in zip(now, before, strict=True))
        return max(0.0, (busy - own) / seconds)


def _clocks() -> tuple[float, float, float] | None:
    """Seconds that have passed, that the usable CPUs were busy, and that this process has computed."""
    usable = {f"cpu{number}" for number in _affinity()}
    try:
        rows = [line.split() for line in Path("/proc/stat").read_text(encoding="utf-8").splitlines()]
    except OSError:
        return None
    # user nice system idle iowait irq softirq steal; what another machine on the same CPU takes (steal) counts, too
    busy = sum(sum(map(int, row[1:4])) + sum(map(int, row[6:9])) for row in rows if row[0] in usable)
    return time.monotonic(), busy / os.sysconf("SC_CLK_TCK"), time.process_time()


class ThreadsByLoad:
    """Keeps the threads of torch to the idle CPUs, measured again now and then.

    Only for work whose last digits need not be reproduced: they may depend on the number of threads.

    Args:
        most: threads that suit the work on an idle machine; until it is known to be idle, there is one.
        load: measured since it was made.
        set_threads: of torch.
    """

    def __init__(self, most: int, load: LoadOfOthers, set_threads: Callable[[int], None] = _set_threads) -> None:
        self._most, self._load, self._set_threads = most, load, set_threads
        self._set_threads(1)

    def adjust(self) -> None:
        """To be called before each piece of work."""
        if self._most > 1 and (taken := self._load.sample()) is not None:
            self._set_threads(min(self._most, idle_cpus(usable_cpus(), taken)))
