"""Writes tensors to files atomically; reports a full disk, which the libraries hide behind errors of their own."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

from resmlp_mt.common import files


def write_safetensors(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Writes a safetensors file.

    Raises:
        ResMLPError: the file cannot be written.
    """
    with files.whole_file(path) as partial:
        try:
            save_file(dict(tensors), partial, metadata={"format": "pt"})
        except SafetensorError as error:
            number = re.search(r"os error (\d+)", str(error))
            if number is None:
                raise
            raise OSError(int(number[1]), os.strerror(int(number[1]))) from error


def write_checkpoint(path: Path, content: Mapping[str, Any]) -> None:
    """Writes a checkpoint with torch.

    Raises:
        ResMLPError: the file cannot be written.
    """
    with files.whole_file(path) as partial:
        try:
            with partial.open("wb") as file:
                torch.save(content, file)
        except RuntimeError as error:
            raise cause(error) or error from error


def cause(error: BaseException | None) -> OSError | None:
    """The error of the operating system that an error of torch hides; None where there is none."""
    while error is not None and not isinstance(error, OSError):
        error = error.__context__
    return error
