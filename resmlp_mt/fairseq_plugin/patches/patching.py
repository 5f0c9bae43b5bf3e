"""Wrapping of functions of fairseq, for patches and hooks."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any


def wrap_function(owner: object, name: str, wrapper: Callable[..., Any]) -> None:
    """Replaces `owner.name(...)` by `wrapper(original, ...)`.

    Wrapping again with a wrapper of the same name has no effect.

    Args:
        owner: a module or class.
        name: name of one of its functions.
        wrapper: takes the original function, then the arguments of the call.
    """
    original = getattr(owner, name)
    patches: tuple[str, ...] = getattr(original, "patches", ())
    if wrapper.__name__ in patches:
        return

    @functools.wraps(original)
    def patched(*args: Any, **kwargs: Any) -> Any:
        return wrapper(original, *args, **kwargs)

    patched.patches = (*patches, wrapper.__name__)
    setattr(owner, name, patched)
