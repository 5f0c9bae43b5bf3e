"""The Affine transformation of ResMLP, and the choice of what stands in front of a sublayer."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from resmlp_mt.errors import require_choice

NORMS = ("affine", "layernorm")


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


def build_norm(kind: str, dim: int) -> nn.Module:
    """Makes what stands in front of a sublayer and before the output.

    Args:
        kind: one of `NORMS`; the paper's is "affine".
        dim: number of channels.

    Raises:
        ResMLPError: if `kind` is unknown.
    """
    require_choice("norm", kind, NORMS)
    return Affine(dim) if kind == "affine" else nn.LayerNorm(dim)
