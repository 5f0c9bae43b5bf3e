"""How the repairs change a function of fairseq's."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any


def put_around(owner: object, name: str, around: Callable[..., Any]) -> None:
    """Turns calls of `owner.name(...)` into calls of `around(original, ...)`; once, however often it is asked to."""
    original = getattr(owner, name)
    repairs: tuple[str, ...] = getattr(original, "repairs", ())
    if around.__name__ in repairs:
        return

    @functools.wraps(original)
    def repaired(*args: Any, **kwargs: Any) -> Any:
        return around(original, *args, **kwargs)

    repaired.repairs = (*repairs, around.__name__)  # type: ignore[attr-defined]
    setattr(owner, name, repaired)
