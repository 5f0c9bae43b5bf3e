"""Figures of the mixing matrices of an image classifier, which mix the patches of an image."""

from __future__ import annotations

import numpy as np
from matplotlib import colormaps, rc_context
from matplotlib.axes import Axes
from matplotlib.colors import Colormap
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from resmlp_mt.inspect import figures
from resmlp_mt.inspect.matrices import Array, Stack
from resmlp_mt.inspect.measures import shift_profile

CENTRAL = 6  # the paper's figure 2 shows the central 6 x 6 patches
_MATRIX_PIXELS = 900  # approximate size of a whole matrix; each weight takes a whole number of pixels
_SMALL_PANELS_PER_ROW = 4


def row_mosaic(mixing: Array, grid: tuple[int, int], shown: int | None = None) -> Array:
    """Arranges the rows of A, each as an image of the grid, at the positions of their output patches.

    Source: arXiv:2105.03404, figure 2.

    Args:
        mixing: A, (rows * columns, rows * columns).
        grid: rows and columns of the patches.
        shown: number of central rows and columns of patches to include; None for all.

    Returns:
        The mosaic, with a line of NaN between neighbouring images.
    """
    rows, columns = grid
    rows_shown, columns_shown = (min(size, shown or size) for size in grid)
    top, left = (rows - rows_shown) // 2, (columns - columns_shown) // 2
    mosaic = np.full((rows_shown * (rows + 1) - 1, columns_shown * (columns + 1) - 1), np.nan)
    responses = mixing.reshape(rows, columns, rows, columns)
    for down in range(rows_shown):
        for right in range(columns_shown):
            y, x = down * (rows + 1), right * (columns + 1)
            mosaic[y : y + rows, x : x + columns] = responses[top + down, left + right]
    return mosaic


def draw_rows(stack: Stack) -> bytes:
    """Draws the central rows of A of each layer (the paper's figure 2)."""
    count = len(stack.layers)
    fills_rows = count % figures.PANELS_PER_ROW == 0
    figure, all_axes = figures.panels(count, 3.2 if fills_rows else 2.5, 3 if fills_rows else 4)
    for number, (axes, layer) in enumerate(zip(all_axes, stack.layers, strict=True), 1):
        limit = figures.color_limit(layer.mixing)
        _draw_image(figure, axes, row_mosaic(layer.mixing, stack.grid, CENTRAL), limit, f"layer {number}")
        axes.set_xticks([])
        axes.set_yticks([])
    return figures.png(figure)


def draw_whole(stack: Stack, number: int) -> bytes:
    """Draws all rows of A of layer `number` (from 1); every weight takes the same whole number of pixels."""
    mixing = stack.layers[number - 1].mixing
    mosaic = row_mosaic(mixing, stack.grid)
    limit = figures.color_limit(mixing)
    scale = max(1, _MATRIX_PIXELS // max(mosaic.shape))
    height, width = (scale * size for size in mosaic.shape)
    left, below, above, right = 70, 60, 50, 150
    full_height, full_width = height + below + above, width + left + right
    with rc_context(figures.STYLE):
        figure = Figure(figsize=(full_width / 100, full_height / 100), dpi=100)
        axes = figure.add_axes((left / full_width, below / full_height, width / full_width, height / full_height))
        bar_axes = figure.add_axes(
            (
                (left + width + 25) / full_width,
                (below + height / 4) / full_height,
                16 / full_width,
                height / 2 / full_height,
            )
        )
    image = axes.imshow(mosaic, cmap=_color_map(), vmin=-limit, vmax=limit, interpolation="nearest", aspect="auto")
    for axis, size in ((axes.xaxis, stack.grid[1]), (axes.yaxis, stack.grid[0])):
        step = max(1, -(-size // 14))
        patches = np.arange(0, size, step)
        axis.set_ticks((patches * (size + 1) + (size - 1) / 2).tolist(), [str(patch + 1) for patch in patches])
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.set_xlabel("column of the output patch")
    axes.set_ylabel("row of the output patch")
    axes.set_title(f"{stack.title}, layer {number}: rows of A at their output patches")
    figure.colorbar(image, cax=bar_axes, extend="both", label="weight").outline.set_visible(False)
    return figures.png(figure, dpi=100)


def draw_kernels(stack: Stack) -> bytes:
    """Draws the mean of A by the offset between patches, which is the closest convolution to each layer.

    Only offsets of at most half the grid are drawn; larger ones are averages over few weights.
    """
    figure, all_axes = figures.panels(len(stack.layers), 2.5, _SMALL_PANELS_PER_ROW)
    rows, columns = stack.grid
    down, right = max(1, rows // 2), max(1, columns // 2)
    for number, (axes, layer) in enumerate(zip(all_axes, stack.layers, strict=True), 1):
        mean = shift_profile(layer.mixing, stack.grid).mean
        kernel = mean[rows - 1 - down : rows + down, columns - 1 - right : columns + right]
        limit = float(np.abs(kernel).max()) or 1.0
        _draw_image(
            figure, axes, kernel, limit, f"layer {number}", (-right - 0.5, right + 0.5, down + 0.5, -down - 0.5)
        )
        axes.plot(0, 0, marker="+", color="black", markersize=7)
        axes.set_xlabel("patches to the right")
        axes.set_ylabel("patches down")
        for axis in ("x", "y"):
            axes.locator_params(axis=axis, integer=True)
    return figures.png(figure)


def draw_biases(stack: Stack) -> bytes | None:
    """Draws the bias of each patch on the grid, one panel per layer; None if there are no biases."""
    biases = [(number, layer.bias) for number, layer in enumerate(stack.layers, 1) if layer.bias is not None]
    if not biases:
        return None
    figure, all_axes = figures.panels(len(biases), 2.5, _SMALL_PANELS_PER_ROW)
    rows, columns = stack.grid
    for axes, (number, bias) in zip(all_axes, biases, strict=True):
        limit = float(np.abs(bias).max()) or 1.0
        extent = (0.5, columns + 0.5, rows + 0.5, 0.5)
        _draw_image(figure, axes, bias.reshape(stack.grid), limit, f"layer {number}", extent)
        axes.set_xlabel("column of the patch")
        axes.set_ylabel("row of the patch")
        for axis in ("x", "y"):
            axes.locator_params(axis=axis, integer=True)
    return figures.png(figure)


def _draw_image(
    figure: Figure,
    axes: Axes,
    values: Array,
    limit: float,
    title: str,
    extent: tuple[float, float, float, float] | None = None,
) -> None:
    image = axes.imshow(values, cmap=_color_map(), vmin=-limit, vmax=limit, interpolation="nearest", extent=extent)
    axes.set_title(title)
    axes.spines[:].set_visible(False)
    bar = figure.colorbar(image, ax=axes, shrink=0.75)
    bar.outline.set_visible(False)
    bar.ax.tick_params(labelsize=8)
    bar.locator = MaxNLocator(5, symmetric=True)
    bar.update_ticks()


def _color_map() -> Colormap:
    return colormaps[figures.DIVERGING].with_extremes(bad="#b4bec8")
