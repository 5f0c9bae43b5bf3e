"""How all figures look: settings of matplotlib for `rc_context`, and the colours of what is not data."""

from __future__ import annotations

from typing import Any

INK, MUTED, GRID = "#1c2733", "#5b6b7b", "#e4e9ee"
STYLE: Any = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 10,
    "svg.fonttype": "path",
    "svg.hashsalt": "resmlp-mt",  # the same figure gives the same bytes
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "text.color": INK,
}
