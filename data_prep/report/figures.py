"""The figures of a data report, as SVG."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from resmlp_mt.common.plot_style import COLOURS, GRID, MUTED, STYLE, figure_svg

SRC_COLOR, TGT_COLOR, RATIO_COLOR = COLOURS[:3]
_MAX_BARS = 100
_CELLS = 60


def length_histogram(sizes: Sequence[NDArray[np.int32]], languages: Sequence[str]) -> str:
    """Draws the lengths of the sentences of both sides.

    Args:
        sizes: pieces in each training sentence, for each side `(pairs,)`.
        languages: source and target language.

    Returns:
        SVG.
    """
    figure, axes = _figure()
    longest = int(max(np.percentile(side, 99.9) for side in sizes))
    edges = np.arange(0, longest + 2, max(1, -(-longest // _MAX_BARS))) + 0.5
    for side, lang, color in zip(sizes, languages, (SRC_COLOR, TGT_COLOR), strict=True):
        _outline(axes, side, edges, color, lang)
    axes.set_xlabel("pieces in a sentence (dashed: median; the longest 0.1 % is not drawn)")
    axes.set_ylabel("% of sentences")
    axes.set_xlim(0, edges[-1])
    axes.legend(frameon=False, loc="upper right")
    return _svg(figure)


def ratio_histogram(sizes: Sequence[NDArray[np.int32]], languages: Sequence[str]) -> str:
    """Draws how much longer one side is than the other.

    Args:
        sizes: pieces in each training sentence, for each side `(pairs,)`.
        languages: source and target language.

    Returns:
        SVG.
    """
    figure, axes = _figure()
    # Ratios of small numbers take few values; spreading each over half a piece shows the shape of the distribution.
    spread = np.random.default_rng(1)
    src, tgt = (np.maximum(side, 1) + spread.uniform(-0.5, 0.5, len(side)) for side in sizes)
    ratio = np.log2(tgt / src)
    bound = 2.25
    _outline(axes, np.clip(ratio, -bound, bound), np.linspace(-bound, bound, 73), RATIO_COLOR)
    ticks = np.array([-2, -1, -0.585, 0, 0.585, 1, 2])
    axes.set_xticks(ticks, ["1/4", "1/2", "2/3", "1", "3/2", "2", "4"])
    axes.set_xlabel(f"pieces of {languages[1]} per piece of {languages[0]} (dashed: median)")
    axes.set_ylabel("% of pairs")
    return _svg(figure)


def length_plane(sizes: Sequence[NDArray[np.int32]], languages: Sequence[str]) -> str:
    """Draws the length of one side over that of the other; a straight ridge means that the sides are paired correctly.

    Args:
        sizes: pieces in each training sentence, for each side `(pairs,)`.
        languages: source and target language.

    Returns:
        SVG.
    """
    figure, axes = _figure()
    longest = float(max(np.percentile(side, 99.5) for side in sizes)) + 1
    cells = int(min(_CELLS, longest))
    counts, x_edges, y_edges = np.histogram2d(sizes[0], sizes[1], bins=cells, range=[[0, longest], [0, longest]])
    shown = np.ma.masked_equal(np.log10(np.maximum(counts.T, 0.5)), np.log10(0.5))
    mesh = axes.pcolormesh(x_edges, y_edges, shown, cmap="cividis_r", rasterized=True)
    axes.plot([0, longest], [0, longest], color=MUTED, linewidth=0.8, linestyle=(0, (4, 3)))
    axes.set_xlabel(f"pieces of {languages[0]}")
    axes.set_ylabel(f"pieces of {languages[1]}")
    bar = figure.colorbar(mesh, ax=axes, pad=0.02)
    powers = np.arange(0, int(np.log10(max(counts.max(), 1))) + 1)
    bar.set_ticks(powers.tolist(), labels=[f"{10**power:,}" for power in powers.tolist()])
    bar.set_label("pairs")
    bar.outline.set_visible(False)
    axes.grid(False)
    return _svg(figure)


def vocabulary_use(counts: Sequence[NDArray[np.int64]], languages: Sequence[str]) -> str:
    """Draws how often each piece is used, the most frequent first.

    Args:
        counts: occurrences of each piece in the training text, for each side `(pieces,)`.
        languages: source and target language.

    Returns:
        SVG.
    """
    figure, axes = _figure()
    for side, lang, color in zip(counts, languages, (SRC_COLOR, TGT_COLOR), strict=True):
        used = np.sort(side[side > 0])[::-1]
        axes.loglog(np.arange(1, len(used) + 1), used, color=color, linewidth=1.8, label=f"{lang}: {len(used):,} used")
    axes.set_xlabel("rank of the piece")
    axes.set_ylabel("occurrences in the training text")
    axes.legend(frameon=False, loc="upper right")
    return _svg(figure)


def _figure() -> tuple[Figure, Axes]:
    with rc_context(STYLE):
        figure = Figure(figsize=(6.4, 3.7), layout="constrained")
        axes = figure.add_subplot()
        axes.grid(color=GRID, linewidth=0.8)
        axes.tick_params(length=0)
    return figure, axes


def _outline(
    axes: Axes, values: NDArray[Any], edges: NDArray[np.floating[Any]], color: str, label: str | None = None
) -> None:
    """Draws the share of the values between neighbouring `edges`, and the median of the values."""
    share = 100 * np.histogram(values, edges)[0] / max(len(values), 1)
    axes.stairs(share, edges, color=color, fill=True, alpha=0.22)
    axes.stairs(share, edges, color=color, linewidth=1.6, label=label)
    axes.axvline(float(np.median(values)), color=color, linewidth=1.2, linestyle=(0, (4, 3)))


def _svg(figure: Figure) -> str:
    with rc_context(STYLE):
        return figure_svg(figure)
