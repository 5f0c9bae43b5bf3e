"""A figure of an evaluation: confusion matrix, accuracy per class, most frequent confusions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resmlp_mt.common import files
from resmlp_mt.common.errors import ResMLPError

_KINDS = (".png", ".svg", ".pdf")
_NAMED_CLASSES = 30  # maximum number of class names that fit next to the matrix
_BLOCKS = 250  # rows of cells for a matrix of more classes
_CONFUSIONS = 15
_MAX_NAME_LENGTH = 22
_DARK_SHARE = 60  # percent, above which black numbers on blue are hard to read
_BLUE, _ORANGE, _GREY = "#0072B2", "#D55E00", "#5b6b7b"  # distinguishable with colour vision deficiencies


def draw_confusions(path: Path, report: dict[str, Any], matrix: NDArray[np.int64]) -> None:
    """Draws the confusions of an evaluation.

    The matrix of up to 30 classes shows names and counts; with more classes, neighbouring classes share a cell.

    Args:
        path: output file; its extension selects the format.
        report: report of `resmlp_mt.vision.inference.evaluation.describe`.
        matrix: counts of images of class i predicted as class j, (classes, classes).

    Raises:
        ResMLPError: if matplotlib is not installed or the file extension is unknown.
    """
    if path.suffix not in _KINDS:
        raise ResMLPError(f"--figure {path} has an unknown file extension; use one of {', '.join(_KINDS)}")
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ResMLPError("--figure requires matplotlib; run `pip install matplotlib`, or leave it out") from error
    figure = Figure(figsize=(13, 7.6), layout="constrained")
    grid = figure.add_gridspec(2, 2, width_ratios=[1.25, 1])
    few = len(matrix) <= _NAMED_CLASSES
    (_draw_named if few else _draw_blocks)(figure, figure.add_subplot(grid[:, 0]), report, matrix)
    (_draw_accuracies if few else _draw_histogram)(figure.add_subplot(grid[0, 1]), report)
    _draw_worst(figure.add_subplot(grid[1, 1]), report)
    interval = " to ".join(f"{bound:.1%}" for bound in report["top1"]["interval"])
    figure.suptitle(f"top-1 {report['top1']['share']:.1%} ({interval}) of {report['pictures']:,} images")
    with files.whole_file(path) as partial:
        figure.savefig(partial, format=path.suffix[1:], dpi=110)


def _shares(matrix: NDArray[np.int64]) -> NDArray[np.float64]:
    """Returns percentages of the images of each class; zeros for a class without images."""
    return 100 * matrix / np.maximum(matrix.sum(1, keepdims=True), 1)


def _draw_named(figure: Any, axes: Any, report: dict[str, Any], matrix: NDArray[np.int64]) -> None:
    names = [_short(row["class"]) for row in report["by_class"]]
    shares, diagonal = _shares(matrix), np.eye(len(matrix), dtype=bool)
    axes.imshow(np.ma.masked_array(shares, ~diagonal), cmap="Blues", vmin=0, vmax=130)
    largest = max(float(shares[~diagonal].max(initial=0.0)), 1.0)
    empty = diagonal | (matrix == 0)
    wrong = axes.imshow(np.ma.masked_array(shares, empty), cmap="Oranges", vmin=-0.2 * largest, vmax=1.3 * largest)
    size = max(5.0, min(10.0, 170 / len(matrix)))
    for (row, column), count in np.ndenumerate(matrix):
        if count or row == column:
            color = "white" if row == column and shares[row, column] > _DARK_SHARE else "black"
            axes.text(column, row, str(count), ha="center", va="center", fontsize=size, color=color)
    turned = 0 if max(map(len, names)) * len(names) <= 60 else 90
    axes.set_xticks(range(len(names)), names, rotation=turned, fontsize=size)
    axes.set_yticks(range(len(names)), names, fontsize=size)
    axes.tick_params(length=0)
    axes.set_xlabel("predicted class")
    axes.set_ylabel("true class")
    axes.set_title("Confusion matrix (number of images)")
    bar = figure.colorbar(wrong, ax=axes, location="bottom", shrink=0.45, pad=0.02, label="wrong (% of the class)")
    bar.ax.set_xlim(0, largest)
    bar.outline.set_visible(False)
    axes.spines[:].set_color("#c5ccd3")


def _draw_blocks(figure: Any, axes: Any, _report: dict[str, Any], matrix: NDArray[np.int64]) -> None:
    from matplotlib.colors import LogNorm
    from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

    classes, side = len(matrix), -(-len(matrix) // _BLOCKS)
    shares = _shares(matrix)
    np.fill_diagonal(shares, 0.0)
    padding = -classes % side
    shares = np.pad(shares, ((0, padding), (0, padding)))
    blocks = shares.reshape(len(shares) // side, side, -1, side).max((1, 3))
    extent = (-0.5, len(shares) - 0.5, len(shares) - 0.5, -0.5)
    least = float(blocks[blocks > 0].min(initial=1.0))
    shown = axes.imshow(
        np.ma.masked_equal(blocks, 0.0),
        cmap="cividis_r",
        norm=LogNorm(least, max(float(blocks.max()), 2 * least)),
        extent=extent,
        interpolation="nearest",
    )
    axes.set_xlabel("predicted class (index)")
    axes.set_ylabel("true class (index)")
    of_block = f"; a cell is the maximum over {side} x {side} classes" if side > 1 else ""
    axes.set_title(f"Confusions of {classes:,} classes (white: none{of_block})", fontsize=11)
    bar = figure.colorbar(shown, ax=axes, location="bottom", shrink=0.6, pad=0.02, label="wrong (% of the class)")
    bar.ax.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    bar.ax.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    bar.ax.xaxis.set_minor_formatter(NullFormatter())
    bar.outline.set_visible(False)


def _draw_accuracies(axes: Any, report: dict[str, Any]) -> None:
    rows = [row for row in report["by_class"] if row["pictures"]]
    shares = 100 * np.array([row["share"] for row in rows])
    low, high = (100 * np.array([row["interval"][end] for row in rows]) for end in (0, 1))
    positions = np.arange(len(rows))
    axes.errorbar(
        shares, positions, xerr=[shares - low, high - shares], fmt="o", color=_BLUE, ecolor=_GREY, markersize=4
    )
    axes.axvline(100 * report["top1"]["share"], color=_ORANGE, linestyle=(0, (4, 3)), linewidth=1)
    size = max(5.0, min(10.0, 170 / len(rows)))
    axes.set_yticks(positions, [_short(row["class"]) for row in rows], fontsize=size)
    axes.invert_yaxis()
    axes.set_xlabel("accuracy (%; bars: 95 % Wilson interval; dashed: overall)")
    axes.set_title("Accuracy per class")
    _tidy(axes)


def _draw_histogram(axes: Any, report: dict[str, Any]) -> None:
    shares = [100 * row["share"] for row in report["by_class"] if row["pictures"]]
    axes.hist(shares, bins=np.linspace(0, 100, 21), color=_BLUE, edgecolor="white")
    axes.axvline(float(np.median(shares)), color=_ORANGE, linestyle=(0, (4, 3)), linewidth=1.2)
    axes.set_xlabel("accuracy of a class (%; dashed: median)")
    axes.set_ylabel("number of classes")
    axes.set_title("Accuracy per class")
    _tidy(axes)


def _draw_worst(axes: Any, report: dict[str, Any]) -> None:
    worst = report["confusions"][:_CONFUSIONS]
    axes.set_title("Most frequent confusions (true → predicted)" if worst else "No confusions")
    if not worst:
        axes.set_axis_off()
        return
    positions = np.arange(len(worst))
    axes.barh(positions, [row["pictures"] for row in worst], color=_ORANGE)
    names = [f"{_short(row['class'])} → {_short(row['taken_for'])}" for row in worst]
    axes.set_yticks(positions, names, fontsize=8)
    axes.invert_yaxis()
    axes.locator_params(axis="x", integer=True)
    axes.set_xlabel("images")
    _tidy(axes)


def _tidy(axes: Any) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="x", color="#e4e9ee")
    axes.set_axisbelow(True)
    axes.tick_params(length=0)


def _short(name: str) -> str:
    """Truncates a class name and escapes dollar signs, which start formulas in matplotlib."""
    name = name.replace("$", r"\$")
    return name if len(name) <= _MAX_NAME_LENGTH else f"{name[: _MAX_NAME_LENGTH - 1]}…"
