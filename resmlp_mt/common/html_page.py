"""Builds the HTML reports: self-contained files with style and images inside.

Strings are escaped, except `Markup`, which is already HTML.
"""

from __future__ import annotations

import base64
from collections.abc import Collection, Iterable, Sequence
from html import escape

_STYLE = """
:root { --ink: #1c2733; --muted: #5b6b7b; --line: #e4e9ee; --page: #f5f7f9; --card: #fff; }
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--ink); font: 15px/1.5 system-ui, "Segoe UI", sans-serif; }
main { max-width: 1160px; margin: 0 auto; padding: 36px 24px 64px; }
h1 { font-size: 27px; margin: 0 0 4px; letter-spacing: -0.01em; overflow-wrap: anywhere; }
h2 { font-size: 18px; margin: 0 0 8px; }
p { margin: 0 0 12px; color: var(--muted); }
code { font: 13px/1.5 ui-monospace, Consolas, monospace; background: #eef2f5; border-radius: 4px; padding: 1px 5px;
  overflow-wrap: anywhere; }
section, figure { background: var(--card); border: 1px solid var(--line); border-radius: 12px; padding: 20px 22px;
  margin: 20px 0 0; }
section svg { display: block; width: 100%; height: auto; }
section img { display: block; max-width: 100%; height: auto; margin: 0 auto; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: 14px; }
th, td { text-align: left; vertical-align: top; padding: 6px 14px 6px 0; border-bottom: 1px solid var(--line);
  overflow-wrap: anywhere; }
thead th { color: var(--muted); font-weight: 600; font-size: 13px; vertical-align: bottom; overflow-wrap: normal; }
tbody th { font-weight: 600; white-space: nowrap; }
tbody tr:last-child > * { border-bottom: 0; }
.number { text-align: right; font-variant-numeric: tabular-nums; }
td.number { white-space: nowrap; }
@media (max-width: 520px) { main { padding: 20px 12px; } }
"""
PAGE_END = "</main>\n</body>\n</html>\n"


class Markup(str):
    """A string that is already HTML."""

    __slots__ = ()


def to_html(text: str) -> Markup:
    """Escapes a string for text and for attributes, unless it is `Markup`."""
    return text if isinstance(text, Markup) else Markup(escape(text, quote=True))


def page_start(title: str, style: str = "") -> str:
    """A page up to and including its heading; write its content and `PAGE_END` after it.

    Args:
        title: of the page, which is its heading too.
        style: CSS of this page, after that of all pages.
    """
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n<link rel="icon" href="data:,">\n'
        f"<title>{to_html(title)}</title>\n<style>{_STYLE}{style}</style>\n</head>\n<body>\n<main>\n"
        f"<h1>{to_html(title)}</h1>\n"
    )


def page(title: str, content: Iterable[str], style: str = "") -> str:
    """Builds a page.

    Args:
        title: of the page, which is its heading too.
        content: sections and other HTML, in their order.
        style: CSS of this page, after that of all pages.
    """
    return f"{page_start(title, style)}{''.join(content)}{PAGE_END}"


def section(title: str, content: str, note: str = "", name: str = "") -> Markup:
    """A section with a heading.

    Args:
        title: the heading.
        content: HTML.
        note: a sentence that explains the content.
        name: CSS class.
    """
    paragraph = f"<p>{to_html(note)}</p>\n" if note else ""
    attribute = f' class="{name}"' if name else ""
    return Markup(f"<section{attribute}>\n<h2>{to_html(title)}</h2>\n{paragraph}{content}\n</section>\n")


def table(
    head: Sequence[str], rows: Iterable[Sequence[str]], numbers: Collection[int] = (), row_heads: bool = False
) -> Markup:
    """A table that scrolls horizontally on narrow screens.

    Args:
        head: of the columns.
        rows: the cells of each row.
        numbers: the indexes of the columns that hold numbers, which are aligned to the right.
        row_heads: whether the first cell of a row is its head.
    """
    classes = [' class="number"' if column in numbers else "" for column in range(len(head))]
    top = "".join(f'<th scope="col"{kind}>{to_html(cell)}</th>' for cell, kind in zip(head, classes, strict=True))
    body = "".join(f"<tr>{_cells(row, classes, row_heads)}</tr>\n" for row in rows)
    return Markup(
        f'<div class="wide"><table>\n<thead><tr>{top}</tr></thead>\n<tbody>\n{body}</tbody>\n</table></div>\n'
    )


def _cells(row: Sequence[str], classes: Sequence[str], row_heads: bool) -> str:
    cells = [f"<td{kind}>{to_html(cell)}</td>" for cell, kind in zip(row, classes, strict=True)]
    if row_heads:
        cells[0] = f'<th scope="row"{classes[0]}>{to_html(row[0])}</th>'
    return "".join(cells)


def svg_image(svg: str, label: str) -> Markup:
    """An SVG image with a label for readers who cannot see it."""
    return Markup(svg.replace("<svg ", f'<svg role="img" aria-label="{to_html(label)}" ', 1))


def png_image(content: bytes, label: str) -> Markup:
    """A PNG image, stored in the page, with a label for readers who cannot see it."""
    encoded = base64.b64encode(content).decode("ascii")
    return Markup(f'<img alt="{to_html(label)}" src="data:image/png;base64,{encoded}">')
