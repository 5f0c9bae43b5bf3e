"""The HTML page of `resmlp-mt inspect`: figures and tables in one self-contained file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from resmlp_mt.common import html_page
from resmlp_mt.common.html_page import png_image, section, table, to_html
from resmlp_mt.inspect.matrices import Stack
from resmlp_mt.inspect.measures import THRESHOLD, LayerMeasures

_STYLE = """
details { margin-top: 10px; }
summary { cursor: pointer; padding: 4px 0; }
"""


@dataclass(frozen=True)
class Picture:
    """A figure of the page.

    Attributes:
        name: file name.
        title: heading.
        caption: a sentence that explains the figure.
        content: content of the PNG file.
        folded: whether it is hidden until its title is clicked.
    """

    name: str
    title: str
    caption: str
    content: bytes
    folded: bool = False


def page(
    title: str,
    about: Mapping[str, str],
    figures: Sequence[Picture],
    stacks: Sequence[Stack],
    measures: Sequence[Sequence[LayerMeasures]],
) -> str:
    """Builds the page.

    Args:
        title: the model's name.
        about: facts about the model, by name.
        figures: the figures in order.
        stacks: the stacks of the model.
        measures: the measures of each stack's layers.

    Returns:
        Self-contained HTML.
    """
    numbers = [_numbers(stack, layers) for stack, layers in zip(stacks, measures, strict=True)]
    facts = f"<section>\n{table(['about', ''], list(about.items()))}</section>\n"
    content = ["<p>Learned mixing matrices</p>\n", *_sections(figures), *numbers, facts]
    return html_page.page(title, content, _STYLE)


def _sections(figures: Sequence[Picture]) -> list[str]:
    sections: list[str] = [
        section(figure.title, png_image(figure.content, figure.title), figure.caption)
        for figure in figures
        if not figure.folded
    ]
    folded = [figure for figure in figures if figure.folded]
    if folded:
        details = "".join(
            f"<details><summary>{to_html(figure.title)}</summary>{png_image(figure.content, figure.title)}</details>"
            for figure in folded
        )
        sections.append(section("Layer by layer", details, folded[0].caption))
    return sections


def _numbers(stack: Stack, measures: Sequence[LayerMeasures]) -> str:
    unit = "patches" if stack.is_image else "tokens"
    head = [
        "layer",
        "sparsity of A",
        "B",
        "C",
        f"mean distance ({unit}), by |A|",
        "by A²",
        "on the main diagonal",
        "shift invariance",
        "strongest diagonal",
    ]
    head += [] if stack.causal else ["symmetry"]
    head += [] if stack.causal or stack.is_image else ["earlier positions"]
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
        f"For {positions}. Sparsity is the share of weights below {THRESHOLD:.0%} of the largest magnitude. Equal "
        f"weights would have a mean distance of {first.uniform_distance:.2f} {unit}. Shift invariance is the share of "
        "A's energy in the means of its diagonals: 100% for a convolution, "
        f"{first.shift_invariance_of_noise:.1%} for pure noise. The strongest diagonal is the offset "
        f"{'(down, right) ' if stack.is_image else ''}with the largest mean |A|. The gain is the mean of |scale before "
        "the mixing times scale after it|, by which the layer's output is scaled."
    )
    if not stack.causal:
        note += " Symmetry is 1 for a symmetric and -1 for an antisymmetric A."
    return section(f"{stack.title} in numbers", table(head, rows, numbers=range(1, len(head))), note)


def _signed(offset: int) -> str:
    return f"{offset:+d}" if offset else "0"
