"""Batches that are computed at the same time, by threads of this process that have one CPU each.

Products of a small model are not worth dividing among CPUs, but batches need not wait for one another. torch lets go of
Python's lock while it computes, so that threads do here what processes would, with one copy of the weights.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch

Batch = TypeVar("Batch")
Result = TypeVar("Result")


class StoppedError(Exception):
    """Ends a worker whose results are not needed any more."""


def run_batches(
    function: Callable[[Batch, threading.Event], Result], batches: Sequence[Batch], workers: int
) -> list[Result]:
    """Applies a function to every batch.

    With one worker or a single batch everything happens in the calling thread, with its number of torch's threads;
    otherwise each worker has one. After an error or an interrupt the workers are asked to stop, and have stopped when
    this function ends.

    Args:
        function: of a batch, and of an event which, when set, asks it to raise `StoppedError`.
        batches: what it is applied to.
        workers: the most batches at the same time.

    Returns:
        The results in the order of the batches.

    Raises:
        Exception: that of the first batch in this order that has one, as with one worker.
    """
    stop = threading.Event()
    if workers <= 1 or len(batches) <= 1:
        return [function(batch, stop) for batch in batches]
    threads = torch.get_num_threads()
    pool = ThreadPoolExecutor(min(workers, len(batches)), initializer=torch.set_num_threads, initargs=(1,))
    try:
        return list(pool.map(function, batches, [stop] * len(batches)))
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
        stop.set()
        pool.shutdown()  # waits
        torch.set_num_threads(threads)  # what a worker sets is in part that of all threads
