"""Extracts the mixing and MLP matrices of each layer from the parameters of a model."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from resmlp_mt.common.errors import ResMLPError

Array = NDArray[np.float64]

# Attribute names of modules are a file format: encoder.core.layers.0.mixing.sublayer.weight in a fairseq checkpoint,
# encoder.layers.0.mixing.sublayer.weight in a bundle, core.layers.0... and layers.0... in an image classifier.
_NAME = re.compile(r"(?P<stack>\w+\.)??(?:core\.)?layers\.(?P<layer>\d+)\.(?P<rest>(?:mixing|channels)\..+)")
_CAUSAL = "decoder"
_UNNAMED = "layers"


@dataclass(frozen=True)
class Layer:
    r"""The matrices of one layer.

    $$Z = X + \mathrm{Aff}'(A\,\mathrm{Aff}(X) + b), \quad Y = Z + \mathrm{Aff}'(C\,\mathrm{GELU}(B\,\mathrm{Aff}(Z)))$$

    Source: arXiv:2105.03404, equations 2 and 3.

    Attributes:
        mixing: A, (positions, positions); zero above the diagonal in a causal stack.
        bias: b, (positions,), or None if the mixing has no bias.
        expand: B, (hidden_dim, dim).
        contract: C, (dim, hidden_dim).
        gain: mean over features of |alpha' alpha|, the scales after and before the mixing: how strongly the output of
            A is scaled in the residual stream. None if the layer has no scale.
    """

    mixing: Array
    bias: Array | None
    expand: Array
    contract: Array
    gain: float | None


@dataclass(frozen=True)
class Stack:
    """The layers of an encoder, a decoder or an image classifier.

    Attributes:
        name: "encoder", "decoder", or another prefix of the layer names; "layers" if there is no prefix.
        layers: first to last.
        causal: whether A is lower triangular.
        grid: rows and columns of the positions; a sentence is a grid of one row.
        trained: number of positions that occurred in training, or None if unknown. It is derived from the biases,
            which are initialised to zero and change with their first gradient.
    """

    name: str
    layers: list[Layer]
    causal: bool
    grid: tuple[int, int]
    trained: int | None

    @property
    def title(self) -> str:
        """The name in figures and tables."""
        return "Image classifier" if self.is_image and self.name == _UNNAMED else self.name.capitalize()

    @property
    def positions(self) -> int:
        """Number of positions that A mixes."""
        return self.grid[0] * self.grid[1]

    @property
    def is_image(self) -> bool:
        """Whether positions are image patches."""
        return self.grid[0] > 1

    def first(self, length: int) -> Stack:
        """Returns the submatrices of the first `length` positions, which a sentence of that length uses.

        Raises:
            ResMLPError: if `length` is below 2 or above the size of A.
        """
        if not 2 <= length <= self.positions:
            raise ResMLPError(
                f"--length must be from 2 to {self.positions}, the number of positions of the {self.name}, but is "
                f"{length}"
            )
        layers = [
            Layer(
                layer.mixing[:length, :length],
                None if layer.bias is None else layer.bias[:length],
                layer.expand,
                layer.contract,
                layer.gain,
            )
            for layer in self.layers
        ]
        return Stack(self.name, layers, self.causal, (1, length), self.trained)


def find_stacks(parameters: Mapping[str, Tensor], grid: tuple[int, int] | None = None) -> list[Stack]:
    """Finds the layers of a model by the names of its parameters.

    Args:
        parameters: parameters of a translation model or an image classifier that is not folded.
        grid: rows and columns of the patches of an image classifier; None for sentences.

    Returns:
        The stacks in the order of the parameters.

    Raises:
        ResMLPError: if there are no mixing matrices, or the parameters of a layer are inconsistent.
    """
    by_stack: dict[str, dict[int, dict[str, Tensor]]] = {}
    for name, value in parameters.items():
        if isinstance(value, Tensor) and (match := _NAME.fullmatch(name)):
            stack = (match["stack"] or _UNNAMED).removesuffix(".")
            by_stack.setdefault(stack, {}).setdefault(int(match["layer"]), {})[match["rest"]] = value
    stacks = [_stack(name, layers, grid) for name, layers in by_stack.items()]
    if not stacks:
        raise ResMLPError("the model contains no mixing matrices; give a model with linear mixing")
    return stacks


def _stack(name: str, by_number: dict[int, dict[str, Tensor]], grid: tuple[int, int] | None) -> Stack:
    causal = name == _CAUSAL
    layers = [_layer(f"{name}, layer {number + 1}", by_number[number], causal) for number in sorted(by_number)]
    positions = len(layers[0].mixing)
    grid = grid or (1, positions)
    for layer in layers:
        expected = (grid[0] * grid[1],) * 2
        if layer.mixing.shape != expected:
            raise ResMLPError(f"A of {name} has shape {layer.mixing.shape} instead of {expected}; check the model")
    nonzero = [np.flatnonzero(layer.bias) for layer in layers if layer.bias is not None]
    trained = max((int(indices[-1]) + 1 for indices in nonzero if len(indices)), default=None)
    return Stack(name, layers, causal, grid, trained)


def _layer(name: str, parameters: Mapping[str, Tensor], causal: bool) -> Layer:
    mixing = _matrix(name, parameters, "mixing.sublayer.weight", 2)
    if mixing.shape[0] != mixing.shape[1]:
        raise ResMLPError(f"A of {name} has shape {mixing.shape} and is not square; give another model")
    bias = _matrix(name, parameters, "mixing.sublayer.bias", 1) if "mixing.sublayer.bias" in parameters else None
    if bias is not None and len(bias) != len(mixing):
        raise ResMLPError(f"b of {name} has {len(bias)} elements and is not as long as A; give another model")
    return Layer(
        mixing=np.tril(mixing) if causal else mixing,
        bias=bias,
        expand=_matrix(name, parameters, "channels.sublayer.fc1.weight", 2),
        contract=_matrix(name, parameters, "channels.sublayer.fc2.weight", 2),
        gain=_gain(name, parameters),
    )


def _gain(name: str, parameters: Mapping[str, Tensor]) -> float | None:
    if "mixing.post.alpha" not in parameters:
        return None
    scale = _matrix(name, parameters, "mixing.post.alpha", 1)
    for key in ("mixing.pre.alpha", "mixing.pre.weight"):  # an Affine or a LayerNorm, or neither
        if key in parameters:
            before = _matrix(name, parameters, key, 1)
            if before.shape != scale.shape:
                raise ResMLPError(f"{key} of {name} is not as long as mixing.post.alpha; give another model")
            scale = scale * before
    return float(np.abs(scale).mean())


def _matrix(name: str, parameters: Mapping[str, Tensor], key: str, dimensions: int) -> Array:
    """A parameter as a NumPy array. Invalid parameters are rejected before memory is allocated."""
    value = parameters.get(key)
    if value is None:
        raise ResMLPError(f"{name} has no {key}; give a model with linear mixing")
    shape = tuple(value.shape)
    if value.dim() != dimensions or not value.is_floating_point() or value.numel() == 0:
        raise ResMLPError(
            f"{key} of {name} has shape {shape} and type {value.dtype}, but must be a floating-point tensor of "
            f"{dimensions} dimensions; give another model"
        )
    stored = value.untyped_storage().nbytes()
    if stored < value.numel() * value.element_size():
        raise ResMLPError(f"{key} of {name} has shape {shape}, but only {stored} bytes are stored; give another model")
    numbers = value.detach().double().numpy()
    if not np.isfinite(numbers).all():
        raise ResMLPError(
            f"{key} of {name} contains NaN or infinity, so the training diverged; give an earlier checkpoint"
        )
    return numbers
