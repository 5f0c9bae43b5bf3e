"""From the parameters of a model to the matrices that are worth looking at, layer by layer."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from resmlp_mt.common.errors import ResMLPError, require

Array = NDArray[np.float64]

# Attribute names of modules are a file format: encoder.core.layers.0.mixing.sublayer.weight in a checkpoint of fairseq,
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
        mixing: A, (positions, positions); in a causal stack what lies above the diagonal is zero.
        bias: b, (positions,), or None where the mixing has none.
        expand: B, (hidden_dim, dim).
        contract: C, (dim, hidden_dim).
        gain: mean over channels of |alpha' alpha|, the scales behind and before the mixing: how strongly A's response
            enters the residual stream. None where nothing scales it.
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
        name: "encoder", "decoder", or what stands before the layers' names; "layers" where nothing does.
        layers: first to last.
        causal: whether A is lower triangular.
        grid: rows and columns of the positions; a sentence is a grid of one row.
        trained: number of positions that training has reached, or None where that cannot be seen: biases start at
            zero and leave it with their first gradient.
    """

    name: str
    layers: list[Layer]
    causal: bool
    grid: tuple[int, int]
    trained: int | None

    @property
    def title(self) -> str:
        """What pictures and tables call it."""
        return "Image classifier" if self.is_image and self.name == _UNNAMED else self.name.capitalize()

    @property
    def positions(self) -> int:
        """How many positions A mixes."""
        return self.grid[0] * self.grid[1]

    @property
    def is_image(self) -> bool:
        """Whether positions are patches of a picture."""
        return self.grid[0] > 1

    def first(self, length: int) -> Stack:
        """The same of the first `length` positions of a sentence, as a sentence of that length meets it.

        Raises:
            ResMLPError: unless A has so many positions.
        """
        rule = f"from 2 to {self.positions}, the positions of the {self.name}'s matrices"
        require(2 <= length <= self.positions, "the length", rule, length, "choose another --length")
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
        parameters: of a translation model or an image classifier, from a checkpoint or a bundle, not folded.
        grid: rows and columns of the patches of an image classifier; None for sentences.

    Returns:
        The stacks in the order of the parameters.

    Raises:
        ResMLPError: when there are no mixing matrices, or they are not what a layer holds.
    """
    found: dict[str, dict[int, dict[str, Tensor]]] = {}
    for name, value in parameters.items():
        if isinstance(value, Tensor) and (match := _NAME.fullmatch(name)):
            stack = (match["stack"] or _UNNAMED).removesuffix(".")
            found.setdefault(stack, {}).setdefault(int(match["layer"]), {})[match["rest"]] = value
    stacks = [_stack(name, layers, grid) for name, layers in found.items()]
    require(
        bool(stacks), "the model", "a ResMLP with mixing matrices", "without any", "name a model that mixes linearly"
    )
    return stacks


def _stack(name: str, by_number: dict[int, dict[str, Tensor]], grid: tuple[int, int] | None) -> Stack:
    causal = name == _CAUSAL
    layers = [_layer(f"{name}, layer {number + 1}", by_number[number], causal) for number in sorted(by_number)]
    positions = len(layers[0].mixing)
    grid = grid or (1, positions)
    for layer in layers:
        expected = (grid[0] * grid[1],) * 2
        require(layer.mixing.shape == expected, f"A of {name}", f"of shape {expected}", layer.mixing.shape, "check it")
    reached = [np.flatnonzero(layer.bias) for layer in layers if layer.bias is not None]
    trained = max((int(places[-1]) + 1 for places in reached if len(places)), default=None)
    return Stack(name, layers, causal, grid, trained)


def _layer(name: str, parameters: Mapping[str, Tensor], causal: bool) -> Layer:
    mixing = _matrix(name, parameters, "mixing.sublayer.weight", 2)
    require(mixing.shape[0] == mixing.shape[1], f"A of {name}", "square", mixing.shape, "name another model")
    bias = _matrix(name, parameters, "mixing.sublayer.bias", 1) if "mixing.sublayer.bias" in parameters else None
    require(bias is None or len(bias) == len(mixing), f"b of {name}", "as long as A", "not", "name another model")
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
    for key in ("mixing.pre.alpha", "mixing.pre.weight"):  # of an Affine or a LayerNorm; there may be neither
        if key in parameters:
            before = _matrix(name, parameters, key, 1)
            require(before.shape == scale.shape, f"{key} of {name}", "as long as alpha'", "not", "name another model")
            scale = scale * before
    return float(np.abs(scale).mean())


def _matrix(name: str, parameters: Mapping[str, Tensor], key: str, dimensions: int) -> Array:
    """A parameter as numbers. What a bad file may hold in its place is refused before it takes memory."""
    value = parameters.get(key)
    if value is None:
        raise ResMLPError(f"{name} must hold {key}, but does not; name a model that mixes linearly")
    shape = tuple(value.shape)
    fits = value.dim() == dimensions and value.is_floating_point() and value.numel() > 0
    require(fits, f"{key} of {name}", f"{dimensions}-dimensional numbers", f"of shape {shape}", "name another model")
    stored = value.untyped_storage().nbytes()
    whole = stored >= value.numel() * value.element_size()
    require(whole, f"{key} of {name}", "stored whole", f"{stored} bytes for {shape}", "name another model")
    numbers = value.detach().double().numpy()
    finite = bool(np.isfinite(numbers).all())
    require(
        finite, f"{key} of {name}", "finite", "partly nan or infinite", "the training diverged; go back before that"
    )
    return numbers
