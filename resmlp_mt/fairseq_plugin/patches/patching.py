"""Wraps functions of fairseq, for patches and hooks."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any


def wrap_function(owner: object, name: str, wrapper: Callable[..., Any]) -> None:
    """Replaces `owner.name(...)` by `wrapper(original, ...)`. Wrapping again with the same wrapper has no effect."""
    original = getattr(owner, name)
    patches: tuple[str, ...] = getattr(original, "patches", ())
    if wrapper.__name__ in patches:
        return

    @functools.wraps(original)
    def patched(*args: Any, **kwargs: Any) -> Any:
        return wrapper(original, *args, **kwargs)

    patched.patches = (*patches, wrapper.__name__)
    setattr(owner, name, patched)
