"""Matmuls by the library that `dispatch` chooses, with gradients where they are needed.

Named after BLAS: in `matmul_nt` the second factor is transposed, in `matmul_tn` the first.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from resmlp_mt.nn.kernels.dispatch import is_rewritten, prefers_onednn, prefers_onednn_for


def linear(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    r"""`torch.nn.functional.linear`, $y = x W^\top + b$, differentiable.

    Args:
        x: (..., in_features).
        weight: (out_features, in_features).
        bias: (out_features,), or None.

    Returns:
        (..., out_features).
    """
    if is_rewritten() or not prefers_onednn_for(x, weight.size(0)):
        return F.linear(x, weight, bias)
    inputs = (x, weight) if bias is None else (x, weight, bias)
    if torch.is_grad_enabled() and any(tensor.requires_grad for tensor in inputs):
        return _Linear.apply(x.reshape(-1, x.size(-1)), weight, bias).view(*x.shape[:-1], -1)
    return matmul_nt(x, weight, bias)


def mixing_matmul(matrix: Tensor, x: Tensor) -> Tensor:
    r"""$y = A x$, differentiable; for shapes that repeat, as those of images do.

    oneDNN's set-up of a new shape then pays at any size.

    Args:
        matrix: A, (len, len).
        x: (len, batch * dim).

    Returns:
        (len, batch * dim).
    """
    if not prefers_onednn(x) or is_rewritten():
        return matrix @ x
    if torch.is_grad_enabled():
        return _MixingMatmul.apply(matrix, x)
    return _onednn_linear(matrix, x.t(), None)


def matmul_nt(a: Tensor, b: Tensor, bias: Tensor | None = None) -> Tensor:
    r"""$a b^\top$ plus a bias; not differentiable.

    Args:
        a: (..., inner), of any strides.
        b: (columns, inner), of any strides.
        bias: (columns,), or None.

    Returns:
        (..., columns).
    """
    if not prefers_onednn_for(a, b.size(0)):
        return F.linear(a, b, bias)
    rows = a.reshape(-1, a.size(-1))
    product = _onednn_linear(_pad_rows(rows), b, bias)
    return product[: rows.size(0)].view(*a.shape[:-1], -1)


def matmul_tn(a: Tensor, b: Tensor) -> Tensor:
    r"""$a^\top b$: (rows, m) and (rows, n) to (m, n); not differentiable."""
    if not prefers_onednn_for(a, b.size(1)):
        return a.t() @ b
    return _onednn_linear(_pad_rows(a).t(), _pad_rows(b).t(), None)


def _onednn_linear(a: Tensor, b: Tensor, bias: Tensor | None) -> Tensor:
    return torch.ops.mkldnn._linear_pointwise(a, b, bias, "none", [], "")


def _pad_rows(x: Tensor) -> Tensor:
    """Adds rows of zeros, at most a sixteenth: (rows, dim) to (padded rows, dim).

    oneDNN caches code for every shape that it has multiplied, some of it without a limit: a thousand batches of
    different sizes would take more than a GiB. With these rows there are 16 sizes between two powers of two.
    """
    extra = -x.size(0) % (1 << max(0, x.size(0).bit_length() - 5))
    return F.pad(x, (0, 0, 0, extra)) if extra else x


class _Linear(torch.autograd.Function):
    r"""$y = x W^\top + b$, whose gradients are $\dot y W$, $\dot y^\top x$ and the sum of $\dot y$ over rows."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(x, weight)
        return matmul_nt(x, weight, bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        x, weight = ctx.saved_tensors
        needs_x, needs_weight, needs_bias = ctx.needs_input_grad
        return (
            matmul_nt(gradient, weight.t()) if needs_x else None,
            matmul_tn(gradient, x) if needs_weight else None,
            gradient.sum(0) if needs_bias else None,
        )


class _MixingMatmul(torch.autograd.Function):
    r"""$y = A x$, whose gradients are $\dot y x^\top$ and $A^\top \dot y$, all with contiguous rows."""

    @staticmethod
    def forward(ctx: Any, matrix: Tensor, x: Tensor) -> Tensor:
        ctx.save_for_backward(matrix, x)
        return matmul_nt(matrix, x.t())

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None]:
        matrix, x = ctx.saved_tensors
        needs_matrix, needs_x = ctx.needs_input_grad
        return (
            matmul_nt(gradient, x) if needs_matrix else None,
            matmul_nt(matrix.t(), gradient.t()) if needs_x else None,
        )
