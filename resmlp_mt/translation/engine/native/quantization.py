r"""Quantization of weights to int8: $W_{nk} \approx s_n q_{nk}$ with $q_{nk}$ in -127 to 127, a scale for each row.

A quantized model has the parameters of the architecture: int8 for the embeddings and the weights of linear layers, each
with its scales under the name NAME.scale; float32 for the rest, which is small.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

Parameters = dict[str, NDArray[Any]]

SCALE = ".scale"  # behind the name of a quantized weight
_QUANTIZED = re.compile(r"(embedding\.tokens|output|[qkv]_proj|out_proj|fc[12])\.weight")
_STEPS = 127


def is_quantized(name: str) -> bool:
    """Whether a quantized model has this parameter in int8."""
    return _QUANTIZED.search(name) is not None


def quantize_rows(weight: NDArray[np.float32]) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Rounds each row to the nearest of 127 steps to its largest absolute value.

    Args:
        weight: (rows, cols).

    Returns:
        Int8 values (rows, cols) and scales (rows,).
    """
    scales = (np.abs(weight).max(axis=1) / _STEPS).astype(np.float32)
    steps = np.divide(weight, scales[:, None], out=np.zeros_like(weight), where=scales[:, None] > 0)
    return np.rint(steps).astype(np.int8), scales


def quantize(parameters: Mapping[str, NDArray[np.float32]]) -> Parameters:
    """Quantizes a model. Names of one array stay names of one array."""
    results: dict[tuple[int, tuple[int, ...]], tuple[NDArray[np.int8], NDArray[np.float32]]] = {}
    quantized: Parameters = {}
    for name, value in parameters.items():
        if not is_quantized(name):
            quantized[name] = np.ascontiguousarray(value, dtype=np.float32)
            continue
        place = (value.__array_interface__["data"][0], value.shape)
        if place not in results:
            results[place] = quantize_rows(value)
        quantized[name], quantized[name + SCALE] = results[place]
    return quantized


def dequantize(parameters: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[np.float32]]:
    """The float32 parameters that a quantized model stands for."""
    return {
        name: value.astype(np.float32) * parameters[name + SCALE][:, None] if is_quantized(name) else value
        for name, value in parameters.items()
        if not name.endswith(SCALE)
    }
