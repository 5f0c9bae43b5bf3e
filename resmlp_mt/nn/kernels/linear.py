"""Linear layers: with the processor's faster library; at inference folded with an Affine, and packed."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from resmlp_mt.nn.affine import Affine
from resmlp_mt.nn.kernels.matmul import linear


class Linear(nn.Linear):
    """`nn.Linear`, whose products are those of `resmlp_mt.nn.kernels.matmul`."""

    def forward(self, x: Tensor) -> Tensor:
        """Maps (..., in_features) to (..., out_features)."""
        return linear(x, self.weight, self.bias)


def scale_input(layer: nn.Linear, before: Affine) -> None:
    r"""Folds what comes before: $W(\alpha \odot x + \beta) + b = (W \mathrm{diag}(\alpha)) x + (W\beta + b)$."""
    layer.bias.add_(layer.weight @ before.shift())
    layer.weight.mul_(before.alpha)


def scale_output(layer: nn.Linear, after: Affine) -> None:
    r"""Folds the next: $\alpha \odot (Wx + b) + \beta = (\mathrm{diag}(\alpha)W)x + \alpha \odot b + \beta$."""
    layer.weight.mul_(after.alpha[:, None])
    layer.bias.mul_(after.alpha).add_(after.shift())


def _can_pack() -> bool:
    ops = torch.ops.mkldnn
    return torch.backends.mkldnn.is_available() and all(
        hasattr(ops, name) for name in ("_reorder_linear_weight", "_linear_pointwise")
    )


class PackedLinear(nn.Linear):
    """A linear layer for inference whose weights are kept in the processor's own blocked layout too.

    On CPU the product is then oneDNN's, which needs no packing at each call; for the few rows of a beam search in
    float32 that is two to four times as fast as the plain product. Anywhere else (other devices or types, with
    gradients, without oneDNN) this is `nn.Linear`. The parameters are shared with the layer that it is made from.
    """

    def __init__(self, linear: nn.Linear) -> None:
        nn.Module.__init__(self)
        self.in_features, self.out_features = linear.in_features, linear.out_features
        self.weight, self.bias = linear.weight, linear.bias
        self._packed: Tensor | None = None
        self._packed_version = -1

    def forward(self, x: Tensor) -> Tensor:
        """Maps (..., in_features) to (..., out_features)."""
        packed = self._packed_weight(x)
        if packed is None:
            return F.linear(x, self.weight, self.bias)
        return torch.ops.mkldnn._linear_pointwise(x, packed, self.bias, "none", [], "")

    def forward_gelu(self, x: Tensor) -> Tensor:
        """GELU of what `forward` gives; oneDNN applies it before the product leaves the processor's cache."""
        packed = self._packed_weight(x)
        if packed is None:
            return F.gelu(F.linear(x, self.weight, self.bias))
        return torch.ops.mkldnn._linear_pointwise(x, packed, self.bias, "gelu", [], "none")

    def _packed_weight(self, x: Tensor) -> Tensor | None:
        """The packed weights that suit x, or None where the plain product must do."""
        kinds = (torch.float32, torch.bfloat16) if _CAN_PACK_BFLOAT16 else (torch.float32,)
        usable = x.dtype in kinds and x.dtype == self.weight.dtype and x.device.type == "cpu"
        if not usable or not _CAN_PACK or torch.is_grad_enabled() or torch.compiler.is_compiling():
            return None
        # An inference tensor has no version counter, but then nothing can have changed it in place either.
        version = 0 if self.weight.is_inference() else self.weight._version
        if self._packed is None or self._packed_version != version:
            self._packed = torch.ops.mkldnn._reorder_linear_weight(self.weight.detach(), None)
            self._packed_version = version
        return self._packed

    def _apply(self, fn, recurse=True):
        self._packed = None  # moved to another device or type: pack again
        return super()._apply(fn, recurse)


_CAN_PACK = _can_pack()
_CAN_PACK_BFLOAT16 = _CAN_PACK and torch.ops.mkldnn._is_mkldnn_bf16_supported()


def pack_linears(module: nn.Module) -> None:
    """Replaces every `nn.Linear` inside `module` by a `PackedLinear` of the same parameters."""
    for name, child in module.named_children():
        if type(child) in (nn.Linear, Linear):
            setattr(module, name, PackedLinear(child))
        else:
            pack_linears(child)
