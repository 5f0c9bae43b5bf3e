"""The HTML of a training report: one file that needs nothing else."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from html import escape
from typing import Any

from resmlp_mt.common.plot_style import COLOURS
from resmlp_mt.training import report_figures
from resmlp_mt.training.history import QUALITIES, History, settings_that_differ

_CSS = """
:root { --ink: #1c2733; --muted: #5b6b7b; --line: #e4e9ee; }
* { box-sizing: border-box; }
body { margin: 0; background: #f5f7f9; color: var(--ink); font: 15px/1.5 system-ui, "Segoe UI", sans-serif; }
main { max-width: 1240px; margin: 0 auto; padding: 36px 24px 64px; }
h1 { font-size: 27px; margin: 0 0 4px; letter-spacing: -0.01em; }
h2 { font-size: 18px; margin: 0 0 8px; }
p { margin: 0 0 12px; color: var(--muted); }
section { background: #fff; border: 1px solid var(--line); border-radius: 12px; padding: 20px 22px; margin-top: 20px; }
.wide { overflow-x: auto; }
svg { display: block; width: 100%; height: auto; min-width: 760px; }
table { border-collapse: collapse; width: 100%; font-size: 14px; margin-bottom: 14px; }
th, td { text-align: left; vertical-align: top; padding: 6px 14px 6px 0; border-bottom: 1px solid var(--line);
  overflow-wrap: anywhere; }
thead th { color: var(--muted); font-weight: 600; white-space: nowrap; }
.samples table { table-layout: fixed; }
.samples th:first-child { width: 90px; }
tbody th { font-weight: 600; white-space: nowrap; }
td.number { font-variant-numeric: tabular-nums; white-space: nowrap; }
.swatch { display: inline-block; width: 12px; height: 12px; border-radius: 3px; margin-right: 7px; }
.sample { margin: 16px 0 6px; }
.sample span { color: var(--muted); display: inline-block; min-width: 84px; }
"""
_ABSENT = "–"
_SAMPLE_ROWS = 8
_LONGEST_SAMPLE = 300


def page(histories: Sequence[History]) -> str:
    """The page of one or several trainings."""
    title = "Training: " + ", ".join(history.name for history in histories)
    quality = next((found for found in (history.quality() for history in histories) if found), None)
    measures = [("Loss", "loss"), ("Perplexity", "ppl"), *([(QUALITIES[quality], quality)] if quality else [])]
    curves = [
        _section(name, f'<div class="wide">{_labelled(picture, name)}</div>', _CURVES_SAID.get(measure, ""))
        for name, measure in measures
        if (picture := report_figures.learning_curves(histories, measure))
    ]
    picture = report_figures.course(histories)
    said = "Speeds are those of whole intervals, validations within them included."
    course = [_section("Course", f'<div class="wide">{_labelled(picture, "Course")}</div>', said)] if picture else []
    parts = [_section("Runs", _runs(histories)), *_different(histories), *curves, *course]
    parts += [*_samples(histories), *_environment(histories)]
    return (
        f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<title>{escape(title)}</title>\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n<link rel="icon" href="data:,">\n'
        f"<style>{_CSS}</style>\n</head>\n<body>\n<main>\n<h1>{escape(title)}</h1>\n"
        f"{''.join(parts)}</main>\n</body>\n</html>\n"
    )


_CURVES_SAID = {
    "loss": "As fairseq logs it; of translations in bits a token. Thin: of the updates, as trained on. Thick: of the "
    "validations. The first tenth of a training may leave the picture.",
    "ppl": "Thin: of the updates. Thick: of the validations.",
}


def _section(title: str, content: str, said: str = "") -> str:
    paragraph = f"<p>{escape(said)}</p>" if said else ""
    return f"<section>\n<h2>{escape(title)}</h2>\n{paragraph}{content}\n</section>\n"


def _labelled(picture: str, label: str) -> str:
    return picture.replace("<svg ", f'<svg role="img" aria-label="{escape(label, quote=True)}" ', 1)


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table of HTML cells; the first of a row is its head."""
    top = "".join(f'<th scope="col">{cell}</th>' for cell in head)
    body = "".join(
        f'<tr><th scope="row">{first}</th>{"".join(f"<td>{cell}</td>" for cell in rest)}</tr>\n'
        for first, *rest in rows
    )
    return f'<div class="wide"><table>\n<thead><tr>{top}</tr></thead>\n<tbody>\n{body}</tbody>\n</table></div>'


def _names(histories: Sequence[History]) -> list[str]:
    return [
        f'<span class="swatch" style="background:{COLOURS[number % len(COLOURS)]}"></span>{escape(history.name)}'
        for number, history in enumerate(histories)
    ]


def _runs(histories: Sequence[History]) -> str:
    facts = [_facts(history) for history in histories]
    labels = list(dict.fromkeys(label for one in facts for label in one))
    return _table(
        ["", *_names(histories)],
        [[escape(label), *(escape(one.get(label, _ABSENT)) for one in facts)] for label in labels],
    )


def _facts(history: History) -> dict[str, str]:
    """What the table of runs says of a training."""
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


def _different(histories: Sequence[History]) -> list[str]:
    found = settings_that_differ(histories)
    if not found:
        return []
    rows = [
        [escape(name), *(_ABSENT if value is None else escape(str(value)) for value in values)]
        for name, values in found.items()
    ]
    return [_section("Settings that differ", _table(["", *_names(histories)], rows))]


def _samples(histories: Sequence[History]) -> list[str]:
    """The sample translations of all trainings, sentence by sentence, over updates."""
    outputs: dict[tuple[str, str], dict[int, dict[int, str]]] = {}  # sentence -> update -> number of training -> output
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
            f'<div class="sample"><div><span>source</span> {escape(source)}</div>'
            f"<div><span>reference</span> {escape(reference)}</div></div>"
        )
        rows = [
            [f"{update:,}", *(escape(_cut(by_update[update].get(number, _ABSENT))) for number in shown)]
            for update in _spread(sorted(by_update))
        ]
        parts.append(_table(["updates", *(names[number] for number in shown)], rows))
    content = f'<div class="samples">{"".join(parts)}</div>'
    return [_section("Sample translations", content, "The same validation sentences, as training goes on.")]


def _cut(text: str) -> str:
    """The beginning of what a model repeats without end."""
    return text if len(text) <= _LONGEST_SAMPLE else f"{text[:_LONGEST_SAMPLE]} …"


def _spread(updates: list[int]) -> list[int]:
    """At most `_SAMPLE_ROWS` of them, the first and the last included."""
    if len(updates) <= _SAMPLE_ROWS:
        return updates
    last = len(updates) - 1
    return [updates[round(number * last / (_SAMPLE_ROWS - 1))] for number in range(_SAMPLE_ROWS)]


def _environment(histories: Sequence[History]) -> list[str]:
    described = [_described(history.run) for history in histories]
    labels = list(dict.fromkeys(label for one in described for label in one))
    if not labels:
        return []
    rows = [[escape(label), *(escape(one.get(label, _ABSENT)) for one in described)] for label in labels]
    return [_section("Environment", _table(["", *_names(histories)], rows))]


def _described(run: dict[str, Any]) -> dict[str, str]:
    """What `run.json` says of how a training came about."""
    if "versions" not in run:
        return {}
    hardware, git = run["hardware"], run["git"]
    gpus = [f"{gpu['name']}, {gpu['memory_bytes'] / 2**30:.0f} GiB" for gpu in hardware["gpus"]]
    found = {
        "command": " ".join(run["starts"][-1]["command"]),
        "host": f"{hardware['host']}, {hardware['system']}",
        "processor": f"{hardware['cpu']}, {hardware['cpus']} cores, {hardware['memory_bytes'] / 2**30:.0f} GiB",
        "GPUs": "; ".join(gpus) or "none",
        "processes": str(run["processes"]),
        "commit": f"{git['commit']}{', and changes' if git['dirty'] else ''}" if git else _ABSENT,
        "versions": ", ".join(f"{name} {version}" for name, version in run["versions"].items()),
    }
    for number, data in enumerate(run["data"]):
        pairs = ", ".join(f"{split} {count:,}" for split, count in data.get("pairs", {}).items() if count is not None)
        said = [data["folder"], *([f"pairs: {pairs}"] if pairs else []), data.get("manifest", "")]
        found[f"data {number + 1}" if len(run["data"]) > 1 else "data"] = "; ".join(part for part in said if part)
    return found
