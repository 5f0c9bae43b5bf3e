"""The HTML of a data report."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from typing import Any

import numpy as np

from data_prep.report import figures as report_figures
from data_prep.report.data_set import DataSet
from resmlp_mt.translation.text.sentencepiece_model import WORD_START

_CSS = """
:root { --ink: #1c2733; --muted: #5b6b7b; --line: #e4e9ee; --src: #1f6fb4; --tgt: #d9730d; }
* { box-sizing: border-box; }
body { margin: 0; background: #f5f7f9; color: var(--ink); font: 15px/1.5 system-ui, "Segoe UI", sans-serif; }
main { max-width: 1080px; margin: 0 auto; padding: 36px 24px 64px; }
h1 { font-size: 27px; margin: 0 0 4px; letter-spacing: -0.01em; }
h2 { font-size: 18px; margin: 0 0 12px; }
p { margin: 0 0 12px; color: var(--muted); }
code { font: 13px/1.5 ui-monospace, Consolas, monospace; background: #eef2f5; border-radius: 4px; padding: 1px 5px;
  overflow-wrap: anywhere; }
section { background: #fff; border: 1px solid var(--line); border-radius: 12px; padding: 20px 22px; margin-top: 20px; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(150px, 1fr)); gap: 14px; margin-top: 22px; }
.tile { background: #fff; border: 1px solid var(--line); border-radius: 12px; padding: 14px 18px; }
.tile b { display: block; font-size: 23px; line-height: 1.3; letter-spacing: -0.01em; white-space: nowrap; }
.tile span { color: var(--muted); font-size: 13px; }
.pictures { display: grid; grid-template-columns: repeat(auto-fit, minmax(420px, 1fr)); gap: 20px; }
.pictures section { margin: 0; }
.row { margin-top: 20px; }
svg { width: 100%; height: auto; display: block; }
table { border-collapse: collapse; width: 100%; font-size: 14px; }
th, td { text-align: left; padding: 6px 14px 6px 0; border-bottom: 1px solid var(--line); vertical-align: top;
  overflow-wrap: anywhere; }
td.rule { white-space: nowrap; overflow-wrap: normal; }
th { color: var(--muted); font-weight: 600; font-size: 13px; }
tr:last-child td { border-bottom: 0; }
.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
.bar { height: 10px; border-radius: 5px; background: #c2453d; min-width: 2px; }
.barcell { width: 40%; }
.zero td { color: #9aa7b3; }
.piece { display: inline-block; border-radius: 4px; padding: 0 3px; margin: 1px; background: #e8f1fa; }
.tgt .piece { background: #fcefe2; }
@media (max-width: 520px) { .pictures { grid-template-columns: 1fr; } main { padding: 20px 12px; } }
"""


def page(data: DataSet) -> str:
    """The whole page.

    Args:
        data: what to show.

    Returns:
        HTML with its style and pictures in it; it loads nothing.
    """
    settings = data.manifest.settings
    title = f"{settings['corpus']}, {settings['src']} to {settings['tgt']}"
    body = [
        f"<h1>{escape(title)}</h1>",
        f"<p>Prepared by <code>{escape(data.manifest.command)}</code></p>",
        _tiles(data),
        _pictures(data),
        _lengths(data),
        _removed(data),
        _examples(data),
        _splits(data),
        _samples(data),
        _sources(data),
        _settings(data),
    ]
    head = '<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
    return (
        f'<!DOCTYPE html>\n<html lang="en"><head>{head}<title>{escape(title)}</title><style>{_CSS}</style></head>\n'
        f"<body><main>{''.join(body)}</main></body></html>\n"
    )


def _tiles(data: DataSet) -> str:
    splits, removed = data.manifest.splits, data.manifest.removed
    removed_share = sum(removed["rules"].values()) / max(removed["read"], 1)
    tokens = splits["train"]["tokens"]
    used = [np.count_nonzero(side) / max(len(side), 1) for side in data.counts]
    tiles = [
        (f"{splits['train']['pairs']:,}", "training pairs"),
        *((_short(tokens[lang]), f"pieces of {lang}") for lang in data.languages),
        (" + ".join(f"{count:,}" for count in data.manifest.vocabulary["pieces"]), "pieces in the vocabulary"),
        (" / ".join(f"{share:.0%}" for share in used), f"of these used by {' / '.join(data.languages)}"),
        (f"{removed_share:.2%}", f"of {removed['read']:,} pairs removed"),
    ]
    return f'<div class="tiles">{"".join(_tile(*tile) for tile in tiles)}</div>'


def _tile(value: str, label: str) -> str:
    return f'<div class="tile"><b>{escape(value)}</b><span>{escape(label)}</span></div>'


def _short(count: int) -> str:
    for size, unit in ((1_000_000_000, "G"), (1_000_000, "M"), (10_000, "k")):
        if count >= size:
            return f"{count / (1000 if unit == 'k' else size):.3g} {unit}"
    return f"{count:,}"


def _pictures(data: DataSet) -> str:
    pictures = [
        ("Sentence lengths", report_figures.length_histogram(data.sizes, data.languages)),
        ("Length ratio", report_figures.ratio_histogram(data.sizes, data.languages)),
        ("Length against length", report_figures.length_plane(data.sizes, data.languages)),
        ("Use of the vocabulary", report_figures.vocabulary_use(data.counts, data.languages)),
    ]
    sections = "".join(f"<section><h2>{title}</h2>{svg}</section>" for title, svg in pictures)
    return f'<div class="pictures row">{sections}</div>'


def _lengths(data: DataSet) -> str:
    shares = (1, 25, 50, 75, 90, 99, 99.9, 100)
    rows = [[lang, *(f"{np.percentile(side, share):,.0f}" for share in shares)] for lang, side in _sides(data)]
    head = ["pieces in a sentence", *(f"{share:g} %" if share < 100 else "longest" for share in shares)]
    note = "<p>So many sentences are at most so long; a model must have at least as many positions, and one more.</p>"
    return f"<section><h2>Lengths in numbers</h2>{note}{_table(head, rows, numbers_from=1)}</section>"


def _sides(data: DataSet) -> Iterable[tuple[str, Any]]:
    return zip(data.languages, data.sizes, strict=True)


def _removed(data: DataSet) -> str:
    removed = data.manifest.removed
    most = max([*removed["rules"].values(), 1])
    rows = "".join(_rule_row(rule, count, most, removed["read"]) for rule, count in removed["rules"].items())
    table = (
        '<table><tr><th>rule</th><th class="number">pairs</th><th class="number">share</th><th></th></tr>'
        f"{rows}</table>"
    )
    return f"<section><h2>Removed from {removed['read']:,} pairs</h2>{table}</section>"


def _examples(data: DataSet) -> str:
    removed = data.manifest.removed
    rows = "".join(
        f'<tr><td class="rule">{escape(rule)}</td><td>{_clipped(pair["src"])}</td><td>{_clipped(pair["tgt"])}</td></tr>'
        for rule in removed["rules"]
        for pair in removed["examples"]
        if pair["rule"] == rule
    )
    if not rows:
        return ""
    head = "".join(f"<th>{escape(name)}</th>" for name in ("rule", *data.languages))
    return f"<section><h2>Some of the removed pairs</h2><table><tr>{head}</tr>{rows}</table></section>"


def _rule_row(rule: str, count: int, most: int, read: int) -> str:
    bar = f'<div class="bar" style="width:{100 * count / most:.1f}%"></div>' if count else ""
    return (
        f'<tr class="{"" if count else "zero"}"><td>{escape(rule)}</td><td class="number">{count:,}</td>'
        f'<td class="number">{count / max(read, 1):.2%}</td><td class="barcell">{bar}</td></tr>'
    )


def _clipped(text: str, length: int = 160) -> str:
    return escape(text if len(text) <= length else f"{text[:length]} …")


def _splits(data: DataSet) -> str:
    rows = []
    for split, record in data.manifest.splits.items():
        tokens = [f"{record['tokens'][lang]:,}" for lang in data.languages]
        unknown = [f"{record['unknown'][lang]:,}" for lang in data.languages]
        rows.append([split, record.get("name", ""), f"{record['pairs']:,}", *tokens, *unknown])
    head = ["split", "text", "pairs", *(f"pieces of {lang}" for lang in data.languages)]
    head += [f"unknown in {lang}" for lang in data.languages]
    return f"<section><h2>Splits</h2>{_table(head, rows, numbers_from=2)}</section>"


def _samples(data: DataSet) -> str:
    rows = "".join(f"<tr><td>{_pieces(src)}</td><td class='tgt'>{_pieces(tgt)}</td></tr>" for src, tgt in data.samples)
    head = "".join(f"<th>{escape(lang)}</th>" for lang in data.languages)
    return (
        "<section><h2>Training pairs, chosen at random</h2><p>Each box is one piece; a space begins the word after it."
        f"</p><table><tr>{head}</tr>{rows}</table></section>"
    )


def _pieces(pieces: Sequence[str]) -> str:
    return " ".join(f'<span class="piece">{escape(piece.replace(WORD_START, " ").strip() or "␣")}</span>'
                    if not piece.startswith(WORD_START) or piece == WORD_START
                    else f'&ensp;<span class="piece">{escape(piece[1:])}</span>' for piece in pieces)  # fmt: skip


def _sources(data: DataSet) -> str:
    rows = [
        [record["file"], f"{record['bytes']:,}", record["digest"], record["expected_from"]]
        for record in data.manifest.sources
    ]
    if not rows:
        return ""
    head = ["file", "bytes", "digest", "verified against"]
    return f"<section><h2>Sources</h2>{_table(head, rows)}</section>"


def _settings(data: DataSet) -> str:
    settings = {**data.manifest.settings, **{f"version of {k}": v for k, v in data.manifest.versions.items()}}
    rows = [
        [name, ", ".join(map(str, value)) if isinstance(value, list) else str(value)]
        for name, value in settings.items()
    ]
    return f"<section><h2>Settings and versions</h2>{_table(['setting', 'value'], rows)}</section>"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]], numbers_from: int | None = None) -> str:
    def cells(tag: str, row: Sequence[str]) -> str:
        kinds = ["number" if numbers_from is not None and place >= numbers_from else "" for place in range(len(row))]
        return "".join(f'<{tag} class="{kind}">{escape(cell)}</{tag}>' for cell, kind in zip(row, kinds, strict=True))

    body = "".join(f"<tr>{cells('td', row)}</tr>" for row in rows)
    return f"<table><tr>{cells('th', head)}</tr>{body}</table>"
