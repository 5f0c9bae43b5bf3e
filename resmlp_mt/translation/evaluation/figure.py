"""A figure of the scores of an evaluation."""

from __future__ import annotations

import importlib
import importlib.util
from pathlib import Path
from typing import Any

from resmlp_mt.common import files
from resmlp_mt.common.errors import ResMLPError, require_choice

_KINDS = (".svg", ".png", ".pdf")
_SYSTEM, _BASELINE = "#2a7", "#999"


def check_figure(path: Path) -> None:
    """Checks in advance that the figure can be drawn.

    Raises:
        ResMLPError: if matplotlib is not installed or the file name extension is unknown.
    """
    require_choice("the file name extension of --figure", path.suffix, _KINDS)
    if importlib.util.find_spec("matplotlib") is None:
        raise ResMLPError("--figure requires matplotlib; run `pip install matplotlib`, or leave it out")


def draw_scores(path: Path, report: dict[str, Any]) -> None:
    """Draws the scores with their intervals, and BLEU by source length, next to those of the baseline if there is one.

    Args:
        path: of the figure; the extension determines the format.
        report: from `evaluate`.

    Raises:
        ResMLPError: if matplotlib is not installed or the file name extension is unknown.
    """
    check_figure(path)
    figure = importlib.import_module("matplotlib.figure").Figure(figsize=(10, 4), layout="constrained")
    scores_axes, length_axes = figure.subplots(1, 2, width_ratios=[1, 2])
    baselines = {row["metric"]: row["baseline"] for row in report["comparisons"]}
    scores = [score for score in report["scores"] if not score["label"]]
    names = [score["metric"] for score in scores]
    _bars(scores_axes, names, [s["score"] for s in scores], [baselines.get(n) for n in names])
    scores_axes.errorbar(
        _bar_positions(names, bool(baselines)),
        [s["score"] for s in scores],
        [s["interval"] or 0.0 for s in scores],
        fmt="none",
        ecolor="k",
    )
    scores_axes.set_title(f"{report['test_set']}, {report['sentences']} sentences")
    buckets = report["by_length"]
    labels = [f"{b['name']}\n{b['sentences']}" + "\n(untrained)" * b["beyond_training"] for b in buckets]
    _bars(length_axes, labels, [b["bleu"] for b in buckets], [b["baseline_bleu"] for b in buckets])
    length_axes.set_title("BLEU by source length")
    length_axes.set_xlabel("source length in sub-words, with the number of sentences")
    if baselines:
        length_axes.legend()
    with files.whole_file(path) as partial:
        figure.savefig(partial, format=path.suffix[1:])


def _bar_positions(labels: list[str], two: bool) -> list[float]:
    return [index - 0.2 if two else float(index) for index in range(len(labels))]


def _bars(axes: Any, labels: list[str], system: list[float], baseline: list[float | None]) -> None:
    two = any(value is not None for value in baseline)
    axes.bar(_bar_positions(labels, two), system, 0.4 if two else 0.7, color=_SYSTEM, label="system")
    if two:
        shifted = [index + 0.2 for index in range(len(labels))]
        axes.bar(shifted, [value or 0.0 for value in baseline], 0.4, color=_BASELINE, label="baseline")
    axes.set_xticks(range(len(labels)), labels)
