"""Progress of a long job on standard error: a bar on a terminal, and one line per message."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tqdm import tqdm


def log(step: str, message: str) -> None:
    """Prints `[step] message` on standard error."""
    print(f"[{step}] {message}", file=sys.stderr, flush=True)


def progress_bar(step: str, total: int | None, unit: str, **options: Any) -> tqdm:
    """A progress bar on standard error; by default it is shown on a terminal only and vanishes at the end.

    Args:
        step: what is going on, shown in front.
        total: the number of units; None when it is unknown.
        unit: what is counted, for example "pairs" or "B".
        options: further options of tqdm, which replace the defaults.

    Returns:
        The bar; call `update(n)` as work is done, and use it in a `with` statement.
    """
    from tqdm import tqdm  # takes a tenth of a second, which a command without a bar does not spend

    defaults: dict[str, Any] = {"desc": f"[{step}]", "disable": None, "leave": False, "unit_scale": True}
    return tqdm(total=total, unit=f" {unit}", **{**defaults, **options})
