"""The error that a user of this package can cause, and checks of settings that raise it."""

from __future__ import annotations

from numbers import Integral, Real


class ResMLPError(ValueError):
    """Bad input or settings. The message is one line that says what is wrong, where, and what to do.

    Command lines print the message without a traceback and end with exit status 2.
    """


def require_choice(name: str, value: str, choices: tuple[str, ...]) -> None:
    """Raises `ResMLPError` that lists `choices` unless `value` is one of them."""
    if value not in choices:
        raise ResMLPError(f"{name} must be one of {', '.join(choices)}, but is {value!r}; choose one of these")


def require_whole_number(name: str, value: object, least: int, most: int, remedy: str = "change it") -> None:
    """Raises `ResMLPError` unless `value` is a whole number from `least` to `most`."""
    is_whole = isinstance(value, Integral) and not isinstance(value, bool)
    if not is_whole or not least <= value <= most:  # type: ignore[operator]
        raise ResMLPError(f"{name} must be a whole number from {least} to {most}, but is {_shown(value)}; {remedy}")


def require_number(name: str, value: object, least: float, most: float, remedy: str = "change it") -> None:
    """Raises `ResMLPError` unless `value` is a number from `least` to `most`; NaN is not."""
    is_number = isinstance(value, Real) and not isinstance(value, bool)
    if not is_number or not least <= value <= most:  # type: ignore[operator]
        raise ResMLPError(f"{name} must be a number from {least:g} to {most:g}, but is {_shown(value)}; {remedy}")


def require_flag(name: str, value: object, remedy: str = "change it") -> None:
    """Raises `ResMLPError` unless `value` is true or false."""
    if not isinstance(value, bool):
        raise ResMLPError(f"{name} must be true or false, but is {_shown(value)}; {remedy}")


def _shown(value: object) -> str:
    """The beginning of a value's representation, for a message."""
    return repr(value)[:100]
