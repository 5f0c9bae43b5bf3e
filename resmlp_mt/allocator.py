"""How the C library keeps memory that PyTorch frees on the CPU."""

from __future__ import annotations

import ctypes
import os

_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_MAX = -1, -2, -4  # mallopt(3)
_SETTINGS = {_M_MMAP_MAX: 0, _M_TRIM_THRESHOLD: 2**31 - 1, _M_TOP_PAD: 64 * 2**20}


def keep_freed_memory() -> bool:
    """Lets this process keep large freed buffers for its next ones, instead of giving them back to the system.

    glibc maps every large buffer anew and unmaps it when it is freed; the system then clears each page again at first
    touch. Training on a CPU allocates its largest buffers (the logits over the vocabulary) in every update, and spends
    up to a fifth of its time in that. Leaves alone what the user has set with `MALLOC_*` or `GLIBC_TUNABLES`.

    Returns:
        Whether it was done; other C libraries have no such setting.
    """
    if any(name.startswith("MALLOC_") or name == "GLIBC_TUNABLES" for name in os.environ):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if os.name == "posix" else None
    return mallopt is not None and all(mallopt(option, value) == 1 for option, value in _SETTINGS.items())
