"""Token mixing: a learned matrix over positions, in the place of self-attention.

Source: arXiv:2105.03404, equation 2, and section 2 "Sequence-to-sequence ResMLP" for variable lengths (pad with zeros,
take the top-left submatrix of A) and for the decoder (A triangular).
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from resmlp_mt.common.errors import require
from resmlp_mt.nn.affine import Affine
from resmlp_mt.nn.kernels.matmul import ONEDNN_IS_FASTER, transposed_product


class MixingMatrix(nn.Module):
    r"""The matrix A and bias b that mix positions: $y_t = \sum_s A_{ts} x_s + b_t$, the same for every channel.

    A sequence of length T uses exactly `A[:T, :T]`.

    Args:
        max_len: number of positions that A has in both directions.
        bias: whether every position has a bias b. Note: the paper's images have it, of translation it does not say.
        init_std: deviation of the truncated normal distribution from which A starts. Note: the paper is silent.
    """

    def __init__(self, max_len: int, bias: bool = True, init_std: float = 0.02) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(max_len, max_len))
        self.bias = nn.Parameter(torch.zeros(max_len)) if bias else None
        nn.init.trunc_normal_(self.weight, std=init_std, a=-2 * init_std, b=2 * init_std)

    @property
    def max_len(self) -> int:
        return self.weight.size(0)

    def matrix(self, length: int) -> Tensor:
        """The mixing matrix of a sequence of `length` positions: (length, length).

        Raises:
            ResMLPError: if A has fewer positions.
        """
        require(
            length <= self.max_len,
            "sequence length",
            f"at most {self.max_len}, the number of positions of the mixing matrix",
            length,
            "shorten the sequence or train a model with more positions",
        )
        return self.weight[:length, :length]

    def mix(self, x: Tensor) -> Tensor:
        """Maps (len, batch, dim) to (len, batch, dim) without looking at padding."""
        length = x.size(0)
        columns = x.reshape(length, -1)  # (len, batch * dim)
        if self.bias is None:
            mixed = self.matrix(length) @ columns
        else:
            mixed = torch.addmm(self.bias[:length, None], self.matrix(length), columns)
        return mixed.view_as(x)


class TokenMixing(MixingMatrix):
    """Mixes every position of a sequence with every other. What stands at a padded position counts as zero."""

    def forward(self, x: Tensor, padding_mask: Tensor) -> Tensor:
        """Mixes sequences that begin at position 0.

        Args:
            x: (len, batch, dim).
            padding_mask: True at padding, (batch, len).

        Returns:
            (len, batch, dim); what stands at padded positions means nothing.
        """
        return self.mix(x.masked_fill(padding_mask.t().unsqueeze(-1), 0.0))


class FoldableMixing(MixingMatrix):
    r"""Mixing without padding, into which the Affine transformations around it can be folded.

    Folded it is $(A x)_t \odot g + o_t$ with a gain g per channel and an offset o per position and channel.
    """

    gain: Tensor | None
    offset: Tensor | None

    def __init__(self, max_len: int, bias: bool = True, init_std: float = 0.02) -> None:
        super().__init__(max_len, bias, init_std)
        self.register_buffer("gain", None, persistent=False)
        self.register_buffer("offset", None, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Maps (len, batch, dim) to (len, batch, dim)."""
        mixed = self.mix(x)
        if self.gain is None or self.offset is None:
            return mixed
        return torch.addcmul(self.offset[: x.size(0), None], mixed, self.gain)

    def gain_and_offset(self, before: nn.Module, after: Affine) -> tuple[Tensor, Tensor]:
        r"""What the transformations around the mixing come to: (dim,) and (max_len, dim).

        With a_t the sum of row t of A:
        $\alpha' \odot (A(\alpha \odot x + \beta) + b)_t + \beta' =
        \alpha\alpha' \odot (A x)_t + a_t \alpha'\beta + b_t \alpha' + \beta'$.
        """
        gain, shift = after.alpha, torch.zeros_like(after.alpha)
        if isinstance(before, Affine):
            gain, shift = after.alpha * before.alpha, after.alpha * before.shift()
        offset = self.matrix(self.max_len).sum(1, keepdim=True) * shift + after.shift()
        return gain, offset if self.bias is None else offset + self.bias[:, None] * after.alpha

    @torch.no_grad()
    def absorb(self, before: nn.Module, after: Affine) -> bool:
        """Takes the transformations before and after the mixing into itself, for inference.

        Returns:
            Whether `before` was absorbed too (an `Affine` can be, a LayerNorm cannot). `after` always is.
        """
        gain, self.offset = self.gain_and_offset(before, after)
        self.gain, self.bias = gain.clone(), None
        return isinstance(before, Affine)


class CausalTokenMixing(FoldableMixing):
    r"""Mixes every position with those before it and itself: A is lower triangular.

    Has two forms that give the same: `forward` for whole sequences (padding must be at the right, where nothing earlier
    sees it), `step` for one new position at a time.
    """

    def matrix(self, length: int) -> Tensor:
        """The lower triangle of the mixing matrix of `length` positions: (length, length)."""
        return super().matrix(length).tril()

    def step(self, history: Tensor, ancestors: Tensor) -> Tensor:
        """Mixes the newest position of every row with its history.

        Args:
            history: inputs of the steps so far, each written once and never moved: (steps * slots, dim).
            ancestors: where in `history` row r finds its input of step s, the newest last: (rows, steps).

        Returns:
            (rows, dim).
        """
        rows, steps = ancestors.shape
        newest = self.weight[steps - 1, :steps].to(history.dtype).expand(rows, steps)
        mixed = F.embedding_bag(ancestors, history, per_sample_weights=newest.contiguous(), mode="sum")
        if self.gain is not None and self.offset is not None:
            return torch.addcmul(self.offset[steps - 1], mixed, self.gain)
        return mixed if self.bias is None else mixed + self.bias[steps - 1]


class FullTokenMixing(FoldableMixing):
    """Mixes every position with every other in sequences that all have A's length, as the patches of an image."""

    def mix(self, x: Tensor) -> Tensor:
        """Maps (len, batch, dim) to (len, batch, dim)."""
        mixed = self._product(x)
        return mixed if self.bias is None else mixed + self.bias[:, None, None]

    def between(self, x: Tensor, before: nn.Module, after: Affine) -> Tensor:
        """`after(self(before(x)))`, the Affine transformations folded at each call; differentiable."""
        gain, offset = self.gain_and_offset(before, after)
        mixed = self._product(x if isinstance(before, Affine) else before(x))
        return torch.addcmul(offset[:, None], mixed, gain)

    def _product(self, x: Tensor) -> Tensor:
        """A x, without the bias."""
        matrix, columns = self.matrix(x.size(0)), x.reshape(x.size(0), -1)  # (len, batch * dim)
        usable = ONEDNN_IS_FASTER and columns.device.type == "cpu" and columns.dtype == torch.float32
        if not usable or torch.is_autocast_enabled("cpu") or torch.compiler.is_compiling():
            return (matrix @ columns).view_as(x)
        if torch.is_grad_enabled():
            return _Product.apply(matrix, columns).view_as(x)
        # Images repeat one shape, so that what oneDNN prepares for a new one pays at any size.
        return torch.ops.mkldnn._linear_pointwise(matrix, columns.t(), None, "none", [], "").view_as(x)

    def matrix(self, length: int) -> Tensor:
        """The whole matrix: (length, length).

        Raises:
            ResMLPError: if A has another number of positions.
        """
        require(length == self.max_len, "the number of patches", str(self.max_len), length, "resize the images")
        return self.weight


class _Product(torch.autograd.Function):
    r"""$y = A x$, whose gradients are $\dot y x^\top$ and $A^\top \dot y$, all with contiguous rows."""

    @staticmethod
    def forward(ctx: Any, matrix: Tensor, columns: Tensor) -> Tensor:
        ctx.save_for_backward(matrix, columns)
        return transposed_product(matrix, columns.t())

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None]:
        matrix, columns = ctx.saved_tensors
        wants_matrix, wants_columns = ctx.needs_input_grad
        return (
            transposed_product(gradient, columns) if wants_matrix else None,
            transposed_product(matrix.t(), gradient.t()) if wants_columns else None,
        )
