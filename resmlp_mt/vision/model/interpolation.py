"""Interpolation of mixing matrices to other grids of patches than in training."""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor

Grid = tuple[int, int]


def interpolate_mixing(
    weight: Tensor, bias: Tensor | None, from_grid: Grid, to_grid: Grid
) -> tuple[Tensor, Tensor | None]:
    r"""Interpolates a mixing matrix to another grid, over outputs and inputs; differentiable.

    Row i of A is an image of the weights of patch i on each patch k. In early layers these look like convolutions
    (arXiv:2105.03404, figure 2): a weight depends on the offset k - i. Along each axis, with s the ratio of the old to
    the new number of patches:

    - Outputs: the centre of the new patch i' is at $u = (i' + 1/2)s - 1/2$ on the old grid; row i' is the linear
      interpolation of the two neighbouring old rows i.
    - Inputs: the weight of i on k moves to the position $i' + (k - i)/s$, so that the kernel moves with its patch and
      is scaled with the grid. It is spread over the new patches with a triangle of half-width $\max(1, 1/s)$,
      normalized to sum 1, which preserves the sum of a row. Positions beyond the edge are clamped to it.

    A convolution, $A_{ik} = w_{k-i}$, stays a convolution: the response remains shift-equivariant. With equal grids the
    matrix is unchanged. Rows and columns of the grid are treated separately.

    Note: the paper does not specify how to change the resolution. Interpolating A separately in i and k would attenuate
    a convolution between the old grid points, and its response would depend on the position.

    Args:
        weight: A, (patches, patches), patches in row-major order of `from_grid`.
        bias: b, (patches,), or None; interpolated linearly like the outputs.
        from_grid: rows and columns of patches of `weight`.
        to_grid: rows and columns of patches of the result.

    Returns:
        A and b for `to_grid`.
    """
    if from_grid == to_grid:
        return weight, bias
    (rows, columns), (new_rows, new_columns) = from_grid, to_grid
    by_axis = weight.view(rows, columns, rows, columns).transpose(1, 2).reshape(rows * rows, columns * columns)
    along_rows = _pairs(rows, new_rows).to(weight)
    along_columns = _pairs(columns, new_columns).to(weight)
    moved = (along_rows @ by_axis @ along_columns.t()).view(new_rows, new_rows, new_columns, new_columns)
    new_weight = moved.transpose(1, 2).reshape(new_rows * new_columns, new_rows * new_columns)
    if bias is None:
        return new_weight, None
    outputs = _anchors(rows, new_rows).to(bias) @ bias.view(from_grid) @ _anchors(columns, new_columns).to(bias).t()
    return new_weight, outputs.flatten()


def interpolate_class_weights(weight: Tensor, from_grid: Grid, to_grid: Grid) -> Tensor:
    """Interpolates the class embedding's weights on the patches to another grid: (patches,) to (new patches,).

    Each weight is spread around its position in the image as in `interpolate_mixing`, which preserves the sum.
    """
    if from_grid == to_grid:
        return weight
    spread_rows, spread_columns = (
        _spread(_centres(old, new), new, old / new).to(weight) for old, new in zip(from_grid, to_grid, strict=True)
    )
    return (spread_rows.t() @ weight.view(from_grid) @ spread_columns).flatten()


def _centres(old: int, new: int) -> Tensor:
    """Returns the centres of the old patches of an axis in coordinates of the new axis, (old,)."""
    return (torch.arange(old, dtype=torch.float64) + 0.5) * (new / old) - 0.5


@lru_cache(maxsize=64)
def _anchors(old: int, new: int) -> Tensor:
    """Returns the linear interpolation weights of the old outputs for each new output, (new, old); rows sum to 1."""
    position = _centres(new, old).clamp(0, old - 1)  # of the new patches on the old axis
    return (1 - (position[:, None] - torch.arange(old, dtype=torch.float64)).abs()).clamp_min(0)


def _spread(position: Tensor, new: int, scale: float) -> Tensor:
    """Spreads a unit weight at a position of the new axis over its patches: (...,) to (..., new), rows sum to 1."""
    half_width = max(1.0, 1 / scale)
    distance = position.clamp(0, new - 1)[..., None] - torch.arange(new, dtype=torch.float64)
    triangle = (1 - distance.abs() / half_width).clamp_min(0)
    return triangle / triangle.sum(-1, keepdim=True)


@lru_cache(maxsize=64)
def _pairs(old: int, new: int) -> Tensor:
    """Returns the weight of the old pair (i, k) in the new pair (i', k') on one axis, (new * new, old * old)."""
    patch, new_patch = torch.arange(old, dtype=torch.float64), torch.arange(new, dtype=torch.float64)
    scale = old / new
    displacement = (patch[None, :] - patch[:, None]) / scale  # (i, k)
    spread = _spread(new_patch[:, None, None] + displacement, new, scale)  # (i', i, k, k')
    shared = _anchors(old, new)[:, :, None, None] * spread
    return shared.permute(0, 3, 1, 2).reshape(new * new, old * old)
