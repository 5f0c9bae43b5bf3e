"""Parallel batches: worker threads in this process, one CPU each.

The matmuls of a small model are too small to be split across CPUs, but batches are independent. torch releases the GIL
while it computes, so threads are as fast as processes here, and share one copy of the weights.
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
    """Raised in a worker whose results are no longer needed."""


def run_batches(
    function: Callable[[Batch, threading.Event], Result], batches: Sequence[Batch], workers: int
) -> list[Result]:
    """Applies a function to every batch, several at a time.

    With one worker or one batch, the function runs in the calling thread with its torch threads. Otherwise each worker
    computes with one torch thread. After an error or an interrupt the workers are stopped before this function returns.

    Args:
        function: takes a batch and an event; it must raise `StoppedError` soon after the event is set.
        batches: the batches.
        workers: maximum number of batches at a time.

    Returns:
        The results in the order of the batches.

    Raises:
        Exception: the exception of the first batch, in order, that failed; the same as with one worker.
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
        torch.set_num_threads(threads)  # the setting is partly global, so the workers changed it
