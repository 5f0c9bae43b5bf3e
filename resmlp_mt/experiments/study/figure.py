"""The figure of a study: the mean and the seeds of each row, one panel per section."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.figure import Figure

from resmlp_mt.common.plot_style import COLOURS, MUTED, STYLE
from resmlp_mt.experiments.compare.figures import save
from resmlp_mt.experiments.compare.table import mean_and_spread


def draw_study(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Draws one panel per section, the first at the top, with one line per row.

    Args:
        path: output file; the suffix selects the format.
        rows: rows of `digits.rows_of`.
    """
    sections = [(name, list(group)) for name, group in itertools.groupby(rows, key=lambda row: row["section"])]
    if not sections:
        return
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(9, 1 + 0.36 * len(rows) + 0.5 * len(sections)), layout="constrained")
        panels = figure.subplots(
            len(sections), 1, sharex=True, squeeze=False, height_ratios=[len(group) + 0.6 for _, group in sections]
        )[:, 0]
        for axes, (name, group), colour in zip(panels, sections, itertools.cycle(COLOURS)):
            for index, row in enumerate(group):
                mean, _ = mean_and_spread(row["top1"])
                axes.plot(row["top1"], [index] * len(row["top1"]), "|", color=colour, markersize=12)
                axes.plot(mean, index, "o", color=colour, markersize=6)
                axes.annotate(
                    f"{mean:.1f}",
                    (mean, index),
                    (0, 7),
                    textcoords="offset points",
                    ha="center",
                    fontsize=8,
                    color=MUTED,
                )
            axes.set_yticks(range(len(group)), [row["title"] for row in group])
            axes.set_ylim(len(group) - 0.4, -0.7)
            axes.set_title(name, loc="left", fontsize=10, fontweight="bold")
            axes.grid(axis="x")
        panels[-1].set_xlabel("top-1 on held-out images, %; strokes are seeds, the dot is their mean")
        save(figure, path)
