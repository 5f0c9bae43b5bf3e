"""Runs tasks in several processes: ordered results, a bounded number of tasks in flight, a clean end on interrupt."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from itertools import chain, islice
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection
from typing import Any, TypeVar

from resmlp_mt.common.errors import ResMLPError

Task = TypeVar("Task")
Result = TypeVar("Result")

TASKS_IN_FLIGHT_PER_WORKER = 3


def available_cores() -> int:
    """The number of CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def _children_without_interrupts() -> Iterator[None]:
    """Protects processes started in the block from interrupts, even while they start; delays this process's own.

    An interrupt from the keyboard reaches every process of the group, but only the main process handles it; a child
    interrupted while it starts would print a traceback.
    """
    resource_tracker.ensure_running()  # otherwise it starts with the first child and unblocks interrupts again
    received: list[int] = []
    handles_signals = threading.current_thread() is threading.main_thread()
    if handles_signals:  # with the mask alone, another thread of the process could receive the interrupt
        before = signal.signal(signal.SIGINT, lambda number, _frame: received.append(number))
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
        if handles_signals:
            signal.signal(signal.SIGINT, before)
        for number in received[:1]:
            signal.raise_signal(number)


def ordered_map(
    function: Callable[[Task], Result],
    tasks: Iterable[Task],
    workers: int,
    initialise: Callable[..., None],
    arguments: tuple[Any, ...],
) -> Iterator[Result]:
    """Applies a function to every task and yields the results in the order of the tasks.

    Memory is bounded: tasks are taken from their iterator only as results are consumed. With one worker, or a single
    task, everything runs in this process.

    Args:
        function: a module-level function of one task.
        tasks: the tasks; they and the results must be picklable.
        workers: the number of processes.
        initialise: a module-level function that prepares a worker (loads models), called once per worker.
        arguments: the arguments of `initialise`.

    Yields:
        One result per task.
    """
    remaining = iter(tasks)
    first = list(islice(remaining, 2))
    if workers <= 1 or len(first) < 2:
        initialise(*arguments)
        yield from map(function, chain(first, remaining))
        return
    pool = ProcessPoolExecutor(
        workers,
        mp_context=multiprocessing.get_context("spawn"),
        initializer=initialise,
        initargs=arguments,
    )
    try:
        in_flight: deque[Future[Result]] = deque()
        for task in chain(first, remaining):
            with _children_without_interrupts():
                in_flight.append(pool.submit(function, task))
            if len(in_flight) >= TASKS_IN_FLIGHT_PER_WORKER * workers:
                yield in_flight.popleft().result()
        while in_flight:
            yield in_flight.popleft().result()
    except BrokenProcessPool as error:
        raise ResMLPError(
            f"a worker of {function.__module__} was killed, probably because memory ran out; run the same command "
            "again with fewer --workers"
        ) from error
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def run_in_child(function: Callable[..., Result], *arguments: Any) -> Result:
    """Runs a function in a child process, which an interrupt of this process ends at once.

    Args:
        function: a module-level function.
        arguments: its picklable arguments.

    Returns:
        What the function returned.

    Raises:
        Exception: whatever the function raised.
        ResMLPError: the process was killed, usually because memory ran out.
    """
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_report_outcome, args=(sender, function, arguments), daemon=True)
    try:
        with _children_without_interrupts():
            process.start()
        sender.close()
        outcome: tuple[Result, Exception | None] = receiver.recv()
    except EOFError as lost:
        raise ResMLPError(
            f"the process of {function.__module__} was killed, probably because memory ran out; use less text, or a "
            "machine with more memory"
        ) from lost
    finally:
        if process.pid is not None:
            process.terminate()
            process.join()
    result, error = outcome
    if error is not None:
        raise error
    return result


def _report_outcome(sender: Connection, function: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    try:
        sender.send((function(*arguments), None))
    except Exception as error:
        sender.send((None, error))
