"""Compiled layers for training, on request."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from typing import Any

import torch

from resmlp_mt.common.errors import require

_COMPILERS = ("g++", "clang++", "cl")


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compiles a function with `torch.compile`, once for batches of all lengths and sizes.

    Raises:
        ResMLPError: when there is no C++ compiler, which torch.compile needs on CPU and on GPU.
    """
    names = (os.environ.get("CXX", ""), *_COMPILERS)
    found = any(shutil.which(name) for name in names if name)
    said = "install one of these, set CXX, or leave the option out"
    require(found, "--compile-layers", "used where a C++ compiler is", f"used without {', '.join(_COMPILERS)}", said)
    return torch.compile(function, dynamic=True)
