"""The picture of a study: each row's mean with the seeds beside it, one panel a section."""

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
    """Draws the rows of each section below each other, the first section on top.

    Args:
        path: of the picture; its ending says which kind.
        rows: of `study_digits.rows_of`.
    """
    sections = [(name, list(found)) for name, found in itertools.groupby(rows, key=lambda row: row["section"])]
    if not sections:
        return
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(9, 1 + 0.36 * len(rows) + 0.5 * len(sections)), layout="constrained")
        panels = figure.subplots(
            len(sections), 1, sharex=True, squeeze=False, height_ratios=[len(found) + 0.6 for _, found in sections]
        )[:, 0]
        for axes, (name, found), colour in zip(panels, sections, itertools.cycle(COLOURS)):
            for place, row in enumerate(found):
                mean, _ = mean_and_spread(row["top1"])
                axes.plot(row["top1"], [place] * len(row["top1"]), "|", color=colour, markersize=12)
                axes.plot(mean, place, "o", color=colour, markersize=6)
                axes.annotate(
                    f"{mean:.1f}",
                    (mean, place),
                    (0, 7),
                    textcoords="offset points",
                    ha="center",
                    fontsize=8,
                    color=MUTED,
                )
            axes.set_yticks(range(len(found)), [row["title"] for row in found])
            axes.set_ylim(len(found) - 0.4, -0.7)
            axes.set_title(name, loc="left", fontsize=10, fontweight="bold")
            axes.grid(axis="x")
        panels[-1].set_xlabel("top-1 on pictures held out, %; strokes are seeds, the dot is their mean")
        save(figure, path)
