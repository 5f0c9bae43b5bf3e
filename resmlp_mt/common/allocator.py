"""Settings of the C library's memory allocator: it keeps what PyTorch frees on the CPU."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_MAX, _M_ARENA_MAX = -1, -2, -4, -8  # mallopt(3)
_SETTINGS = {_M_MMAP_MAX: 0, _M_TRIM_THRESHOLD: 2**31 - 1, _M_TOP_PAD: 64 * 2**20}
_TUNABLES = (
    "mmap_max",
    "mmap_threshold",
    "trim_threshold",
    "top_pad",
    "arena_max",
)  # in GLIBC_TUNABLES: the same settings

# glibc caches small freed chunks per thread, and each of PyTorch's aligned buffers leaves such a chunk. Freed buffers
# between cached chunks cannot be merged into larger ones. This must be set before a process starts.
NO_THREAD_CACHE = {"GLIBC_TUNABLES": "glibc.malloc.tcache_count=0"}

_GROWTH = 1.1  # growth of the process after which memory is returned
_SETTLED = 10  # updates after which all buffers of an update are allocated

_is_keeping = False


def keep_freed_memory(shared: bool = False) -> bool:
    """Makes this process reuse large freed buffers instead of returning them to the operating system.

    By default glibc maps every large buffer and unmaps it when it is freed; the system then clears each page again at
    first touch. Training on a CPU allocates its largest buffers (the logits over the vocabulary) in every update, and
    spends up to a fifth of its time on that. What the user has set with `MALLOC_*` or `GLIBC_TUNABLES` is respected.

    Args:
        shared: let all threads allocate from one arena, for several threads that compute at the same time: otherwise
            each thread keeps the memory that it frees. They rarely wait for one another, so this costs no time.

    Returns:
        Whether the settings were applied; other C libraries do not have them.
    """
    global _is_keeping
    tunables = os.environ.get("GLIBC_TUNABLES", "")
    if any(name.startswith("MALLOC_") for name in os.environ) or any(name in tunables for name in _TUNABLES):
        return False
    settings = {**_SETTINGS, **({_M_ARENA_MAX: 1} if shared else {})}
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if os.name == "posix" else None
    _is_keeping = mallopt is not None and all(mallopt(option, value) == 1 for option, value in settings.items())
    return _is_keeping


class UnusedMemory:
    """Returns freed memory to the operating system from time to time, where `keep_freed_memory` keeps it.

    Batches of varying sizes leave gaps between longer-lived buffers that no later buffer fits into. With
    `NO_THREAD_CACHE` there are few; without it a training of a small model would grow to twice its size.
    """

    def __init__(self) -> None:
        self._updates = self._size = 0

    def give_back(self) -> bool:
        """Returns unused memory if the process has grown by a tenth since shortly after the last time.

        To be called once per update. Returning memory takes a fraction of a second and is rarely necessary.

        Returns:
            Whether memory was returned.
        """
        if not _is_keeping:
            return False
        self._updates += 1
        if self._updates <= _SETTLED:  # the first updates allocate what every update needs, which is not growth
            self._size = _resident_bytes()
            return False
        if _resident_bytes() < _GROWTH * self._size:
            return False
        ctypes.CDLL(None).malloc_trim(0)
        self._updates = 0
        return True


def _resident_bytes() -> int:
    """The resident memory of this process. Called on Linux only: only glibc keeps freed memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
