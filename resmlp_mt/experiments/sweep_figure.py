"""The figure of a sweep: validation BLEU of every setting, and of the finalists with their seeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from resmlp_mt.common.plot_style import COLOURS
from resmlp_mt.experiments.compare.figures import save
from resmlp_mt.experiments.compare.table import mean_and_spread

_ALL, _FINAL = COLOURS[:2]


def draw_sweep(path: Path, ranked: Sequence[Mapping[str, Any]], final: Sequence[Mapping[str, Any]]) -> None:
    """Draws the first round, and below it the finalists, if any.

    Args:
        path: output file; the suffix selects the format.
        ranked: rows of the first round, the best first.
        final: rows of the finalists.
    """
    trained = [row for row in final if "failed" not in row]
    seeds = len(trained[0]["validation_bleu"]) if trained else 0
    rounds = [("every setting, short budget, one seed", ranked, _ALL)]
    if trained:
        rounds.append((f"finalists, mean of {seeds} seeds with standard deviation, and each", trained, _FINAL))
    heights = [max(len(rows), 2) + 1.5 for _, rows, _ in rounds]
    figure = Figure(figsize=(9, 0.5 + 0.28 * sum(heights)), layout="constrained")
    panels = figure.subplots(len(rounds), 1, squeeze=False, height_ratios=heights)[:, 0]
    for axes, (title, rows, colour) in zip(panels, rounds, strict=True):
        for index, row in enumerate(rows):
            mean, spread = mean_and_spread(row["validation_bleu"])
            axes.errorbar(mean, index, xerr=spread or 0.0, fmt="o", color=colour, capsize=4)
            if spread is not None:
                axes.plot(
                    row["validation_bleu"], [index] * len(row["validation_bleu"]), "|", color=colour, markersize=12
                )
        axes.set_yticks(range(len(rows)), [row["title"] for row in rows])
        axes.set_ylim(len(rows) - 0.5, -0.5)
        axes.set_xlabel("validation BLEU")
        axes.set_title(title, fontsize=11)
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
    save(figure, path)
