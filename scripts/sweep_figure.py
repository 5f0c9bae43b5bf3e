"""The picture of a sweep: every setting's BLEU on the validation set, and the finalists' with their seeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from compare_table import mean_and_spread
from matplotlib.figure import Figure

from resmlp_mt.files import whole_file

_ALL, _FINAL = "#0072B2", "#D55E00"


def draw_sweep(path: Path, ranked: Sequence[Mapping[str, Any]], final: Sequence[Mapping[str, Any]]) -> None:
    """Draws both rounds beside each other.

    Args:
        path: of the picture; its ending says which kind.
        ranked: rows of the first round, the best first.
        final: rows of the finalists.
    """
    trained = [row for row in final if "failed" not in row]
    height = 1.5 + 0.3 * max(len(ranked), len(trained), 4)
    figure = Figure(figsize=(13, height), layout="constrained")
    first_axes, final_axes = figure.subplots(1, 2)
    for place, row in enumerate(ranked):
        first_axes.plot(row["validation_bleu"][0], place, "o", color=_ALL)
    for place, row in enumerate(trained):
        mean, spread = mean_and_spread(row["validation_bleu"])
        final_axes.errorbar(mean, place, xerr=spread or 0.0, fmt="o", color=_FINAL, capsize=4)
        final_axes.plot(row["validation_bleu"], [place] * len(row["validation_bleu"]), "|", color=_FINAL, markersize=12)
    for axes, rows, title in (
        (first_axes, ranked, "every setting, short budget, one seed"),
        (final_axes, trained, "finalists: each seed, mean and standard deviation"),
    ):
        axes.set_yticks(range(len(rows)), [row["title"] for row in rows])
        axes.set_ylim(len(rows) - 0.5, -0.5)
        axes.set_xlabel("validation BLEU")
        axes.set_title(title, fontsize=11)
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
    with whole_file(path) as partial:
        figure.savefig(partial, format=path.suffix[1:], dpi=120)
