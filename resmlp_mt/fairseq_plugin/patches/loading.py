"""Patches of how fairseq loads batches ahead, in a thread and in worker processes."""

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

_SECONDS_TO_END = 10.0  # for a loader that is stuck, after which the process ends all the same
_LOOK_SECONDS = 1.0  # how often a thread whose buffer is full looks whether its reader is still there


def end_workers_with_their_epoch() -> None:
    """Ends the worker processes of a loader as soon as the last batch of the epoch is loaded.

    Symptom: with --num-workers 1 or more, each epoch and each validation sleeps for about 5 seconds; workers of earlier
    epochs stay alive, one more for each epoch.
    Cause: fairseq tells torch to keep the workers for the next epoch. The loader that holds them holds its
    `EpochBatchIterator`, too, which holds the loader, so that only a garbage collection ends them. It closes the
    queues to the workers before it calls the code that tells the workers to end, and torch then waits for its
    `MP_STATUS_CHECK_INTERVAL`, in whatever thread the collection happens to run.
    Without the flag torch ends the workers when the thread that loads ahead has ended; hence there always is one.
    No upstream issue; read in `EpochBatchIterator` of 0.12.3.1.
    """

    def make_iterator(original: Callable[..., None], self: Any, *args: Any, **kwargs: Any) -> None:
        original(self, *args, **kwargs)
        if self.num_workers > 0:
            self.persistent_workers = False
            self.buffer_size = max(1, self.buffer_size)

    for kind in (EpochBatchIterator, StreamingEpochBatchIterator):
        wrap_function(kind, "__init__", make_iterator)


class _Buffer(queue.Queue):
    """Batches that were loaded ahead.

    Attributes:
        abandoned: nobody will read any more: the thread that wants to add a batch ends instead.
    """

    abandoned = False

    def put(self, item: Any, block: bool = True, timeout: float | None = None) -> None:
        """Adds a batch once there is room."""
        while not self.abandoned:
            with contextlib.suppress(queue.Full):
                return super().put(item, block, _LOOK_SECONDS)
        raise SystemExit  # ends a thread without a message


def end_unread_loaders() -> None:
    """Ends the thread that loads ahead, and its workers, when the iterator is dropped before its last batch.

    Symptom: with --max-valid-steps each validation leaves a thread and its workers behind until the process ends.
    Cause: the thread waits for room in its buffer, which nobody empties. No upstream issue; read in `BufferedIterator`
    of 0.12.3.1.
    """

    def make_iterator(original: Callable[..., None], self: BufferedIterator, size: int, iterable: Any) -> None:
        original(self, size, iterable)
        self._queue = _Buffer(size)
        weakref.finalize(self, _abandon, self._queue).atexit = False  # at the end see `_end_loaders`

    wrap_function(BufferedIterator, "__init__", make_iterator)


def _abandon(buffer: _Buffer) -> None:
    buffer.abandoned = True  # takes no lock: a garbage collection may call this in any thread


def end_loaders_before_exit() -> None:
    """Ends the threads that load batches ahead before Python ends.

    Symptom: now and then a finished command (a training that ends within an epoch, above all) ends with `terminate
    called without an active exception` (SIGABRT).
    Cause: `BufferedIterator` leaves its thread to the end of the process. Python takes a thread down where it comes
    back from PyTorch without the interpreter's lock, and PyTorch's code there may not be unwound.
    Source: pytorch/pytorch#38228.
    """
    atexit.unregister(_end_loaders)
    atexit.register(_end_loaders)


def _end_loaders() -> None:
    deadline = time.monotonic() + _SECONDS_TO_END
    for thread in threading.enumerate():
        if isinstance(thread, BackgroundConsumer):
            thread._max_len = 0  # it ends after the batch that it is at
            while thread.is_alive() and time.monotonic() < deadline:
                with contextlib.suppress(queue.Empty):
                    thread._queue.get_nowait()  # it may wait for room
                thread.join(0.01)
