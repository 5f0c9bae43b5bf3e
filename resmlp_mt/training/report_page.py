"""The HTML page of a training report: one self-contained file."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from resmlp_mt.common import html_page
from resmlp_mt.common.html_page import Markup, section, svg_image, table, to_html
from resmlp_mt.common.plot_style import COLOURS
from resmlp_mt.training import report_figures
from resmlp_mt.training.history import QUALITIES, History, settings_that_differ

_STYLE = """
section svg { min-width: 760px; }
.samples table { table-layout: fixed; margin-bottom: 14px; }
.samples th:first-child { width: 90px; }
.swatch { display: inline-block; width: 12px; height: 12px; border-radius: 3px; margin-right: 7px; }
.sample { margin: 16px 0 6px; }
.sample span { color: var(--muted); display: inline-block; min-width: 84px; }
"""
_ABSENT = "–"
_SAMPLE_ROWS = 8
_MAX_SAMPLE_LENGTH = 300


def page(histories: Sequence[History]) -> str:
    """The HTML page of one or several runs."""
    title = "Training: " + ", ".join(history.name for history in histories)
    quality = next((name for name in (history.quality() for history in histories) if name), None)
    measures = [("Loss", "loss"), ("Perplexity", "ppl"), *([(QUALITIES[quality], quality)] if quality else [])]
    curves = [
        section(name, _figure(svg, name), _CURVE_NOTES.get(measure, ""))
        for name, measure in measures
        if (svg := report_figures.learning_curves(histories, measure))
    ]
    svg = report_figures.course(histories)
    note = "Speeds are averages over log intervals, including validations."
    course = [section("Training progress", _figure(svg, "Training progress"), note)] if svg else []
    content = [
        section("Runs", _facts_table(histories, [_facts(history) for history in histories])),
        *_differing_settings(histories),
        *curves,
        *course,
    ]
    return html_page.page(title, [*content, *_samples(histories), *_environment(histories)], _STYLE)


_CURVE_NOTES = {
    "loss": "As logged by fairseq; in bits per token for translation. Thin: training updates. Thick: validations. The "
    "first tenth of a run may be outside the figure.",
    "ppl": "Thin: training updates. Thick: validations.",
}


def _figure(svg: str, label: str) -> str:
    return f'<div class="wide">{svg_image(svg, label)}</div>'


def _names(histories: Sequence[History]) -> list[Markup]:
    return [
        Markup(
            f'<span class="swatch" style="background:{COLOURS[number % len(COLOURS)]}"></span>{to_html(history.name)}'
        )
        for number, history in enumerate(histories)
    ]


def _facts_table(histories: Sequence[History], facts: Sequence[Mapping[str, str]]) -> str:
    """A table with a column per run and a row per fact that at least one run has."""
    labels = list(dict.fromkeys(label for run_facts in facts for label in run_facts))
    rows = [[label, *(run_facts.get(label, _ABSENT) for run_facts in facts)] for label in labels]
    return table(["", *_names(histories)], rows, row_heads=True)


def _facts(history: History) -> dict[str, str]:
    """The facts of a run for the table of runs."""
    model = history.settings.get("model") or {}
    seconds = max((r.get("training_seconds") or 0 for r in (*history.train, *history.valid)), default=0)
    tokens = max((r.get("tokens") or 0 for r in history.train), default=0)
    facts = {}
    if model:
        facts["architecture"] = str(model.get("_name") or model.get("arch"))
    if "parameters" in history.run:
        facts["parameters"] = f"{history.run['parameters']:,}"
    facts["updates"] = f"{history.updates:,}"
    if tokens:
        facts[f"{history.unit} seen"] = f"{tokens:,}"
    if seconds:
        facts["training time"] = _duration(seconds)
    for measure, label in (("loss", "best validation loss"), ("ppl", "best perplexity"), *_qualities(history)):
        best = history.best(measure)
        if best:
            facts[label] = f"{best[measure]:g} after {best['update']:,} updates"
    speeds = [record["wps"] for record in history.train if record.get("wps")]
    if speeds:
        facts[f"{history.unit} per second (median)"] = f"{statistics.median(speeds):,.0f}"
    for name, label in (("rss_peak", "peak memory, process"), ("cuda_reserved_peak", "peak memory, GPU")):
        peaks = [record[name] for record in history.train if record.get(name)]
        if peaks:
            facts[label] = f"{max(peaks) / 2**30:.2f} GiB"
    if starts := history.run.get("starts"):
        facts["starts"] = ", ".join(f"{start['time']} (update {start['update']:,})" for start in starts)
        ends = history.run.get("ends", [])
        facts["ends"] = ", ".join(f"{end['how']} (update {end['update']:,})" for end in ends) or _ABSENT
    return facts


def _qualities(history: History) -> list[tuple[str, str]]:
    quality = history.quality()
    return [(quality, f"best {QUALITIES[quality]}")] if quality else []


def _duration(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min {seconds:02} s"


def _differing_settings(histories: Sequence[History]) -> list[str]:
    settings = settings_that_differ(histories)
    if not settings:
        return []
    rows = [
        [name, *(_ABSENT if value is None else str(value) for value in values)] for name, values in settings.items()
    ]
    return [section("Settings that differ", table(["", *_names(histories)], rows, row_heads=True))]


def _samples(histories: Sequence[History]) -> list[str]:
    """The sample translations of each sentence by all runs, over updates."""
    outputs: dict[tuple[str, str], dict[int, dict[int, str]]] = {}  # by sentence, update, index of the run
    for number, history in enumerate(histories):
        for record in history.valid:
            for sample in record.get("samples") or []:
                sentence = outputs.setdefault((sample["source"], sample["reference"]), {})
                sentence.setdefault(record["update"], {})[number] = sample["output"]
    if not outputs:
        return []
    shown = [number for number in range(len(histories)) if any(r.get("samples") for r in histories[number].valid)]
    names = _names(histories)
    parts = []
    for (source, reference), by_update in outputs.items():
        parts.append(
            f'<div class="sample"><div><span>source</span> {to_html(source)}</div>'
            f"<div><span>reference</span> {to_html(reference)}</div></div>"
        )
        rows = [
            [f"{update:,}", *(_shortened(by_update[update].get(number, _ABSENT)) for number in shown)]
            for update in _spread(sorted(by_update))
        ]
        parts.append(table(["updates", *(names[number] for number in shown)], rows, row_heads=True))
    content = f'<div class="samples">{"".join(parts)}</div>'
    return [section("Sample translations", content, "The same validation sentences over the course of training.")]


def _shortened(text: str) -> str:
    """Truncates a sample, since a model may repeat itself endlessly."""
    return text if len(text) <= _MAX_SAMPLE_LENGTH else f"{text[:_MAX_SAMPLE_LENGTH]} …"


def _spread(updates: list[int]) -> list[int]:
    """At most `_SAMPLE_ROWS` of the updates, evenly spaced, including the first and the last."""
    if len(updates) <= _SAMPLE_ROWS:
        return updates
    last = len(updates) - 1
    return [updates[round(number * last / (_SAMPLE_ROWS - 1))] for number in range(_SAMPLE_ROWS)]


def _environment(histories: Sequence[History]) -> list[str]:
    facts = [_environment_facts(history.run) for history in histories]
    return [section("Environment", _facts_table(histories, facts))] if any(facts) else []


def _environment_facts(run: dict[str, Any]) -> dict[str, str]:
    """The facts about the environment of a run, from `run.json`."""
    if "versions" not in run:
        return {}
    hardware, git = run["hardware"], run["git"]
    gpus = [f"{gpu['name']}, {gpu['memory_bytes'] / 2**30:.0f} GiB" for gpu in hardware["gpus"]]
    facts = {
        "command": " ".join(run["starts"][-1]["command"]),
        "host": f"{hardware['host']}, {hardware['system']}",
        "CPU": f"{hardware['cpu']}, {hardware['cpus']} cores, {hardware['memory_bytes'] / 2**30:.0f} GiB",
        "GPUs": "; ".join(gpus) or "none",
        "processes": str(run["processes"]),
        "commit": f"{git['commit']}{', with uncommitted changes' if git['dirty'] else ''}" if git else _ABSENT,
        "versions": ", ".join(f"{name} {version}" for name, version in run["versions"].items()),
    }
    for number, data in enumerate(run["data"]):
        pairs = ", ".join(f"{split} {count:,}" for split, count in data.get("pairs", {}).items() if count is not None)
        parts = [data["folder"], *([f"pairs: {pairs}"] if pairs else []), data.get("manifest", "")]
        facts[f"data {number + 1}" if len(run["data"]) > 1 else "data"] = "; ".join(part for part in parts if part)
    return facts
