"""Figures for all models, sparsity (the paper's figure 3) and reach, and helpers for all figures.

Only matplotlib's `Figure` is used, which renders with Agg and needs no display.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from resmlp_mt.common import plot_style as figure_style
from resmlp_mt.common.plot_style import MUTED
from resmlp_mt.inspect.matrices import Array, Stack
from resmlp_mt.inspect.measures import THRESHOLD, LayerMeasures

# The colour-blind-safe palette of Okabe and Ito; lines differ in their markers too.
BLUE, ORANGE, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", MUTED
DIVERGING = "RdBu_r"  # blue negative, white zero, red positive
STYLE: Any = {**figure_style.STYLE, "axes.titlesize": 10.5}
_DPI = 110
_COLOR_PERCENTILE = 99.5  # of |weights|, the end of a colour scale; one outlier would make all others look white
PANELS_PER_ROW = 3


def png(figure: Figure, dpi: int = _DPI) -> bytes:
    """Renders a figure as PNG; the same figure gives the same bytes."""
    content = io.BytesIO()
    with rc_context(STYLE):
        figure.savefig(content, format="png", dpi=dpi, metadata={"Software": None})
    return content.getvalue()


def panels(count: int, height: float, per_row: int = PANELS_PER_ROW, sharey: bool = False) -> tuple[Figure, list[Axes]]:
    """A figure of page width with `count` panels, each `height` inches high."""
    columns = min(count, per_row)
    rows = -(-count // columns)
    with rc_context(STYLE):
        figure = Figure(figsize=(3.6 * columns + 0.4 if columns < per_row else 11, height * rows), layout="constrained")
        axes = figure.subplots(rows, columns, squeeze=False, sharey=sharey).ravel().tolist()
    for unused in axes[count:]:
        unused.remove()
    return figure, axes[:count]


def color_limit(weights: Array) -> float:
    """The limit of a diverging colour scale centred at zero, robust to outliers."""
    limit = float(np.percentile(np.abs(weights), _COLOR_PERCENTILE))
    return limit or float(np.abs(weights).max()) or 1.0


def draw_sparsity(stacks: Sequence[Stack], measures: Sequence[Sequence[LayerMeasures]]) -> bytes:
    """Draws the sparsity of A, B and C by layer.

    Source: arXiv:2105.03404, figure 3.

    Args:
        stacks: the stacks of a model.
        measures: the measures of each stack's layers.
    """
    figure, all_axes = panels(len(stacks), 3.9, 2, sharey=True)
    for axes, stack, layers in zip(all_axes, stacks, measures, strict=True):
        x = np.arange(1, len(layers) + 1)
        for label, color, marker, values in (
            ("A, token mixing", BLUE, "o", [m.sparsity_mixing for m in layers]),
            ("B, model dim to FFN dim", ORANGE, "s", [m.sparsity_expand for m in layers]),
            ("C, FFN dim to model dim", GREEN, "^", [m.sparsity_contract for m in layers]),
        ):
            axes.plot(x, 100 * np.array(values), color=color, marker=marker, label=label, clip_on=False)
        axes.set_title(stack.title)
        layer_axis(axes, len(layers))
        axes.set_ylim(0, 100)
    all_axes[0].set_ylabel(f"weights under {THRESHOLD:.0%} of the largest (%)")
    all_axes[0].legend(frameon=False)
    return png(figure)


def draw_reach(stacks: Sequence[Stack], measures: Sequence[Sequence[LayerMeasures]]) -> bytes:
    """Draws the mean distance of each layer, and how much of A is the same at every position."""
    figure, all_axes = panels(2 * len(stacks), 3.4, 2)
    for index, (stack, layers) in enumerate(zip(stacks, measures, strict=True)):
        distance, shares = all_axes[2 * index : 2 * index + 2]
        x = np.arange(1, len(layers) + 1)
        unit = "patches" if stack.is_image else "tokens"
        distance.plot(x, [m.distance for m in layers], color=BLUE, marker="o", label="weighted by |A|")
        distance.plot(x, [m.energy_distance for m in layers], color=GREEN, marker="^", label="weighted by A²")
        uniform = layers[0].uniform_distance
        distance.axhline(uniform, color=GREY, linestyle=(0, (4, 3)), label=f"equal weights: {uniform:.1f}")
        distance.set_ylim(0, 1.35 * max(uniform, *(m.distance for m in layers)))
        distance.set_ylabel(f"mean distance ({unit})")
        distance.set_title(f"{stack.title}: reach of each layer")
        distance.legend(frameon=False, loc="upper right", ncols=3, fontsize=9, columnspacing=1)
        shares.plot(
            x,
            [100 * m.shift_invariance for m in layers],
            color=ORANGE,
            marker="s",
            label="energy of the diagonal means",
        )
        noise = 100 * layers[0].shift_invariance_of_noise
        dashes = (0, (4, 3))
        shares.axhline(
            noise, color=ORANGE, linewidth=1, linestyle=dashes, label=f"the same for pure noise: {noise:.0f} %"
        )
        shares.plot(
            x, [100 * m.diagonal_share for m in layers], color=GREEN, marker="^", label="|A| on the main diagonal"
        )
        if not stack.is_image and not stack.causal:
            earlier = [100 * (m.earlier_share or 0.0) for m in layers]
            shares.plot(x, earlier, color=BLUE, marker="o", label="off-diagonal |A| on earlier positions")
        shares.set_ylim(0, 100)
        shares.set_ylabel("share (%)")
        shares.set_title(f"{stack.title}: composition of A")
        shares.legend(frameon=False, fontsize=9)
        for axes in (distance, shares):
            layer_axis(axes, len(layers))
    return png(figure)


def layer_axis(axes: Axes, layers: int) -> None:
    """Labels the x-axis with layer numbers."""
    axes.set_xlabel("layer (1 is closest to the input)")
    axes.set_xlim(0.7, layers + 0.3)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=12))
    axes.grid(True)
