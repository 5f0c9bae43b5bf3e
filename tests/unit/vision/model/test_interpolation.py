"""Interpolated mixing matrices: shift equivariance, row sums, centre of mass, gradients."""

import pytest
import torch

from resmlp_mt.vision.model.interpolation import interpolate_class_weights, interpolate_mixing

FROM = (7, 5)
GRIDS = [(14, 10), (11, 8), (13, 5), (5, 3), (4, 4), (3, 9)]


def convolution(grid, kernel):
    """The matrix of a zero-padded convolution: A[i, k] = kernel[k - i], (patches, patches)."""
    rows, columns = grid
    half = kernel.size(0) // 2
    matrix = torch.zeros(rows, columns, rows, columns, dtype=kernel.dtype)
    for i in range(rows):
        for j in range(columns):
            for a in range(-half, half + 1):
                for b in range(-half, half + 1):
                    if 0 <= i + a < rows and 0 <= j + b < columns:
                        matrix[i, j, i + a, j + b] = kernel[half + a, half + b]
    return matrix.view(rows * columns, rows * columns)


def random_kernel(seed=1):
    return torch.randn(3, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("to_grid", [(16, 17), (13, 12), (12, 13)])
def test_shift_equivariance(to_grid):
    weight, _ = interpolate_mixing(convolution((9, 9), random_kernel()), None, (9, 9), to_grid)
    rows, columns = to_grid
    image = torch.zeros(rows, columns, dtype=torch.float64)
    # The receptive field of this small object lies within the grid, before and after the shift.
    image[rows // 2 - 1 : rows // 2 + 1, columns // 2] = torch.tensor([1.0, -2.0], dtype=torch.float64)
    response = (weight @ image.flatten()).view(to_grid)
    assert response.abs().max() > 0.1
    for shift in [(1, 0), (0, 1), (-1, 1)]:
        shifted = (weight @ image.roll(shift, (0, 1)).flatten()).view(to_grid)
        torch.testing.assert_close(shifted, response.roll(shift, (0, 1)), atol=1e-12, rtol=1e-12)


def test_identity_becomes_blur_on_doubled_grid():
    # Along one axis, the identity becomes a triangle filter of half-width 2 at offsets 0 and +-1: weights 1/2, 1/4,
    # 1/4. In two axes: their products.
    weight, _ = interpolate_mixing(torch.eye(35, dtype=torch.float64), None, FROM, (14, 10))
    response = weight.view(14, 10, 14, 10)[6, 4]
    blur = torch.tensor([0.25, 0.5, 0.25], dtype=torch.float64)
    torch.testing.assert_close(response[5:8, 3:6], torch.outer(blur, blur))
    assert response.count_nonzero() == 9


def test_same_grid_changes_nothing():
    weight, bias = torch.randn(35, 35), torch.randn(35)
    same_weight, same_bias = interpolate_mixing(weight, bias, FROM, FROM)
    assert torch.equal(same_weight, weight)
    assert torch.equal(same_bias, bias)
    assert torch.equal(interpolate_class_weights(bias, FROM, FROM), bias)


@pytest.mark.parametrize("to_grid", GRIDS)
def test_image_mean_is_preserved(to_grid):
    patches = to_grid[0] * to_grid[1]
    weight, bias = interpolate_mixing(torch.full((35, 35), 1 / 35), torch.full((35,), 0.3), FROM, to_grid)
    assert weight.shape == (patches, patches)
    torch.testing.assert_close(weight.sum(1), torch.ones(patches))
    torch.testing.assert_close(bias, torch.full((patches,), 0.3))
    assert weight.min() >= 0


@pytest.mark.parametrize("to_grid", GRIDS)
def test_row_sums_stay_in_range(to_grid):
    weight = torch.randn(35, 35, generator=torch.Generator().manual_seed(2))
    sums, new_sums = weight.sum(1), interpolate_mixing(weight, None, FROM, to_grid)[0].sum(1)
    assert new_sums.max() <= sums.max() + 1e-5
    assert new_sums.min() >= sums.min() - 1e-5
    assert new_sums.std() > 0.1


@pytest.mark.parametrize("to_grid", GRIDS)
def test_class_weights_keep_sum_and_centre_of_mass(to_grid):
    weight = torch.zeros(7, 5)
    weight[5, 1] = 3.0  # at the lower left of the image
    moved = interpolate_class_weights(weight.flatten(), FROM, to_grid).view(to_grid)
    assert moved.sum().item() == pytest.approx(3.0, abs=1e-5)
    rows, columns = to_grid
    # Centre of mass, as a fraction of the image; an edge may shift it by less than a patch.
    low = (moved.sum(1) * (torch.arange(rows) + 0.5)).sum() / 3 / rows
    left = (moved.sum(0) * (torch.arange(columns) + 0.5)).sum() / 3 / columns
    assert low.item() == pytest.approx(5.5 / 7, abs=0.3 / rows)
    assert left.item() == pytest.approx(1.5 / 5, abs=0.3 / columns)


def test_rows_and_columns_are_not_swapped():
    below = torch.zeros(3, 3, dtype=torch.float64)
    below[2, 1] = 1.0  # every patch reads the one below it
    weight, _ = interpolate_mixing(convolution(FROM, below), None, FROM, (14, 10))
    response = weight.view(14, 10, 14, 10)[6, 4]
    assert response[8, 4] == response.max()  # one patch of the old grid is two of the new grid


def test_every_weight_gets_a_gradient():
    weight, bias = torch.randn(35, 35, requires_grad=True), torch.randn(35, requires_grad=True)
    new_weight, new_bias = interpolate_mixing(weight, bias, FROM, (4, 3))
    (new_weight.square().sum() + new_bias.square().sum()).backward()
    assert weight.grad.ne(0).all()
    assert bias.grad.ne(0).all()
