"""Reads fairseq checkpoints without running code in them, so that untrusted checkpoints are safe to read.

`torch.load` with `weights_only` refuses every class that is not on its list. This module adds the few that fairseq
writes besides tensors, and evaluates settings written as Python expressions without Python's `eval`.
"""

from __future__ import annotations

import argparse
import ast
import pickle
import re
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import torch

from resmlp_mt.common.errors import ResMLPError
from resmlp_mt.common.files import unreadable

_NUMBERS = "?biufc"  # NumPy's kinds of dtypes without pointers


class _StoredDtype:
    """Replaces `numpy.dtype` while a checkpoint is read: a dtype of plain numbers, never of objects.

    NumPy trusts the state of a pickled dtype, so that a forged one can pass raw bytes off as pointers to Python
    objects. Therefore only the byte order of that state reaches NumPy.
    """

    def __init__(self, code: str, _align: bool = False, _copy: bool = True) -> None:
        self.numbers = np.dtype(code)
        if self.numbers.kind not in _NUMBERS:
            raise pickle.UnpicklingError(f"GLOBAL numpy.dtype({code!r}) is not a numeric type")

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.numbers = self.numbers.newbyteorder(state[1])


class _StoredArray(np.ndarray):
    """Replaces `numpy.ndarray` while a checkpoint is read: plain numbers, decoded from bytes."""

    def __new__(cls) -> _StoredArray:
        return super().__new__(cls, 0, np.int8)

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        version, shape, dtype, is_fortran, data = state
        if not isinstance(dtype, _StoredDtype) or not isinstance(data, bytes):
            raise pickle.UnpicklingError("GLOBAL numpy.ndarray of something other than numbers")
        super().__setstate__((version, shape, dtype.numbers, is_fortran, data))

    def __reduce__(self) -> Any:
        return np.array(self).__reduce__()  # so that the next checkpoint holds a plain array again


def _empty_array(_array_class: type, _shape: tuple[int, ...], _type_code: bytes) -> _StoredArray:
    """Replaces NumPy's `_reconstruct`; returns an empty array whatever the arguments are."""
    return _StoredArray()


# What `fairseq-train` writes besides tensors, as found in checkpoints of its transformer, fconv, lstm and lightconv
# models: settings of the command line are a Namespace, and the n-gram counts of --eval-bleu are NumPy arrays.
CHECKPOINT_CLASSES: tuple[Any, ...] = (
    argparse.Namespace,
    (_StoredDtype, "numpy.dtype"),
    (_StoredArray, "numpy.ndarray"),
    (_empty_array, "numpy.core.multiarray._reconstruct"),  # NumPy 1
    (_empty_array, "numpy._core.multiarray._reconstruct"),  # NumPy 2
)


def read_checkpoint(path: str | Path) -> dict[str, Any]:
    """Reads a fairseq checkpoint without fairseq and without running code in it.

    Args:
        path: a file that `fairseq-train` wrote.

    Returns:
        What fairseq stored, tensors on the CPU: "model", "cfg" and others.

    Raises:
        ResMLPError: the file is missing, unreadable or damaged, asks to run code, or does not hold a dictionary.
    """
    return _load(path, mmap=False)


def _load(path: str | Path, mmap: bool) -> dict[str, Any]:
    torch.serialization.add_safe_globals(list(CHECKPOINT_CLASSES))
    try:
        content = torch.load(path, map_location="cpu", weights_only=True, mmap=mmap)
    except PermissionError as error:
        raise unreadable(Path(path), error) from error
    except Exception as error:  # a damaged file may fail anywhere in torch
        refused = re.search(r"GLOBAL (\S+)", str(error)) if isinstance(error, pickle.UnpicklingError) else None
        if refused:
            reason = f"asks for {refused[1]}, which was not run; load it only after its author has removed that"
        else:
            reason = f"cannot be read ({type(error).__name__}): it is missing, damaged or incomplete; copy it again"
        raise ResMLPError(f"checkpoint {path} {reason}") from error
    if not isinstance(content, dict):
        kind = type(content).__name__
        raise ResMLPError(f"checkpoint {path} holds a {kind} instead of a dictionary; choose another file")
    return content


def map_checkpoint(path: str | Path) -> dict[str, Any]:
    """Like `read_checkpoint`, but maps the tensors from the file, which takes milliseconds."""
    return _load(path, mmap=zipfile.is_zipfile(path))


def evaluate_literal(text: str) -> Any:
    """Evaluates a setting written as a Python expression, such as "[(512, 3)] * 4 + [(768, 3)]".

    Args:
        text: literals (numbers, strings, booleans, None, tuples, lists, dictionaries, sets), joined by + and *.

    Returns:
        The value.

    Raises:
        ResMLPError: the expression holds anything else, such as a name or a call.
        TypeError: `text` is not a string, as with Python's `eval`.
    """
    if not isinstance(text, str):
        raise TypeError(f"a setting to evaluate must be a string, not {type(text).__name__}")
    try:
        return _evaluate(ast.parse(text.strip(), mode="eval").body)
    except (SyntaxError, ValueError) as error:
        raise ResMLPError(f"the setting {text!r} contains something other than literals; write its value") from error


def _evaluate(node: ast.expr) -> Any:
    if isinstance(node, ast.List):
        return [_evaluate(element) for element in node.elts]
    if isinstance(node, ast.Tuple):
        return tuple(_evaluate(element) for element in node.elts)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return _evaluate(node.left) + _evaluate(node.right)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult):
        return _evaluate(node.left) * _evaluate(node.right)
    return ast.literal_eval(node)
