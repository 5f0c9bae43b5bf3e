"""The Affine transformation of ResMLP, and the choice of what stands in front of a sublayer."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from resmlp_mt.common.errors import require_choice

NORMS = ("affine", "layernorm")  # that do without the batch, and so without knowing what is padding
IMAGE_NORMS = (*NORMS, "batchnorm", "none")


class Affine(nn.Module):
    r"""Rescales and shifts every channel on its own, without any statistics.

    $$\mathrm{Aff}_{\alpha,\beta}(x) = \alpha \odot x + \beta$$

    Source: arXiv:2105.03404, equation 1. In front of a sublayer alpha starts at 1; behind it alpha plays the part of
    LayerScale and starts small.

    Args:
        dim: number of channels.
        scale: start of alpha.
        bias: whether there is a beta, started at 0. Note: the paper's equations have it behind a sublayer too, its
            pseudo-code does not, so both are to be had.
    """

    def __init__(self, dim: int, scale: float = 1.0, bias: bool = True) -> None:
        super().__init__()
        self.alpha = nn.Parameter(torch.full((dim,), scale))
        self.beta = nn.Parameter(torch.zeros(dim)) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        """Maps (..., dim) to (..., dim)."""
        return x * self.alpha if self.beta is None else torch.addcmul(self.beta, x, self.alpha)

    def shift(self) -> Tensor:
        """Beta, or zeros where there is none: (dim,)."""
        return torch.zeros_like(self.alpha) if self.beta is None else self.beta


class BatchNorm(nn.BatchNorm1d):
    """Batch normalisation of the last axis, with statistics over all positions of all samples. None may be padding."""

    def forward(self, x: Tensor) -> Tensor:
        """Maps (..., dim) to (..., dim)."""
        return super().forward(x.reshape(-1, x.size(-1))).view_as(x)

    @torch.no_grad()
    def as_affine(self) -> Affine:
        """The Affine transformation that this is at inference, where the statistics are fixed."""
        affine = Affine(self.num_features).to(self.weight)
        affine.alpha.copy_(self.weight * (self.running_var + self.eps).rsqrt())
        affine.beta.copy_(self.bias - self.running_mean * affine.alpha)
        return affine


def build_norm(kind: str, dim: int) -> nn.Module:
    """Makes what stands in front of a sublayer and before the output.

    Args:
        kind: one of `IMAGE_NORMS`; the paper's is "affine", the others are of its ablations.
        dim: number of channels.

    Raises:
        ResMLPError: if `kind` is unknown.
    """
    require_choice("norm", kind, IMAGE_NORMS)
    makers = {"affine": Affine, "layernorm": nn.LayerNorm, "batchnorm": BatchNorm}
    return makers[kind](dim) if kind in makers else nn.Identity()
