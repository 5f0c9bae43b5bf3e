"""Finds and loads the C++ library that was compiled for this processor."""

from __future__ import annotations

import ctypes
import functools
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

from resmlp_mt.common.errors import ResMLPError

INSTRUCTIONS = ("avx512", "avx2", "portable")  # the fastest first
_OK, _OUT_OF_MEMORY, _NOT_A_NUMBER = 0, 2, 3


def _file(instructions: str) -> Path | None:
    folder = Path(__file__).parent
    return next((p for s in EXTENSION_SUFFIXES if (p := folder / f"_{instructions}{s}").is_file()), None)


@functools.cache
def available() -> tuple[str, ...]:
    """The instruction sets that a library was compiled for and that this processor has, the fastest first."""
    path = _file("portable")
    if path is None:
        return ()
    library = ctypes.CDLL(str(path))
    library.resmlp_instructions.restype = ctypes.c_char_p
    best = INSTRUCTIONS.index(library.resmlp_instructions().decode())
    return tuple(name for name in INSTRUCTIONS[best:] if _file(name))


def load(instructions: str | None = None) -> ctypes.CDLL:
    """Loads a library.

    Args:
        instructions: one of `available`; the fastest by default.

    Raises:
        ResMLPError: if there is none.
    """
    usable = available()
    if not usable or (instructions or usable[0]) not in usable:
        raise ResMLPError(
            f"the int8 engine is not available ({describe()}); install a C++ compiler and install this package again, "
            "or use --dtype float32"
        )
    return _open(instructions or usable[0])


@functools.cache
def _open(instructions: str) -> ctypes.CDLL:
    library = ctypes.CDLL(str(_file(instructions)))
    library.resmlp_error.restype = ctypes.c_char_p
    library.resmlp_model_new.restype = ctypes.c_void_p
    library.resmlp_model_free.restype = None
    library.resmlp_state_free.restype = None
    return library


def describe() -> str:
    """What is available, for `resmlp-mt doctor` and errors."""
    usable = available()
    if not usable:
        return "it was not compiled"
    return f"{usable[0]}; compiled for {', '.join(usable)}"


def check(library: ctypes.CDLL, status: int) -> None:
    """Raises the exception of a status that a function of the library returned.

    Raises:
        MemoryError: if memory ran out.
        ResMLPError: for any other error.
    """
    if status == _OK:
        return
    if status == _OUT_OF_MEMORY:
        raise MemoryError
    if status == _NOT_A_NUMBER:
        raise ResMLPError("the model returns NaN, so its training has diverged; use an earlier checkpoint")
    raise ResMLPError(f"the int8 engine failed: {library.resmlp_error().decode()}")
