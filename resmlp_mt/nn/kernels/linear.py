"""Linear layers: `Linear` for training, `PackedLinear` for inference."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from resmlp_mt.nn.kernels.dispatch import can_use_packed
from resmlp_mt.nn.kernels.matmul import linear

Activation = Callable[[Tensor], Tensor]


class Linear(nn.Linear):
    """`nn.Linear` with the matmul of `resmlp_mt.nn.kernels.matmul`."""

    def forward(self, x: Tensor) -> Tensor:
        """Maps (..., in_features) to (..., out_features)."""
        return linear(x, self.weight, self.bias)

    def forward_activated(self, x: Tensor, activation: Activation) -> Tensor:
        """The activation of what `forward` returns: (..., in_features) to (..., out_features)."""
        return activation(self(x))


class PackedLinear(nn.Linear):
    """A linear layer for inference that also keeps its weight in oneDNN's blocked layout.

    For the few rows of a beam search on a CPU this is two to four times as fast as the plain matmul, which has to
    rearrange the weight at each call. Where `dispatch` does not allow it (other devices or types, with gradients,
    without oneDNN) this is `nn.Linear`.

    Args:
        linear: the layer whose parameters it shares.
    """

    def __init__(self, linear: nn.Linear) -> None:
        nn.Module.__init__(self)
        self.in_features, self.out_features = linear.in_features, linear.out_features
        self.weight, self.bias = linear.weight, linear.bias
        self._packed: Tensor | None = None
        self._packed_version = -1

    def forward(self, x: Tensor) -> Tensor:
        """Maps (..., in_features) to (..., out_features)."""
        if not can_use_packed(x, self.weight):
            return F.linear(x, self.weight, self.bias)
        return torch.ops.mkldnn._linear_pointwise(x, self._packed_weight(), self.bias, "none", [], "")

    def forward_activated(self, x: Tensor, activation: Activation) -> Tensor:
        """See `Linear.forward_activated`; oneDNN applies GELU before the result leaves the processor's cache."""
        if activation is not F.gelu or not can_use_packed(x, self.weight):
            return activation(self(x))
        return torch.ops.mkldnn._linear_pointwise(x, self._packed_weight(), self.bias, "gelu", [], "none")

    def _packed_weight(self) -> Tensor:
        # An inference tensor has no version counter, and cannot be changed in place either.
        version = 0 if self.weight.is_inference() else self.weight._version
        if self._packed is None or self._packed_version != version:
            self._packed = torch.ops.mkldnn._reorder_linear_weight(self.weight.detach(), None)
            self._packed_version = version
        return self._packed

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Any:
        self._packed = None  # moved to another device or type: pack again
        return super()._apply(fn, recurse)


def pack_linears_(module: nn.Module) -> None:
    """Replaces every linear layer inside `module` by a `PackedLinear` with the same parameters."""
    for name, child in module.named_children():
        if type(child) is nn.Linear or type(child) is Linear:
            setattr(module, name, PackedLinear(child))
        else:
            pack_linears_(child)
