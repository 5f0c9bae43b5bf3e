"""The Affine transformation of ResMLP, and the norms that can replace it."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from resmlp_mt.common.errors import require_choice

NORMS = ("affine", "layernorm")  # independent of the batch, and so of what is padding
IMAGE_NORMS = (*NORMS, "batchnorm", "none")


class Affine(nn.Module):
    r"""Scales and shifts every feature, without any statistics.

    $$\mathrm{Aff}_{\alpha,\beta}(x) = \alpha \odot x + \beta$$

    Source: arXiv:2105.03404, equation 1. In front of a sublayer alpha is 1 at initialisation; behind it alpha acts as
    LayerScale and is small.

    Args:
        dim: model dim.
        scale: initial value of alpha.
        bias: whether there is a beta, 0 at initialisation. Note: the paper's equations have it behind a sublayer too,
            its pseudo-code does not, so both are supported.
    """

    def __init__(self, dim: int, scale: float = 1.0, bias: bool = True) -> None:
        super().__init__()
        self.alpha = nn.Parameter(torch.full((dim,), scale))
        self.beta = nn.Parameter(torch.zeros(dim)) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        """Maps (..., dim) to (..., dim)."""
        return x * self.alpha if self.beta is None else torch.addcmul(self.beta, x, self.alpha)

    def coefficients(self) -> tuple[Tensor, Tensor]:
        """Alpha, and beta or zeros: both (dim,)."""
        return self.alpha, torch.zeros_like(self.alpha) if self.beta is None else self.beta

    def as_affine(self) -> Affine | None:
        """The Affine that computes the same at inference: this one."""
        return self


class LayerNorm(nn.LayerNorm):
    """Layer normalisation of the last axis."""

    def as_affine(self) -> Affine | None:
        """The Affine that computes the same at inference: none, since the statistics are those of x."""
        return None


class BatchNorm(nn.BatchNorm1d):
    """Batch normalisation of the last axis, with statistics over all positions of all samples. None may be padding."""

    def forward(self, x: Tensor) -> Tensor:
        """Maps (..., dim) to (..., dim)."""
        return super().forward(x.reshape(-1, x.size(-1))).view_as(x)

    @torch.no_grad()
    def as_affine(self) -> Affine | None:
        """The Affine that computes the same at inference, where the statistics are fixed."""
        assert self.running_mean is not None
        assert self.running_var is not None
        affine = Affine(self.num_features, bias=False).to(self.weight)
        affine.alpha.copy_(self.weight * (self.running_var + self.eps).rsqrt())
        affine.beta = nn.Parameter(self.bias - self.running_mean * affine.alpha)
        return affine


class Identity(nn.Identity):
    """No norm: one of the paper's ablations, and the replacement of a folded norm."""

    def as_affine(self) -> Affine | None:
        """The Affine that computes the same at inference: none, since nothing is computed."""
        return None


Norm = Affine | LayerNorm | BatchNorm | Identity


def build_norm(kind: str, dim: int) -> Norm:
    """Makes the norm in front of a sublayer, of the pooling or of the output.

    Args:
        kind: one of `IMAGE_NORMS`; the paper's is "affine", the others are from its ablations.
        dim: model dim.

    Raises:
        ResMLPError: if `kind` is unknown.
    """
    require_choice("norm", kind, IMAGE_NORMS)
    makers: dict[str, Callable[[int], Norm]] = {"affine": Affine, "layernorm": LayerNorm, "batchnorm": BatchNorm}
    return makers[kind](dim) if kind in makers else Identity()
