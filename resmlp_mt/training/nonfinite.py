"""Finds the source of a NaN or infinity: the first layer whose output or gradient is not finite.

The check costs a synchronisation per layer, so it runs only after a gradient norm that is not finite: the batch is run
again with hooks on every layer.
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
        place: where it occurred, such as "the output of encoder.layers.0.mlp (ChannelMLP)".
        value: description of the values, such as "NaN in 3 of 35 values".
    """

    kind: str
    place: str
    value: str


@dataclasses.dataclass
class _Uses:
    """The layers that use a tensor: the outermost one that returned it, and the innermost one that took it as input."""

    producer: str = ""
    consumer: str = ""


def describe(tensor: torch.Tensor) -> str | None:
    """Describes the non-finite values of a tensor, such as "NaN in 3 of 35 values"; None if all values are finite."""
    with torch.no_grad():
        finite = torch.isfinite(tensor)
        if bool(finite.all()):
            return None
        kind = "NaN" if bool(torch.isnan(tensor).any()) else "infinite"
        return f"{kind} in {int((~finite).sum()):,} of {tensor.numel():,} values"


def tensors_in(value: Any) -> Iterator[torch.Tensor]:
    """The floating-point tensors in the inputs or outputs of a layer, in nested containers and dataclasses too."""
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
    """Context manager that checks a forward and a backward pass of a model for non-finite values.

    Gradients are checked by hooks on the tensors between layers, not by torch's module backward hooks: those replace
    the output of a layer, and fail if the output is modified in place.

    Args:
        model: the model to check.
    """

    def __init__(self, model: nn.Module) -> None:
        self._model = model
        self._kinds = {name: type(layer).__name__ for name, layer in model.named_modules()}
        self._findings: dict[str, Finding] = {}
        self._handles: list[Any] = []

    @property
    def finding(self) -> Finding | None:
        """The first finding: parameters come before inputs, inputs before outputs, outputs before gradients."""
        kinds = (PARAMETER, INPUT, FORWARD, BACKWARD)
        return next((self._findings[kind] for kind in kinds if kind in self._findings), None)

    def __enter__(self) -> NonFiniteInspector:
        for name, parameter in self._model.named_parameters():
            self._check(PARAMETER, f"parameter {name}", parameter)
            if parameter.requires_grad:
                self._check_gradient(parameter, f"the gradient of parameter {name}")
        for name, layer in self._model.named_modules():
            self._handles += [
                layer.register_forward_pre_hook(self._pre_hook(name), with_kwargs=True),
                layer.register_forward_hook(self._post_hook(name)),
            ]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for handle in self._handles:
            handle.remove()

    def _check(self, kind: str, place: str, tensor: torch.Tensor) -> None:
        if kind not in self._findings and (value := describe(tensor)):
            self._findings[kind] = Finding(kind, place, value)

    def _describe_layer(self, name: str) -> str:
        return f"{name or 'the model'} ({self._kinds[name]})"

    def _check_gradient(self, tensor: torch.Tensor, place: str) -> None:
        def check(gradient: torch.Tensor) -> None:
            self._check(BACKWARD, place, gradient)

        self._handles.append(tensor.register_hook(check))

    def _uses(self, tensor: torch.Tensor) -> _Uses:
        """The uses of a tensor so far; the first call also adds a hook that checks its gradient."""
        uses = getattr(tensor, "_uses", None)
        if uses is None:
            uses = _Uses()
            tensor._uses = uses  # type: ignore[attr-defined]
            if tensor.requires_grad and not tensor.is_leaf:

                def check(gradient: torch.Tensor, uses: _Uses = uses) -> None:
                    side, name = ("input", uses.consumer) if uses.consumer else ("output", uses.producer)
                    self._check(BACKWARD, f"the gradient at the {side} of {self._describe_layer(name)}", gradient)

                self._handles.append(tensor.register_hook(check))
        return uses

    def _pre_hook(self, name: str) -> Any:
        def record_inputs(_layer: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
            for tensor in tensors_in((args, kwargs)):
                if not name:
                    self._check(INPUT, "the input of the model", tensor)
                self._uses(tensor).consumer = name

        return record_inputs

    def _post_hook(self, name: str) -> Any:
        def record_outputs(_layer: nn.Module, _args: tuple[Any, ...], output: Any) -> None:
            for tensor in tensors_in(output):
                self._check(FORWARD, f"the output of {self._describe_layer(name)}", tensor)
                uses = self._uses(tensor)
                uses.producer = name
                if uses.consumer == name:  # the layer returned its input
                    uses.consumer = ""

        return record_outputs
