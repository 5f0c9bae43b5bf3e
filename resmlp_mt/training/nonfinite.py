"""Where a NaN or an infinity came from: the first layer whose output or gradient is not finite.

Looking costs a synchronisation for every layer, so it is done only after a gradient norm that is not finite: the batch
is run again with hooks on every layer.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from types import TracebackType
from typing import Any

import torch
from torch import nn

PARAMETER, INPUT, FORWARD, BACKWARD = "parameter", "input", "forward", "backward"


@dataclasses.dataclass(frozen=True)
class Finding:
    """A value that is not finite.

    Args:
        kind: `PARAMETER`, `INPUT`, `FORWARD` or `BACKWARD`.
        place: such as "the output of encoder.layers.0.mlp (ChannelMLP)".
        value: such as "NaN in 3 of 35 values".
    """

    kind: str
    place: str
    value: str


@dataclasses.dataclass
class _Uses:
    """Of a tensor: the layer that gave it out (the outermost), and the one that took it in last (the innermost)."""

    producer: str = ""
    consumer: str = ""


def describe(tensor: torch.Tensor) -> str | None:
    """What is not finite in a tensor, such as "NaN in 3 of 35 values"; None when all is well."""
    with torch.no_grad():
        finite = torch.isfinite(tensor)
        if bool(finite.all()):
            return None
        kind = "NaN" if bool(torch.isnan(tensor).any()) else "infinite"
        return f"{kind} in {int((~finite).sum()):,} of {tensor.numel():,} values"


def tensors_in(value: Any) -> Iterator[torch.Tensor]:
    """The floating-point tensors in what a layer takes or gives, however they are packed."""
    if isinstance(value, torch.Tensor):
        if value.is_floating_point():
            yield value
    elif isinstance(value, Mapping):
        for entry in value.values():
            yield from tensors_in(entry)
    elif isinstance(value, list | tuple):
        for entry in value:
            yield from tensors_in(entry)
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        for field in dataclasses.fields(value):
            yield from tensors_in(getattr(value, field.name))


class NonFiniteInspector:
    """While entered, watches a forward and a backward pass of a model.

    Gradients are watched by hooks on the tensors between layers, not by torch's backward hooks of modules: those change
    what a layer returns, and fail where it is changed in place.

    Args:
        model: whose layers are named.
    """

    def __init__(self, model: nn.Module) -> None:
        self._model = model
        self._kinds = {name: type(layer).__name__ for name, layer in model.named_modules()}
        self._found: dict[str, Finding] = {}
        self._handles: list[Any] = []

    @property
    def finding(self) -> Finding | None:
        """The first one: parameters before inputs, these before outputs, and outputs before gradients."""
        kinds = (PARAMETER, INPUT, FORWARD, BACKWARD)
        return next((self._found[kind] for kind in kinds if kind in self._found), None)

    def __enter__(self) -> NonFiniteInspector:
        for name, parameter in self._model.named_parameters():
            self._look(PARAMETER, f"parameter {name}", parameter)
            if parameter.requires_grad:
                self._watch_gradient(parameter, f"the gradient of parameter {name}")
        for name, layer in self._model.named_modules():
            self._handles += [
                layer.register_forward_pre_hook(self._before(name), with_kwargs=True),
                layer.register_forward_hook(self._after(name)),
            ]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for handle in self._handles:
            handle.remove()

    def _look(self, kind: str, place: str, tensor: torch.Tensor) -> None:
        if kind not in self._found and (value := describe(tensor)):
            self._found[kind] = Finding(kind, place, value)

    def _named(self, name: str) -> str:
        return f"{name or 'the model'} ({self._kinds[name]})"

    def _watch_gradient(self, tensor: torch.Tensor, place: str) -> None:
        def look(gradient: torch.Tensor) -> None:
            self._look(BACKWARD, place, gradient)

        self._handles.append(tensor.register_hook(look))

    def _uses(self, tensor: torch.Tensor) -> _Uses:
        """The notes about a tensor; the first time, its gradient begins to be watched."""
        uses = getattr(tensor, "_uses", None)
        if uses is None:
            uses = _Uses()
            tensor._uses = uses  # type: ignore[attr-defined]
            if tensor.requires_grad and not tensor.is_leaf:

                def look(gradient: torch.Tensor, uses: _Uses = uses) -> None:
                    side, name = ("input", uses.consumer) if uses.consumer else ("output", uses.producer)
                    self._look(BACKWARD, f"the gradient at the {side} of {self._named(name)}", gradient)

                self._handles.append(tensor.register_hook(look))
        return uses

    def _before(self, name: str) -> Any:
        def take(layer: nn.Module, arguments: tuple[Any, ...], named: Mapping[str, Any]) -> None:
            for tensor in tensors_in((arguments, named)):
                if not name:
                    self._look(INPUT, "the input of the model", tensor)
                self._uses(tensor).consumer = name

        return take

    def _after(self, name: str) -> Any:
        def give(layer: nn.Module, arguments: tuple[Any, ...], output: Any) -> None:
            for tensor in tensors_in(output):
                self._look(FORWARD, f"the output of {self._named(name)}", tensor)
                uses = self._uses(tensor)
                uses.producer = name
                if uses.consumer == name:  # given out as it came in
                    uses.consumer = ""

        return give
