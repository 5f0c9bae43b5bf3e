"""Mixing matrices for grids of another size than they were trained on."""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor

Grid = tuple[int, int]


def interpolate_mixing(
    weight: Tensor, bias: Tensor | None, from_grid: Grid, to_grid: Grid
) -> tuple[Tensor, Tensor | None]:
    r"""Carries a mixing matrix over to another grid, on the grid of outputs and on that of inputs; differentiable.

    A row of A is a picture: what the patch i takes from each patch k. In these pictures early layers look like
    convolutions (arXiv:2105.03404, figure 2), so that what counts is where k lies as seen from i. Along each axis, with
    s the old number of patches over the new one:

    - Outputs: the new patch i' stands at $u = (i' + 1/2)s - 1/2$ of the old grid, between two old patches i, which
      share it with the weights of linear interpolation.
    - Inputs: what an old patch i takes from k, i' takes from $i' + (k - i)/s$: the picture moves with its patch and is
      stretched as the grid is. It is spread over the new patches with a triangle of half-width $\max(1, 1/s)$, which is
      scaled to the sum 1, so that the sum of a row stays; what would fall beyond the edge stays on the edge.

    So a matrix that is a convolution, $A_{ik} = w_{k-i}$, becomes a convolution: a shift of the image remains a shift
    of the response. On its own grid a matrix remains as it is. Rows and columns of the grid are treated apart.

    Note: the paper does not say how to change the resolution. To interpolate A as an image in i and in k apart would
    fade a convolution between its old places, and its response would depend on them.

    Args:
        weight: A, (patches, patches), patches row by row of `from_grid`.
        bias: b, (patches,), or None; it is interpolated linearly as the outputs are.
        from_grid, to_grid: rows and columns of patches.

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


def interpolate_gathering(weight: Tensor, from_grid: Grid, to_grid: Grid) -> Tensor:
    """Carries weights that gather all patches in one sum over to another grid: (patches,) to (new patches,).

    Each weight is spread around its place in the image as in `interpolate_mixing`, so that their sum stays.
    """
    if from_grid == to_grid:
        return weight
    spread_rows, spread_columns = (
        _spread(_centres(old, new), new, old / new).to(weight) for old, new in zip(from_grid, to_grid, strict=True)
    )
    return (spread_rows.t() @ weight.view(from_grid) @ spread_columns).flatten()


def _centres(old: int, new: int) -> Tensor:
    """Where the old patches of an axis lie on the new one: (old,)."""
    return (torch.arange(old, dtype=torch.float64) + 0.5) * (new / old) - 0.5


@lru_cache(maxsize=64)
def _anchors(old: int, new: int) -> Tensor:
    """Which old outputs share a new one, and how: (new, old), rows sum to 1."""
    place = _centres(new, old).clamp(0, old - 1)  # of the new patches on the old axis
    return (1 - (place[:, None] - torch.arange(old, dtype=torch.float64)).abs()).clamp_min(0)


def _spread(place: Tensor, new: int, scale: float) -> Tensor:
    """Spreads what belongs at a place of the new axis over its patches: (..., ) to (..., new), rows sum to 1."""
    half_width = max(1.0, 1 / scale)
    distance = place.clamp(0, new - 1)[..., None] - torch.arange(new, dtype=torch.float64)
    triangle = (1 - distance.abs() / half_width).clamp_min(0)
    return triangle / triangle.sum(-1, keepdim=True)


@lru_cache(maxsize=64)
def _pairs(old: int, new: int) -> Tensor:
    """What the pair (i', k') takes from the pair (i, k) along one axis: (new * new, old * old)."""
    patch, new_patch = torch.arange(old, dtype=torch.float64), torch.arange(new, dtype=torch.float64)
    scale = old / new
    displacement = (patch[None, :] - patch[:, None]) / scale  # (i, k)
    spread = _spread(new_patch[:, None, None] + displacement, new, scale)  # (i', i, k, k')
    shared = _anchors(old, new)[:, :, None, None] * spread
    return shared.permute(0, 3, 1, 2).reshape(new * new, old * old)
