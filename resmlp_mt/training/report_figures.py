"""The figures of a training report, as SVG."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from resmlp_mt.common.plot_style import COLOURS, STYLE, figure_svg
from resmlp_mt.training.history import QUALITIES, History

# Runs differ in line style and marker as well as in colour.
_DASHES: tuple[Any, ...] = ("-", (0, (5, 2)), (0, (1.5, 1.5)), (0, (6, 2, 1.5, 2)))
_MARKERS = ("o", "s", "^", "D", "v", "P", "X")
_STYLE: Any = {**STYLE, "font.size": 9, "axes.grid": True}
_MAX_POINTS = 500  # per curve; longer curves are averaged


@dataclass(frozen=True)
class Across:
    """The x-axis of a curve.

    Args:
        label: axis label.
        value: returns the x value of a record; None if the record has none.
    """

    label: str
    value: Callable[[dict[str, Any]], float | None]


def _in_units(name: str, unit: float) -> Callable[[dict[str, Any]], float | None]:
    def value(record: dict[str, Any]) -> float | None:
        number = record.get(name)
        return None if number is None else number / unit

    return value


_UPDATES = Across("updates", _in_units("update", 1))


def _axis(histories: Sequence[History], name: str, scales: dict[str, float]) -> Across:
    """An x-axis in the largest unit of which the longest run has at least two."""
    longest = max((record.get(name) or 0 for h in histories for record in (*h.train, *h.valid)), default=0)
    *larger, (label, scale) = scales.items()
    label, scale = next(((label, scale) for label, scale in larger if longest >= 2 * scale), (label, scale))
    return Across(label, _in_units(name, scale))


def _units(histories: Sequence[History]) -> str:
    return " or ".join(dict.fromkeys(history.unit for history in histories))


def learning_curves(histories: Sequence[History], measure: str) -> str:
    """Draws a metric over updates, time and tokens: training updates as thin lines, validations with markers.

    Args:
        histories: the runs, drawn in the same axes.
        measure: "loss", "ppl", or a key of `QUALITIES`.

    Returns:
        An SVG image; empty if no run has the metric.
    """
    if not any(record.get(measure) is not None for h in histories for record in (*h.train, *h.valid)):
        return ""
    with rc_context(_STYLE):
        figure = Figure(figsize=(11.6, 3.3), layout="constrained")
        panels = figure.subplots(1, 3, sharey=True)
        time = _axis(histories, "training_seconds", {"hours": 3600.0, "minutes": 60.0, "seconds": 1.0})
        units = _units(histories)
        scales = {f"million {units}": 1e6, f"thousand {units}": 1e3, units: 1.0}
        for axes, across in zip(panels, (_UPDATES, time, _axis(histories, "tokens", scales)), strict=True):
            for number, history in enumerate(histories):
                if measure not in QUALITIES:
                    _curve(axes, history.train, across, measure, number, thin=True)
                _curve(axes, history.valid, across, measure, number, label=history.name)
            axes.set_xlabel(across.label)
            axes.set_xlim(left=0)
        if measure == "ppl":
            panels[0].set_yscale("log")
        elif measure == "loss":
            _crop_beginning(panels[0], histories)
        panels[0].set_ylabel({"loss": "loss", "ppl": "perplexity"}.get(measure) or QUALITIES[measure])
        handles, labels = panels[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper left", ncols=min(4, len(labels)), frameon=False)
        return figure_svg(figure)


def _crop_beginning(axes: Axes, histories: Sequence[History]) -> None:
    """Limits the y-axis to the values after the first tenth of each run; higher early values would flatten the rest."""
    later = [
        record["loss"]
        for history in histories
        for record in (*history.train, *history.valid)
        if record.get("loss") is not None and record["update"] >= history.updates / 10
    ]
    if later and max(later) > min(later):
        margin = 0.05 * (max(later) - min(later))
        axes.set_ylim(min(later) - margin, max(later) + margin)


@dataclass(frozen=True)
class Gauge:
    """A panel with one metric of the training process.

    Args:
        title: panel title; "{units}" is replaced by the unit of tokens.
        names: keys of the metric in a record; the first one that a run has is used.
        unit: divisor of the values.
        log: whether the axis is logarithmic.
    """

    title: str
    names: tuple[str, ...]
    unit: float = 1.0
    log: bool = False


_GAUGES = (
    Gauge("gradient norm", ("gnorm",), log=True),
    Gauge("learning rate", ("lr",)),
    Gauge("loss scale", ("loss_scale",), log=True),
    Gauge("{units} per second", ("wps",)),
    Gauge("updates per second", ("ups",)),
    Gauge("peak memory, GiB (GPU where used)", ("cuda_reserved_peak", "rss_peak"), unit=2**30),
)


def course(histories: Sequence[History]) -> str:
    """Draws gradient norm, learning rate, loss scale, throughput and memory over updates, as far as they are recorded.

    Returns:
        An SVG image; empty if none of them is recorded.
    """
    gauges = [g for g in _GAUGES if any(_name_in(h, g) for h in histories)]
    if not gauges:
        return ""
    rows = -(-len(gauges) // 3)
    with rc_context(_STYLE):
        figure = Figure(figsize=(11.6, 2.7 * rows + 0.3), layout="constrained")
        panels = figure.subplots(rows, 3, squeeze=False).flat
        for axes, gauge in zip(panels, gauges, strict=False):
            for number, history in enumerate(histories):
                name = _name_in(history, gauge)
                if name:
                    _curve(axes, history.train, _UPDATES, name, number, label=history.name, unit=gauge.unit)
            axes.set_title(gauge.title.format(units=_units(histories)), fontsize=9, loc="left")
            axes.set_xlim(left=0)
            if gauge.log:
                axes.set_yscale("log")
            elif gauge.names != ("lr",):
                axes.set_ylim(0, 1.08 * max(np.max(line.get_ydata()) for line in axes.lines))
        for axes in list(figure.axes)[len(gauges) :]:
            axes.remove()
        handles, labels = figure.axes[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper left", ncols=min(4, len(labels)), frameon=False)
        figure.supxlabel("updates", fontsize=9)
        return figure_svg(figure)


def _name_in(history: History, gauge: Gauge) -> str | None:
    return next((n for n in gauge.names if any(r.get(n) is not None for r in history.train)), None)


def _curve(
    axes: Axes,
    records: Sequence[dict[str, Any]],
    across: Across,
    measure: str,
    number: int,
    label: str | None = None,
    thin: bool = False,
    unit: float = 1.0,
) -> None:
    points = [(across.value(record), record.get(measure)) for record in records]
    known = [(x, y / unit) for x, y in points if x is not None and y is not None]
    if not known:
        return
    x, y = _averaged(np.array(known, dtype=np.float64)).T
    color, dashes = COLOURS[number % len(COLOURS)], _DASHES[number % len(_DASHES)]
    with_markers = len(x) <= 30 and not thin
    axes.plot(
        x,
        y,
        color=color,
        linestyle=dashes,
        linewidth=0.8 if thin else 1.6,
        alpha=0.5 if thin else 1.0,
        marker=_MARKERS[number % len(_MARKERS)] if with_markers else None,
        markersize=3.5,
        label=label,
    )


def _averaged(points: np.ndarray) -> np.ndarray:
    """Averages neighbours so that at most `_MAX_POINTS` points remain: (points, 2) to (points, 2)."""
    if len(points) <= _MAX_POINTS:
        return points
    return np.array([part.mean(axis=0) for part in np.array_split(points, _MAX_POINTS)])
