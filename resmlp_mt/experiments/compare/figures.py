"""Figures of a comparison: learning curves, quality over training time, quality over decoding speed."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from resmlp_mt.common.files import whole_file
from resmlp_mt.common.plot_style import COLOURS
from resmlp_mt.experiments.compare.table import mean_and_spread, scores_of

MARKERS = "osD^vPX*"  # distinguish the systems in print without colours


def draw_comparison(path: Path, results: Sequence[Mapping[str, Any]]) -> None:
    """Draws four panels: validation perplexity over updates and over time, BLEU over training time and over speed.

    Args:
        path: output file; the suffix selects the format.
        results: results of `table.summarise`.
    """
    figure = Figure(figsize=(12, 9), layout="constrained")
    (updates, time), (cost, speed) = figure.subplots(2, 2)
    for index, result in enumerate(results):
        style = {"color": COLOURS[index % len(COLOURS)], "marker": MARKERS[index % len(MARKERS)]}
        for number, run in enumerate(result["runs"]):
            curve = run["validations"]
            label = result["title"] if number == 0 else None
            losses = [point["perplexity"] for point in curve]
            line = {**style, "markersize": 3, "linewidth": 1.2, "label": label}
            updates.plot([point["updates"] for point in curve], losses, **line)
            time.plot([point["seconds"] / 60 for point in curve], losses, **line)
        bleu, margin = _bleu(result)
        minutes = statistics.fmean(run["training_seconds"] for run in result["runs"]) / 60
        _point(cost, minutes, bleu, margin, result["title"], style)
        if result["generation_tokens_per_second"]:
            _point(
                speed, statistics.median(result["generation_tokens_per_second"]), bleu, margin, result["title"], style
            )
    for axes in (updates, time):
        axes.set_yscale("log")
        axes.set_ylabel("validation perplexity")
        axes.legend()
    updates.set_xlabel("updates")
    time.set_xlabel("minutes of training, validations not counted")
    several = len(results[0]["runs"]) > 1
    for axes in (cost, speed):
        axes.set_ylabel(f"BLEU, {'mean and standard deviation of seeds' if several else '95% bootstrap interval'}")
        axes.margins(x=0.1)
        if axes.has_data():
            axes.legend()
    updates.set_title("learning curves")
    time.set_title("learning curves over time")
    cost.set_title("quality over training time")
    cost.set_xlabel("minutes of training, validations not counted")
    speed.set_title("quality over decoding speed")
    speed.set_xlabel("target tokens per second of fairseq-generate, measured alone")
    for axes in (updates, time, cost, speed):
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
    if not speed.has_data():  # generation was not timed
        speed.remove()
    save(figure, path)


def save(figure: Figure, path: Path) -> None:
    """Writes a figure atomically; the suffix selects the format."""
    with whole_file(path) as partial:
        figure.savefig(partial, format=path.suffix[1:], dpi=120)


def _bleu(result: Mapping[str, Any]) -> tuple[float, float]:
    """BLEU, with the standard deviation over seeds, or half the bootstrap interval of a single seed."""
    scores = scores_of(result, "BLEU")
    mean, spread = mean_and_spread([score["score"] for score in scores])
    return mean, scores[0]["interval"] if spread is None else spread


def _point(axes: Axes, x: float, y: float, margin: float, title: str, style: Mapping[str, str]) -> None:
    axes.errorbar(x, y, margin, color=style["color"], marker=style["marker"], capsize=3, linestyle="", label=title)
