"""Draws the model for the README.

python scripts/draw_model.py docs/model.svg
"""

from __future__ import annotations

import sys

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import FancyBboxPatch, Rectangle

matplotlib.rcParams["svg.hashsalt"] = "model"  # makes the file reproducible
MIXING, ATTENTION, CHANNELS, PLAIN = "#cfe8d5", "#fbe0c3", "#d5e1f5", "#eeeeee"


def box(axes: Axes, x: float, y: float, text: str, colour: str, width: float = 3.2, height: float = 0.62) -> None:
    """Draws a box with text; `x` is its centre, `y` its bottom."""
    axes.add_patch(
        FancyBboxPatch(
            (x - width / 2, y), width, height, boxstyle="round,pad=0.02,rounding_size=0.12", fc=colour, ec="#555555"
        )
    )
    axes.text(x, y + height / 2, text, ha="center", va="center", fontsize=10)


def arrow(axes: Axes, start: tuple[float, float], end: tuple[float, float], style: str = "-|>") -> None:
    """Draws an arrow."""
    axes.annotate("", end, start, arrowprops={"arrowstyle": style, "color": "#333333", "lw": 1.2})


def stack(axes: Axes, x: float, blocks: list[tuple[str, str]], bottom: float, count: str) -> float:
    """Draws the residual blocks of a layer in a frame; returns the height of its top."""
    y = bottom
    for text, colour in blocks:
        box(axes, x, y + 0.25, text, colour)
        # the residual connection around the block
        axes.plot([x, x - 1.95, x - 1.95, x], [y + 0.05, y + 0.05, y + 1.05, y + 1.05], color="#999999", lw=1)
        arrow(axes, (x, y - 0.05), (x, y + 0.25))
        arrow(axes, (x, y + 0.87), (x, y + 1.15), "-")
        y += 1.15
    axes.add_patch(
        FancyBboxPatch(
            (x - 2.2, bottom - 0.1), 4.4, y - bottom + 0.1, boxstyle="round,pad=0.05", fc="none", ec="#aaaaaa", ls="--"
        )
    )
    axes.text(x + 2.35, (bottom + y) / 2, count, fontsize=12, va="center")
    return y


def matrix(axes: Axes, x: float, y: float, causal: bool) -> None:
    """Draws the mixing matrix A, full or causal (lower triangular)."""
    values = np.random.default_rng(5).uniform(0.25, 1, (7, 7))
    values = np.tril(values) if causal else values
    axes.imshow(values, extent=(x, x + 1.1, y, y + 1.1), cmap="Greens", vmin=0, vmax=1.3, zorder=3, aspect="auto")
    axes.add_patch(Rectangle((x, y), 1.1, 1.1, fill=False, ec="#555555", zorder=4))
    axes.text(x + 0.55, y - 0.3, "A, triangular" if causal else "A", ha="center", fontsize=9)


def main(path: str) -> None:
    """Writes the figure."""
    figure, axes = plt.subplots(figsize=(10, 6.6))
    encoder = [("mix positions:  A · Aff(x)", MIXING), ("MLP over channels", CHANNELS)]
    decoder = [
        ("mix so far:  A · Aff(x)", MIXING),
        ("attend to the source", ATTENTION),
        ("MLP over channels", CHANNELS),
    ]
    box(axes, 3.6, 0.1, "source tokens, left-aligned", PLAIN)
    box(axes, 10.4, 0.1, "target tokens so far", PLAIN)
    box(axes, 3.6, 1.1, "embedding", PLAIN)
    box(axes, 10.4, 1.1, "embedding", PLAIN)
    for x in (3.6, 10.4):
        arrow(axes, (x, 0.72), (x, 1.1))
        arrow(axes, (x, 1.72), (x, 2.15))
    top_encoder = stack(axes, 3.6, encoder, 2.2, "× 6\nor 12")
    top_decoder = stack(axes, 10.4, decoder, 2.2, "× 6\nor 12")
    box(axes, 3.6, top_encoder + 0.3, "Aff", PLAIN)
    box(axes, 10.4, top_decoder + 0.3, "Aff, output projection", PLAIN)
    box(axes, 10.4, top_decoder + 1.3, "next target token", PLAIN)
    arrow(axes, (3.6, top_encoder), (3.6, top_encoder + 0.3))
    arrow(axes, (10.4, top_decoder), (10.4, top_decoder + 0.3))
    arrow(axes, (10.4, top_decoder + 0.92), (10.4, top_decoder + 1.3))
    memory = 2.2 + 1.15 + 0.25 + 0.31
    axes.plot([5.2, 7.0, 7.0], [top_encoder + 0.61, top_encoder + 0.61, memory], color="#333333", lw=1.2)
    arrow(axes, (7.0, memory), (8.8, memory))
    axes.text(5.3, top_encoder + 0.75, "keys, values:\nonce per sentence", fontsize=9)
    matrix(axes, 0.1, 2.55, causal=False)
    matrix(axes, 13.75, 2.55, causal=True)
    axes.set_xlim(-0.1, 15.2)
    axes.set_ylim(-0.1, top_decoder + 2.1)
    axes.axis("off")
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None} if path.endswith("svg") else None, dpi=110)


if __name__ == "__main__":
    main(sys.argv[1])
