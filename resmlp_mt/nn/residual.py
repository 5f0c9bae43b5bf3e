"""The residual block around every sublayer: what stands before it, behind it, and beside it."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from resmlp_mt.nn.affine import Affine, BatchNorm, build_norm


class ResidualBlock(nn.Module):
    r"""$y = x + \mathrm{Aff}_{post}(\mathrm{sublayer}(\mathrm{Aff}_{pre}(x)))$, with dropout and stochastic depth.

    Source: arXiv:2105.03404, equations 2 and 3. With `layer_scale` 0 it is the identity until trained.

    Args:
        sublayer: maps (len, batch, dim) and further inputs of its own to (len, batch, dim).
        dim: number of channels.
        norm: what stands before the sublayer, see `build_norm`.
        layer_scale: start of the post-Affine's alpha.
        post_bias: whether the post-Affine has a bias.
        dropout: probability of dropping what the sublayer gives.
        drop_path: probability of leaving out the whole sublayer for a sentence (stochastic depth).
        fold_always: fold both Affine transformations into the sublayer at each call, as its `between` does: the same
            but for rounding, and faster to train. Not in half precision, where a small LayerScale would vanish.
    """

    def __init__(
        self,
        sublayer: nn.Module,
        dim: int,
        norm: str = "affine",
        layer_scale: float = 0.2,
        post_bias: bool = True,
        dropout: float = 0.0,
        drop_path: float = 0.0,
        fold_always: bool = False,
    ) -> None:
        super().__init__()
        self.pre = build_norm(norm, dim)
        self.sublayer = sublayer
        self.post: nn.Module = Affine(dim, layer_scale, post_bias)
        self.dropout = dropout
        self.drop_path = drop_path
        self.fold_always = fold_always

    def forward(self, x: Tensor, *context: Tensor) -> Tensor:
        """Maps (len, batch, dim) and the sublayer's further inputs to (len, batch, dim)."""
        if self.fold_always and isinstance(self.post, Affine) and not _is_half(x):
            return x + self._drop_path(self.sublayer.between(x, self.pre, self.post))
        y = self.sublayer(self.pre(x), *context)
        y = self.post(F.dropout(y, self.dropout, self.training))
        return x + self._drop_path(y)

    def step(self, x: Tensor, *context: Tensor) -> Tensor:
        """The same for one new position of every row: (rows, dim) to (rows, dim). Inference only."""
        return x + self.post(self.sublayer.step(self.pre(x), *context))

    def _drop_path(self, y: Tensor) -> Tensor:
        if not self.training or self.drop_path == 0.0:
            return y
        keep = 1.0 - self.drop_path
        kept = torch.empty(1, y.size(1), 1, dtype=y.dtype, device=y.device).bernoulli_(keep)
        return y * kept / keep

    def fold(self) -> None:
        """Folds both Affine transformations into the sublayer, for inference: the outputs stay, the work shrinks."""
        if isinstance(self.post, Affine):
            if isinstance(self.pre, BatchNorm):
                self.pre = self.pre.as_affine()
            if self.sublayer.absorb(self.pre, self.post):
                self.pre = nn.Identity()
            self.post = nn.Identity()


def _is_half(x: Tensor) -> bool:
    """Whether products of x are computed in float16."""
    kind = x.device.type
    return (torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else x.dtype) == torch.float16
