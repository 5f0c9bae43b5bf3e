"""How the C library keeps memory that PyTorch frees on the CPU."""

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

# glibc keeps small freed pieces for the thread that freed them, and PyTorch's aligned buffers leave such a piece each.
# Buffers between them that were freed cannot join into larger ones. This must be set before a process starts.
NO_THREAD_CACHE = {"GLIBC_TUNABLES": "glibc.malloc.tcache_count=0"}

_GROWTH = 1.1  # of the process, before it looks for what it could give back
_SETTLED = 10  # updates after which it has what an update needs, and few gaps

_keeps = False


def keep_freed_memory(shared: bool = False) -> bool:
    """Lets this process keep large freed buffers for its next ones, instead of giving them back to the system.

    glibc maps every large buffer anew and unmaps it when it is freed; the system then clears each page again at first
    touch. Training on a CPU allocates its largest buffers (the logits over the vocabulary) in every update, and spends
    up to a fifth of its time in that. Leaves alone what the user has set with `MALLOC_*` or `GLIBC_TUNABLES`.

    Args:
        shared: whether threads take their memory from the same place, where several compute at the same time: each
            would keep what it frees for itself. They wait for one another so seldom that it costs no time.

    Returns:
        Whether it was done; other C libraries have no such setting.
    """
    global _keeps
    tunables = os.environ.get("GLIBC_TUNABLES", "")
    if any(name.startswith("MALLOC_") for name in os.environ) or any(name in tunables for name in _TUNABLES):
        return False
    settings = {**_SETTINGS, **({_M_ARENA_MAX: 1} if shared else {})}
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if os.name == "posix" else None
    _keeps = mallopt is not None and all(mallopt(option, value) == 1 for option, value in settings.items())
    return _keeps


class UnusedMemory:
    """Gives freed memory back now and then, where `keep_freed_memory` has it kept.

    Batches of ever other sizes leave gaps between what lives longer that no later buffer fits in. With
    `NO_THREAD_CACHE` there are few; without it a training of a small model would grow to twice its size.
    """

    def __init__(self) -> None:
        self._updates = self._size = 0

    def give_back(self) -> bool:
        """Gives it back if the process has grown by a tenth since soon after the last time. For each update.

        Returns:
            Whether it did. It takes a fraction of a second; nearly always there is nothing to do.
        """
        if not _keeps:
            return False
        self._updates += 1
        if self._updates <= _SETTLED:  # the first updates need all that an update needs, which is no growth
            self._size = _resident_bytes()
            return False
        if _resident_bytes() < _GROWTH * self._size:
            return False
        ctypes.CDLL(None).malloc_trim(0)
        self._updates = 0
        return True


def _resident_bytes() -> int:
    """What this process has in memory. Only Linux is asked: only glibc keeps."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
