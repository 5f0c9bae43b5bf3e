"""The page of an inspection: pictures and numbers in one HTML file that loads nothing else."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape

from resmlp_mt.inspect.matrices import Stack
from resmlp_mt.inspect.measures import LayerMeasures

_CSS = """
:root { --ink: #1c2733; --muted: #5b6b7b; --line: #e4e9ee; }
* { box-sizing: border-box; }
body { margin: 0; background: #f5f7f9; color: var(--ink); font: 15px/1.5 system-ui, "Segoe UI", sans-serif; }
main { max-width: 1140px; margin: 0 auto; padding: 36px 24px 64px; }
h1 { font-size: 27px; margin: 0 0 4px; overflow-wrap: anywhere; }
h2 { font-size: 18px; margin: 0 0 6px; }
p { margin: 0 0 12px; color: var(--muted); }
section { background: #fff; border: 1px solid var(--line); border-radius: 12px; padding: 20px 22px; margin-top: 20px;
  overflow-x: auto; }
img { max-width: 100%; height: auto; display: block; margin: 0 auto; }
details { margin-top: 10px; } summary { cursor: pointer; padding: 4px 0; }
table { border-collapse: collapse; width: 100%; font-size: 14px; }
th, td { text-align: left; padding: 6px 14px 6px 0; border-bottom: 1px solid var(--line); vertical-align: top;
  overflow-wrap: anywhere; }
th { color: var(--muted); font-weight: 600; font-size: 13px; vertical-align: bottom; overflow-wrap: normal; }
tr:last-child td { border-bottom: 0; }
.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
th.number { white-space: normal; }
"""


@dataclass(frozen=True)
class Picture:
    """A picture of the page.

    Attributes:
        name: of its file.
        title: above it.
        caption: a sentence that says how to read it.
        content: of the PNG file.
        folded: whether it is shown only when its title is clicked.
    """

    name: str
    title: str
    caption: str
    content: bytes
    folded: bool = False


def page(
    title: str,
    about: Mapping[str, str],
    pictures: Sequence[Picture],
    stacks: Sequence[Stack],
    measures: Sequence[Sequence[LayerMeasures]],
) -> str:
    """The whole page.

    Args:
        title: of the page, the model's name.
        about: what is known of the model, by name.
        pictures: in their order.
        stacks: of the model.
        measures: of each stack's layers.

    Returns:
        HTML with its style and pictures in it; it loads nothing.
    """
    numbers = "".join(
        f"<section><h2>{escape(stack.title)} in numbers</h2>{_numbers(stack, layers)}</section>"
        for stack, layers in zip(stacks, measures, strict=True)
    )
    known = _table(["about", ""], about.items())
    head = '<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
    return (
        f'<!DOCTYPE html>\n<html lang="en"><head>{head}<title>{escape(title)}</title><style>{_CSS}</style></head>\n'
        f"<body><main><h1>{escape(title)}</h1><p>What the mixing matrices have learned</p>"
        f"{_sections(pictures)}{numbers}<section>{known}</section></main></body></html>\n"
    )


def _sections(pictures: Sequence[Picture]) -> str:
    shown = "".join(
        f"<section><h2>{escape(picture.title)}</h2><p>{escape(picture.caption)}</p>{_image(picture)}</section>"
        for picture in pictures
        if not picture.folded
    )
    folded = [picture for picture in pictures if picture.folded]
    if not folded:
        return shown
    details = "".join(
        f"<details><summary>{escape(picture.title)}</summary>{_image(picture)}</details>" for picture in folded
    )
    return f"{shown}<section><h2>Layer by layer</h2><p>{escape(folded[0].caption)}</p>{details}</section>"


def _image(picture: Picture) -> str:
    content = base64.b64encode(picture.content).decode("ascii")
    return f'<img alt="{escape(picture.title, quote=True)}" src="data:image/png;base64,{content}">'


def _numbers(stack: Stack, measures: Sequence[LayerMeasures]) -> str:
    unit = "patches" if stack.is_image else "tokens"
    head = [
        "layer",
        "A under 5 % of its largest",
        "B",
        "C",
        f"mean distance, {unit}: by |A|",
        "by A²",
        "on the main diagonal",
        "like a convolution",
        "strongest diagonal",
    ]
    head += [] if stack.causal else ["symmetry"]
    head += [] if stack.causal or stack.is_image else ["reads earlier"]
    head += ["largest |A|", "gain"]
    rows = []
    for number, m in enumerate(measures, 1):
        down, right = m.peak_offset
        row = [
            str(number),
            f"{m.sparsity_mixing:.1%}",
            f"{m.sparsity_expand:.1%}",
            f"{m.sparsity_contract:.1%}",
            f"{m.distance:.2f}",
            f"{m.energy_distance:.2f}",
            f"{m.diagonal_share:.1%}",
            f"{m.shift_invariance:.1%}",
            f"{_signed(down)}, {_signed(right)}" if stack.is_image else _signed(right),
        ]
        row += [] if m.symmetry is None else [f"{m.symmetry:+.2f}"]
        row += [] if m.earlier_share is None else [f"{m.earlier_share:.1%}"]
        rows.append([*row, f"{m.largest:.3g}", "" if m.gain is None else f"{m.gain:.3g}"])
    first = measures[0]
    positions = (
        f"{stack.grid[0]} x {stack.grid[1]} patches" if stack.is_image else f"the first {stack.positions} tokens"
    )
    note = (
        f"Of {positions}. Equal weights would look {first.uniform_distance:.2f} {unit} far; pure noise would be "
        f"{first.shift_invariance_of_noise:.1%} like a convolution, which is the share of A's energy in its diagonals' "
        f"means. The strongest diagonal is the offset {'down, right ' if stack.is_image else ''}with the largest mean "
        "|A|. The gain is the mean |scale before the mixing times scale behind it|: how strongly the layer's response "
        "is added." + " Symmetry is 1 for a symmetric and -1 for an antisymmetric A." * (not stack.causal)
    )
    return f"<p>{escape(note)}</p>{_table(head, rows, numbers_from=1)}"


def _signed(offset: int) -> str:
    return f"{offset:+d}" if offset else "0"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]], numbers_from: int | None = None) -> str:
    def cells(tag: str, row: Sequence[str]) -> str:
        kinds = [
            ' class="number"' if numbers_from is not None and place >= numbers_from else "" for place in range(len(row))
        ]
        return "".join(f"<{tag}{kind}>{escape(cell)}</{tag}>" for cell, kind in zip(row, kinds, strict=True))

    body = "".join(f"<tr>{cells('td', row)}</tr>" for row in rows)
    return f"<table><tr>{cells('th', head)}</tr>{body}</table>"
