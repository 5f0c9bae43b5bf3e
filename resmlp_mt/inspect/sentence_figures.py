"""Figures of the mixing matrices of a translation model, which mix the positions of a sentence."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes

from resmlp_mt.inspect import figures
from resmlp_mt.inspect.matrices import Stack
from resmlp_mt.inspect.measures import shift_profile


def draw_heat_maps(stack: Stack) -> bytes:
    """Draws A of each layer as a heat map; positions above the diagonal of a causal A are grey."""
    figure, all_axes = figures.panels(len(stack.layers), 3.1)
    color_map = colormaps[figures.DIVERGING].with_extremes(bad="#d5d9dd")
    for number, (axes, layer) in enumerate(zip(all_axes, stack.layers, strict=True), 1):
        later = np.triu(np.ones_like(layer.mixing, dtype=bool), 1) & stack.causal
        limit = figures.color_limit(layer.mixing[~later])
        image = axes.imshow(
            np.ma.masked_array(layer.mixing, later),
            cmap=color_map,
            vmin=-limit,
            vmax=limit,
            interpolation="nearest",
            extent=(0.5, stack.positions + 0.5, stack.positions + 0.5, 0.5),
        )
        axes.set_title(f"{stack.title}, layer {number}: A[t, s]")
        _label_positions(axes, "input position s (token)")
        axes.set_ylabel("output position t (token)")
        axes.locator_params(axis="y", integer=True)
        figure.colorbar(image, ax=axes, fraction=0.046, pad=0.03, extend="both").outline.set_visible(False)
    return figures.png(figure)


def draw_diagonals(stack: Stack) -> bytes:
    """Draws the mean of A and of |A| over each diagonal, by offset.

    Only offsets of at most half the length are drawn; larger ones are averages over few weights.
    """
    figure, all_axes = figures.panels(len(stack.layers), 2.7, sharey=True)
    max_offset = max(1, stack.positions // 2)
    spread_label = "± mean |A[t, t + d]|"
    offsets = np.arange(-max_offset, 1 if stack.causal else max_offset + 1)
    for number, (axes, layer) in enumerate(zip(all_axes, stack.layers, strict=True), 1):
        profile = shift_profile(layer.mixing, stack.grid, stack.causal)
        drawn = offsets + stack.positions - 1
        magnitude, mean = profile.magnitude[0, drawn], profile.mean[0, drawn]
        axes.fill_between(
            offsets, -magnitude, magnitude, color=figures.GREY, alpha=0.25, linewidth=0, label=spread_label
        )
        axes.axhline(0, color=figures.GREY, linewidth=0.8)
        axes.plot(offsets, mean, color=figures.BLUE, marker="o", markersize=3, linewidth=1.4, label="mean A[t, t + d]")
        axes.set_title(f"{stack.title}, layer {number}")
        axes.set_xlabel("offset d (tokens; negative: earlier)")
        axes.set_ylabel("weight")
        axes.tick_params(labelleft=True)
        axes.grid(True)
        axes.locator_params(axis="x", integer=True)
    figure.legend(*all_axes[0].get_legend_handles_labels(), loc="outside upper left", ncols=2, frameon=False)
    return figures.png(figure)


def draw_biases(stacks: Sequence[Stack]) -> bytes | None:
    """Draws the bias of each position, one row per layer; None if no layer has biases."""
    shown = [stack for stack in stacks if any(layer.bias is not None for layer in stack.layers)]
    if not shown:
        return None
    figure, all_axes = figures.panels(len(shown), 3.6, 2)
    for axes, stack in zip(all_axes, shown, strict=True):
        biases = np.array([layer.bias for layer in stack.layers if layer.bias is not None])
        limit = figures.color_limit(biases)
        image = axes.imshow(
            biases,
            cmap=figures.DIVERGING,
            vmin=-limit,
            vmax=limit,
            aspect="auto",
            interpolation="nearest",
            extent=(0.5, stack.positions + 0.5, len(biases) + 0.5, 0.5),
        )
        axes.set_title(f"{stack.title}: bias of each position")
        _label_positions(axes, "position t (token)")
        axes.set_ylabel("layer")
        axes.locator_params(axis="y", integer=True)
        figure.colorbar(image, ax=axes, extend="both", label="b[t]").outline.set_visible(False)
    return figures.png(figure)


def draw_row_norms(stacks: Sequence[Stack]) -> bytes:
    """Draws the norm of each row of A over all positions, which shows up to where the rows were trained."""
    figure, all_axes = figures.panels(len(stacks), 3.4, 2)
    for axes, stack in zip(all_axes, stacks, strict=True):
        shades = colormaps["viridis"](np.linspace(0, 0.9, len(stack.layers)))
        x = np.arange(1, stack.positions + 1)
        for number, (layer, shade) in enumerate(zip(stack.layers, shades, strict=True), 1):
            axes.plot(x, np.linalg.norm(layer.mixing, axis=1), color=shade, linewidth=1.4, label=f"layer {number}")
        if stack.trained is not None:
            label = f"last non-zero bias: {stack.trained}"
            axes.axvline(stack.trained, color=figures.GREY, linestyle=(0, (4, 3)), linewidth=1.2, label=label)
        axes.set_title(f"{stack.title}: norm of each row of A")
        _label_positions(axes, "output position t (token)")
        axes.set_ylim(bottom=0)
        axes.set_ylabel("Euclidean norm of A[t, :]")
        axes.grid(True)
        axes.legend(frameon=False, fontsize=9, ncols=2)
    return figures.png(figure)


def _label_positions(axes: Axes, label: str) -> None:
    axes.set_xlabel(label)
    axes.locator_params(axis="x", integer=True)
