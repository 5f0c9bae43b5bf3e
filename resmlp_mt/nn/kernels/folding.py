r"""Folding Affine transformations, $\alpha \odot x + \beta$, into the weights next to them.

Source: arXiv:2105.03404, section 2: at inference the Affine can be absorbed by the linear layer next to it.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


def fold_input(weight: Tensor, bias: Tensor, alpha: Tensor, beta: Tensor) -> tuple[Tensor, Tensor]:
    r"""Folds an Affine in front of a linear layer; differentiable.

    $W(\alpha \odot x + \beta) + b = (W\,\mathrm{diag}(\alpha))x + (W\beta + b)$

    Args:
        weight: W, (out_features, in_features).
        bias: b, (out_features,).
        alpha: scale of the Affine, (in_features,).
        beta: bias of the Affine, (in_features,).

    Returns:
        The folded weight and bias, of the same shapes.
    """
    return weight * alpha, bias + weight @ beta


@torch.no_grad()
def fold_input_(layer: nn.Linear, alpha: Tensor, beta: Tensor) -> None:
    """`fold_input` in place."""
    layer.bias.add_(layer.weight @ beta)
    layer.weight.mul_(alpha)


@torch.no_grad()
def fold_output_(layer: nn.Linear, alpha: Tensor, beta: Tensor) -> None:
    r"""Folds an Affine behind a linear layer, in place.

    $\alpha \odot (Wx + b) + \beta = (\mathrm{diag}(\alpha)W)x + (\alpha \odot b + \beta)$

    Args:
        layer: W and b.
        alpha: scale of the Affine, (out_features,).
        beta: bias of the Affine, (out_features,).
    """
    layer.weight.mul_(alpha[:, None])
    layer.bias.mul_(alpha).add_(beta)


def fold_mixing(
    matrix: Tensor, bias: Tensor | None, pre: tuple[Tensor, Tensor] | None, post: tuple[Tensor, Tensor]
) -> tuple[Tensor, Tensor]:
    r"""Folds the Affines around a mixing into a gain per feature, and an offset per position and feature.

    With $a_t$ the sum of row t of A,
    $\alpha' \odot (A(\alpha \odot x + \beta) + b)_t + \beta' =
    \alpha'\alpha \odot (A x)_t + a_t \alpha'\beta + b_t \alpha' + \beta'$. Differentiable.

    Args:
        matrix: A, (len, len).
        bias: b, (len,), or None.
        pre: alpha and beta in front of the mixing, both (dim,); None if there is nothing to fold.
        post: alpha' and beta' behind it, both (dim,).

    Returns:
        The gain (dim,) and the offset (len, dim).
    """
    post_alpha, post_beta = post
    if pre is None:
        gain, shift = post_alpha, torch.zeros_like(post_alpha)
    else:
        gain, shift = post_alpha * pre[0], post_alpha * pre[1]
    offset = matrix.sum(1, keepdim=True) * shift + post_beta
    return gain, offset if bias is None else offset + bias[:, None] * post_alpha
