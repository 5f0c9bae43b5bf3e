"""The HTML of a data report."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from data_prep.report import figures
from data_prep.report.data_set import DataSet
from resmlp_mt.common import html_page
from resmlp_mt.common.html_page import Markup, section, svg_image, table, to_html
from resmlp_mt.translation.text.sentencepiece_model import WORD_START

_STYLE = f"""
.tiles {{ display: grid; grid-template-columns: repeat(auto-fit, minmax(150px, 1fr)); gap: 14px; margin-top: 22px; }}
.tile {{ background: var(--card); border: 1px solid var(--line); border-radius: 12px; padding: 14px 18px; }}
.tile b {{ display: block; font-size: 23px; line-height: 1.3; letter-spacing: -0.01em; white-space: nowrap; }}
.tile span {{ color: var(--muted); font-size: 13px; }}
.figures {{ display: grid; grid-template-columns: repeat(auto-fit, minmax(420px, 1fr)); gap: 20px; margin-top: 20px; }}
.figures section {{ margin: 0; }}
.removed td:last-child {{ width: 40%; }}
.bar {{ height: 10px; margin-top: 6px; border-radius: 5px; background: #c2453d; min-width: 2px; }}
.zero {{ color: #9aa7b3; }}
.examples td:first-child {{ white-space: nowrap; }}
.piece {{ display: inline-block; border-radius: 4px; padding: 0 3px; margin: 1px; background: {figures.SRC_COLOR}1a; }}
.samples td:last-child .piece {{ background: {figures.TGT_COLOR}1f; }}
@media (max-width: 520px) {{ .figures {{ grid-template-columns: 1fr; }} }}
"""
_LONGEST_EXAMPLE = 160  # characters


def page(data: DataSet) -> str:
    """The whole page.

    Args:
        data: content of the report.

    Returns:
        HTML with its style and figures inside; it loads no other files.
    """
    title = f"{data.manifest.settings['corpus']}, {data.languages[0]} to {data.languages[1]}"
    content = [
        f"<p>Prepared by <code>{to_html(data.manifest.command)}</code></p>\n",
        _tiles(data),
        _figures(data),
        _lengths(data),
        _removed(data),
        _examples(data),
        _splits(data),
        _samples(data),
        _sources(data),
        _settings(data),
    ]
    return html_page.page(title, content, _STYLE)


def _tiles(data: DataSet) -> str:
    splits, removed = data.manifest.splits, data.manifest.removed
    removed_share = sum(removed["rules"].values()) / max(removed["read"], 1)
    tokens = splits["train"]["tokens"]
    used = [np.count_nonzero(side) / max(len(side), 1) for side in data.counts]
    tiles = [
        (f"{splits['train']['pairs']:,}", "training pairs"),
        *((_short(tokens[lang]), f"pieces of {lang}") for lang in data.languages),
        (" + ".join(f"{count:,}" for count in data.manifest.vocabulary["pieces"]), "pieces in the vocabulary"),
        (" / ".join(f"{share:.0%}" for share in used), f"of them used by {' / '.join(data.languages)}"),
        (f"{removed_share:.2%}", f"of {removed['read']:,} pairs removed"),
    ]
    return f'<div class="tiles">{"".join(_tile(*tile) for tile in tiles)}</div>\n'


def _tile(value: str, label: str) -> str:
    return f'<div class="tile"><b>{to_html(value)}</b><span>{to_html(label)}</span></div>'


def _short(count: int) -> str:
    for size, unit in ((1_000_000_000, "G"), (1_000_000, "M"), (10_000, "k")):
        if count >= size:
            return f"{count / (1000 if unit == 'k' else size):.3g} {unit}"
    return f"{count:,}"


def _figures(data: DataSet) -> str:
    drawn = [
        ("Sentence lengths", figures.length_histogram(data.sizes, data.languages)),
        ("Length ratio", figures.ratio_histogram(data.sizes, data.languages)),
        ("Length against length", figures.length_plane(data.sizes, data.languages)),
        ("Use of the vocabulary", figures.vocabulary_use(data.counts, data.languages)),
    ]
    sections = "".join(section(title, svg_image(svg, title)) for title, svg in drawn)
    return f'<div class="figures">{sections}</div>\n'


def _lengths(data: DataSet) -> str:
    shares = (1, 25, 50, 75, 90, 99, 99.9, 100)
    rows = [[lang, *(f"{np.percentile(side, share):,.0f}" for share in shares)] for lang, side in _sides(data)]
    head = ["pieces in a sentence", *(f"{share:g} %" if share < 100 else "longest" for share in shares)]
    note = (
        "Percentiles: this share of the sentences has at most this many pieces. A model needs at least as many "
        "positions as its longest sentence has pieces, and one more."
    )
    return section("Lengths in numbers", table(head, rows, numbers=range(1, len(head))), note)


def _sides(data: DataSet) -> Iterable[tuple[str, Any]]:
    return zip(data.languages, data.sizes, strict=True)


def _removed(data: DataSet) -> str:
    removed = data.manifest.removed
    most = max([*removed["rules"].values(), 1])
    rows = [_rule_row(rule, count, most, removed["read"]) for rule, count in removed["rules"].items()]
    content = table(["rule", "pairs", "share", ""], rows, numbers=(1, 2))
    return section(f"Removed from {removed['read']:,} pairs", content, name="removed")


def _rule_row(rule: str, count: int, most: int, read: int) -> list[str]:
    cells = [rule, f"{count:,}", f"{count / max(read, 1):.2%}"]
    if not count:
        return [*(Markup(f'<span class="zero">{to_html(cell)}</span>') for cell in cells), ""]
    return [*cells, Markup(f'<div class="bar" style="width:{100 * count / most:.1f}%"></div>')]


def _examples(data: DataSet) -> str:
    removed = data.manifest.removed
    rows = [
        [rule, _shortened(pair["src"]), _shortened(pair["tgt"])]
        for rule in removed["rules"]
        for pair in removed["examples"]
        if pair["rule"] == rule
    ]
    if not rows:
        return ""
    return section("Some of the removed pairs", table(["rule", *data.languages], rows), name="examples")


def _shortened(text: str) -> str:
    return text if len(text) <= _LONGEST_EXAMPLE else f"{text[:_LONGEST_EXAMPLE]} …"


def _splits(data: DataSet) -> str:
    rows = []
    for split, record in data.manifest.splits.items():
        tokens = [f"{record['tokens'][lang]:,}" for lang in data.languages]
        unknown = [f"{record['unknown'][lang]:,}" for lang in data.languages]
        rows.append([split, record.get("name", ""), f"{record['pairs']:,}", *tokens, *unknown])
    head = ["split", "text", "pairs", *(f"pieces of {lang}" for lang in data.languages)]
    head += [f"unknown in {lang}" for lang in data.languages]
    return section("Splits", table(head, rows, numbers=range(2, len(head))))


def _samples(data: DataSet) -> str:
    rows = [[_pieces(src), _pieces(tgt)] for src, tgt in data.samples]
    note = "Each box is one piece. The pieces after a space begin a word."
    return section("Training pairs, chosen at random", table(data.languages, rows), note, name="samples")


def _pieces(pieces: Sequence[str]) -> Markup:
    return Markup(" ".join(map(_piece, pieces)))


def _piece(piece: str) -> str:
    if piece.startswith(WORD_START) and piece != WORD_START:
        return f'&ensp;<span class="piece">{to_html(piece[1:])}</span>'
    return f'<span class="piece">{to_html(piece.replace(WORD_START, " ").strip() or "␣")}</span>'


def _sources(data: DataSet) -> str:
    rows = [
        [record["file"], f"{record['bytes']:,}", record["digest"], record["expected_from"]]
        for record in data.manifest.sources
    ]
    if not rows:
        return ""
    return section("Sources", table(["file", "bytes", "digest", "verified against"], rows, numbers=(1,)))


def _settings(data: DataSet) -> str:
    settings = {**data.manifest.settings, **{f"version of {k}": v for k, v in data.manifest.versions.items()}}
    rows = [
        [name, ", ".join(map(str, value)) if isinstance(value, list) else str(value)]
        for name, value in settings.items()
    ]
    return section("Settings and versions", table(["setting", "value"], rows))
