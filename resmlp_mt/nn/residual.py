"""The residual block around every sublayer."""

from __future__ import annotations

from typing import Any, Generic, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from resmlp_mt.nn.affine import Affine, Identity, Norm, build_norm
from resmlp_mt.nn.sublayer import StepSublayer, Sublayer

SublayerT = TypeVar("SublayerT", bound=Sublayer, covariant=True)


class ResidualBlock(nn.Module, Generic[SublayerT]):
    r"""$y = x + \mathrm{Aff}_{post}(\mathrm{sublayer}(\mathrm{Aff}_{pre}(x)))$, with dropout and stochastic depth.

    Source: arXiv:2105.03404, equations 2 and 3. With `layer_scale` 0 it is the identity at initialisation.

    Args:
        sublayer: the function of the block; a `FusedSublayer` if `fuse_affine`.
        dim: model dim.
        norm: in front of the sublayer, see `build_norm`.
        layer_scale: initial value of the post-Affine's alpha.
        post_bias: whether the post-Affine has a bias.
        dropout: probability of dropping an output of the sublayer.
        drop_path: probability of skipping the sublayer for a sample (stochastic depth).
        fuse_affine: train with `FusedSublayer.forward_fused`: the same up to rounding, and faster. It leaves out
            `dropout`, and is not used in float16, where the product of a small LayerScale and a weight underflows.
    """

    sublayer: SublayerT

    def __init__(
        self,
        sublayer: SublayerT,
        dim: int,
        norm: str = "affine",
        layer_scale: float = 0.2,
        post_bias: bool = True,
        dropout: float = 0.0,
        drop_path: float = 0.0,
        fuse_affine: bool = False,
    ) -> None:
        super().__init__()
        self.pre: Norm = build_norm(norm, dim)
        self.sublayer = sublayer
        self.post: Affine | Identity = Affine(dim, layer_scale, post_bias)
        self.dropout = dropout
        self.drop_path = drop_path
        self.fuse_affine = fuse_affine
        self._pre_is_affine = norm == "affine"

    def forward(self, x: Tensor, *context: Any) -> Tensor:
        """Maps whole sequences (len, batch, dim), and further inputs of the sublayer, to (len, batch, dim)."""
        if self.fuse_affine and not _is_half(x):
            return x + self._drop_path(self._forward_fused(x))
        y = self.sublayer(self.pre(x), *context)
        y = self.post(F.dropout(y, self.dropout, self.training))
        return x + self._drop_path(y)

    def step(self: ResidualBlock[StepSublayer], x: Tensor, *context: Any) -> Tensor:
        """Maps the newest position of every row, (rows, dim), to (rows, dim). For inference only."""
        return x + self.post(self.sublayer.step(self.pre(x), *context))

    def _forward_fused(self: ResidualBlock[Any], x: Tensor) -> Tensor:
        if self._pre_is_affine:
            return self.sublayer.forward_fused(x, self.pre, self.post)
        return self.sublayer.forward_fused(self.pre(x), None, self.post)

    def _drop_path(self, y: Tensor) -> Tensor:
        if not self.training or self.drop_path == 0.0:
            return y
        keep = 1.0 - self.drop_path
        kept = torch.empty(1, y.size(1), 1, dtype=y.dtype, device=y.device).bernoulli_(keep)
        return y * kept / keep

    def fold_affine_(self) -> None:
        """Folds both Affine transformations into the sublayer, if it supports folding; the outputs stay the same."""
        post = self.post.as_affine()
        if post is None:  # folded already
            return
        pre = self.pre.as_affine()
        if not self.sublayer.fold_affine_(pre, post):
            return
        if pre is not None:
            self.pre = Identity()
        self.post = Identity()
        self.fuse_affine = False


def _is_half(x: Tensor) -> bool:
    """Whether matmuls of x are computed in float16."""
    kind = x.device.type
    return (torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else x.dtype) == torch.float16
