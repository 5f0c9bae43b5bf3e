"""Draws the packages by the layers of the import contract.

python scripts/draw_packages.py docs/packages.svg
"""

from __future__ import annotations

import ast
import sys
import textwrap
import tomllib
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.patches import FancyBboxPatch, Rectangle

matplotlib.rcParams["svg.hashsalt"] = "packages"  # makes the file reproducible
ROOT = Path(__file__).parents[1]
CONTRACT = "layers of the package"
FAIRSEQ, TORCH, NEITHER = "#fbe0c3", "#cfe8d5", "#eeeeee"
COLOURS = {"fairseq_plugin": FAIRSEQ, "common": NEITHER, "data_prep": NEITHER}
WIDTH, HEIGHT, GAP = 13.0, 1.0, 0.35


def layers() -> list[list[str]]:
    """The packages of `resmlp_mt` by layer, the top layer first."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    rows = next(contract["layers"] for contract in contracts if contract["name"] == CONTRACT)
    return [[name.strip().removeprefix("resmlp_mt.") for name in row.split("|")] for row in rows]


def summary(package: Path) -> str:
    """The first line of a package's docstring."""
    text = ast.get_docstring(ast.parse((package / "__init__.py").read_text(encoding="utf-8"))) or ""
    return text.split("\n")[0].rstrip(".")


def box(axes: Axes, x: float, y: float, width: float, height: float, name: str, package: Path) -> None:
    """Draws a package with its name and summary."""
    colour = COLOURS.get(name, TORCH)
    shape = FancyBboxPatch((x, y), width, height, boxstyle="round,pad=0,rounding_size=0.1", fc=colour, ec="#555555")
    axes.add_patch(shape)
    axes.text(x + 0.2, y + height - 0.28, name, fontsize=11, va="center", weight="bold", family="monospace")
    lines = textwrap.wrap(summary(package), int(width * 9))
    axes.text(x + 0.2, y + height - 0.5, "\n".join(lines), fontsize=8.5, va="top", color="#333333")


def main(path: str) -> None:
    """Writes the figure."""
    rows = layers()
    top = len(rows) * (HEIGHT + GAP)
    figure, axes = plt.subplots(figsize=(12, 7.2))
    for number, names in enumerate(rows):
        y = top - (number + 1) * (HEIGHT + GAP)
        width = (WIDTH - (len(names) - 1) * 0.3) / len(names)
        for index, name in enumerate(names):
            box(axes, index * (width + 0.3), y, width, HEIGHT, name, ROOT / "resmlp_mt" / name)
        if number + 1 < len(rows):
            axes.annotate(
                "", (WIDTH / 2, y - GAP), (WIDTH / 2, y), arrowprops={"arrowstyle": "-|>", "color": "#333333"}
            )
    box(axes, WIDTH + 0.6, 0, 3.6, 2 * HEIGHT + GAP, "data_prep", ROOT / "data_prep")
    for place, (colour, text) in enumerate(
        [(FAIRSEQ, "imports fairseq"), (TORCH, "imports torch when used"), (NEITHER, "needs neither to be imported")]
    ):
        y = top - 1 - place * 0.5
        axes.add_patch(Rectangle((WIDTH + 0.6, y), 0.3, 0.3, fc=colour, ec="#555555"))
        axes.text(WIDTH + 1.05, y + 0.15, text, fontsize=9, va="center")
    axes.text(
        WIDTH + 0.6, top - 2.6, "Arrows: imports. A package may import\nwhat stands below it, never above.", fontsize=9
    )
    axes.set_xlim(-0.1, WIDTH + 4.4)
    axes.set_ylim(-0.1, top)
    axes.axis("off")
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None} if path.endswith("svg") else None, dpi=110)


if __name__ == "__main__":
    main(sys.argv[1])
