"""What the user sees of a running step: a bar on a terminal, one line per finished step otherwise."""

from __future__ import annotations

import sys

from tqdm import tqdm


def say(step: str, message: str) -> None:
    """Prints one line of the log, `[step] message`, on the standard error stream."""
    print(f"[{step}] {message}", file=sys.stderr, flush=True)


def bar(step: str, total: int | None, unit: str) -> tqdm:
    """A progress bar that is silent unless the standard error stream is a terminal.

    Args:
        step: the name of the step, shown in front.
        total: how many units there will be; None when that is unknown.
        unit: what is counted, for example "pairs" or "B".

    Returns:
        The bar; call `update(n)` as work is done, and use it in a `with` statement.
    """
    return tqdm(total=total, unit=f" {unit}", unit_scale=True, desc=f"[{step}]", disable=None, leave=False)
