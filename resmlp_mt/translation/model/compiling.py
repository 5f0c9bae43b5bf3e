"""Compiled layers for training, on request."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from typing import Any

import torch

from resmlp_mt.common.errors import ResMLPError

_COMPILERS = ("g++", "clang++", "cl")


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compiles a function with `torch.compile`, once for all batch sizes and lengths.

    Raises:
        ResMLPError: if there is no C++ compiler, which torch.compile requires on CPU and on GPU.
    """
    names = (os.environ.get("CXX", ""), *_COMPILERS)
    if not any(shutil.which(name) for name in names if name):
        raise ResMLPError(
            f"--compile-layers requires a C++ compiler, but there is none of {', '.join(_COMPILERS)}; install one, set "
            "CXX to yours, or leave the option out"
        )
    return torch.compile(function, dynamic=True)
