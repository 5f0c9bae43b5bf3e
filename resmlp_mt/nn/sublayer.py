r"""Interfaces of the sublayer f of a residual block: $y = x + \mathrm{Aff}_{post}(f(\mathrm{Norm}(x)))$.

| sublayer | used in | step form | fused form | can be folded |
|---|---|---|---|---|
| `TokenMixing` | encoder | | | no: padding is set to zero between them |
| `CausalTokenMixing` | decoder | yes | | yes |
| `CrossAttention` | decoder | yes | | yes |
| `ChannelMLP` | all | yes | yes | yes |
| `FullTokenMixing` | images | | yes | yes |
| `TokenMLP`, `GridConvolution` | image ablations | | | no |
"""

from __future__ import annotations

from typing import Any, Protocol

from torch import Tensor

from resmlp_mt.nn.affine import Affine


class Sublayer(Protocol):
    """The function of a residual block; a torch module."""

    def __call__(self, x: Tensor, *context: Any) -> Tensor:
        """Maps whole sequences (len, batch, dim), and further inputs, to (len, batch, dim)."""

    def fold_affine_(self, pre: Affine | None, post: Affine, /) -> bool:
        """Folds the Affine transformations around it into its weights, in place, for inference.

        Args:
            pre: the Affine in front of it; None if the norm is not an Affine, which is then kept.
            post: the Affine behind it.

        Returns:
            True if it now computes `post(self(pre(x)))`; False if folding is not supported and it is unchanged.
        """


class StepSublayer(Sublayer, Protocol):
    """A sublayer of the decoder, which also has a form for one new position at a time."""

    def step(self, x: Tensor, *context: Any) -> Tensor:
        """Maps the newest position of every row, (rows, dim), and further inputs, to (rows, dim)."""


class FusedSublayer(Sublayer, Protocol):
    """A sublayer that can apply the Affine transformations around it together with its own weights while training."""

    def forward_fused(self, x: Tensor, pre: Affine | None, post: Affine) -> Tensor:
        """`post(self(pre(x)))`, up to rounding, in fewer passes over x; differentiable.

        Args:
            x: (len, batch, dim).
            pre: the Affine in front of it, or None.
            post: the Affine behind it.

        Returns:
            (len, batch, dim).
        """
