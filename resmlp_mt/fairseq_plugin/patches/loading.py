"""Patches of fairseq's prefetching of batches, in a thread and in worker processes."""

from __future__ import annotations

import atexit
import contextlib
import queue
import threading
import time
import weakref
from collections.abc import Callable
from typing import Any

from fairseq.data.iterators import (
    BackgroundConsumer,
    BufferedIterator,
    EpochBatchIterator,
    StreamingEpochBatchIterator,
)

from resmlp_mt.fairseq_plugin.patches.patching import wrap_function

_EXIT_TIMEOUT_SECONDS = 10.0  # the process exits after this time even if a loader is stuck
_POLL_SECONDS = 1.0  # interval at which a thread with a full buffer checks whether its reader still exists


def end_workers_with_their_epoch() -> None:
    """Ends the worker processes of a loader as soon as the last batch of the epoch is loaded.

    Defect: with --num-workers 1 or more, each epoch and each validation sleeps for about 5 seconds, and the workers of
        earlier epochs stay alive, one more for each epoch. `EpochBatchIterator` (`fairseq.data.iterators`) creates its
        `DataLoader` with `persistent_workers`. Loader and iterator refer to each other, so only a garbage collection
        ends the workers. It closes the queues to the workers before it runs the code that tells them to exit, and torch
        then waits for its `MP_STATUS_CHECK_INTERVAL`, in whichever thread the collection runs.
    Patch: turns `persistent_workers` off. torch then ends the workers when the prefetching thread has ended, so the
        buffer size is raised to at least 1, with which there is always such a thread.
    Upstream: no issue; found in the source of 0.12.3.1.
    """

    def make_iterator(original: Callable[..., None], self: Any, *args: Any, **kwargs: Any) -> None:
        original(self, *args, **kwargs)
        if self.num_workers > 0:
            self.persistent_workers = False
            self.buffer_size = max(1, self.buffer_size)

    for iterator_class in (EpochBatchIterator, StreamingEpochBatchIterator):
        wrap_function(iterator_class, "__init__", make_iterator)


class _Buffer(queue.Queue):
    """A queue of prefetched batches.

    Attributes:
        abandoned: True once the reader is gone; a thread that adds a batch then ends instead.
    """

    abandoned = False

    def put(self, item: Any, block: bool = True, timeout: float | None = None) -> None:  # noqa: ARG002 - Queue's
        """Adds a batch as soon as the queue has a free slot."""
        while not self.abandoned:
            with contextlib.suppress(queue.Full):
                return super().put(item, block, _POLL_SECONDS)
        raise SystemExit  # ends a thread without a message


def end_unread_loaders() -> None:
    """Ends the prefetching thread and its workers when their iterator is dropped before its last batch.

    Defect: with --max-valid-steps each validation leaves a thread and its workers behind until the process exits. The
        thread of `BufferedIterator` (`fairseq.data.iterators`) waits for a free slot in its queue, which is no longer
        read.
    Patch: replaces the queue by one whose `put` ends the thread once the iterator has been garbage-collected.
    Upstream: no issue; found in the source of 0.12.3.1.
    """

    def make_iterator(original: Callable[..., None], self: BufferedIterator, size: int, iterable: Any) -> None:
        original(self, size, iterable)
        self._queue = _Buffer(size)
        weakref.finalize(self, _abandon, self._queue).atexit = False  # `_end_loaders` handles the exit

    wrap_function(BufferedIterator, "__init__", make_iterator)


def _abandon(buffer: _Buffer) -> None:
    buffer.abandoned = True  # takes no lock, since a garbage collection may call this in any thread


def end_loaders_before_exit() -> None:
    """Ends the prefetching threads before Python exits.

    Defect: a finished command, mostly a training that ends within an epoch, occasionally aborts with `terminate called
        without an active exception` (SIGABRT). `BufferedIterator` (`fairseq.data.iterators`) does not join its thread.
        At exit Python ends a thread when it returns from PyTorch and takes the GIL, where PyTorch's code must not be
        unwound.
    Patch: at exit, stops and joins these threads, at most for `_EXIT_TIMEOUT_SECONDS`.
    Upstream: pytorch/pytorch#38228; no issue of fairseq.
    """
    atexit.unregister(_end_loaders)
    atexit.register(_end_loaders)


def _end_loaders() -> None:
    deadline = time.monotonic() + _EXIT_TIMEOUT_SECONDS
    for thread in threading.enumerate():
        if isinstance(thread, BackgroundConsumer):
            thread._max_len = 0  # the thread ends after its current batch
            while thread.is_alive() and time.monotonic() < deadline:
                with contextlib.suppress(queue.Empty):
                    thread._queue.get_nowait()  # the thread may wait for a free slot
                thread.join(0.01)
