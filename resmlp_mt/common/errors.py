"""The one error that a user of this package can cause, and the sentence that it says."""

from __future__ import annotations

from numbers import Integral, Real


class ResMLPError(ValueError):
    """Bad input or settings: its message is one line that says what is wrong, where, and how to mend it.

    Command lines print the message without a traceback and end with exit status 2.
    """


def require(condition: bool, name: str, rule: str, value: object, remedy: str) -> None:
    """Raises `ResMLPError` saying "NAME must be RULE, but is VALUE; REMEDY" unless `condition` holds."""
    if not condition:
        raise ResMLPError(f"{name} must be {rule}, but is {value}; {remedy}")


def require_choice(name: str, value: str, choices: tuple[str, ...]) -> None:
    """Raises `ResMLPError` that lists `choices` unless `value` is one of them."""
    require(value in choices, name, f"one of {', '.join(choices)}", repr(value), "choose one of these")


def require_whole_number(name: str, value: object, least: int, most: int, remedy: str = "change it") -> None:
    """Raises `ResMLPError` unless `value` is a whole number in a range, both ends included."""
    fits = isinstance(value, Integral) and not isinstance(value, bool) and bool(least <= value <= most)  # type: ignore[operator]
    require(fits, name, f"a whole number from {least} to {most}", _shown(value), remedy)


def require_number(name: str, value: object, least: float, most: float, remedy: str = "change it") -> None:
    """Raises `ResMLPError` unless `value` is a finite number in a range, both ends included."""
    is_number = isinstance(value, Real) and not isinstance(value, bool)
    fits = is_number and bool(least <= value <= most)  # type: ignore[operator]  # NaN compares false
    require(fits, name, f"a number from {least:g} to {most:g}", _shown(value), remedy)


def require_flag(name: str, value: object, remedy: str = "change it") -> None:
    """Raises `ResMLPError` unless `value` is true or false."""
    require(isinstance(value, bool), name, "true or false", _shown(value), remedy)


def _shown(value: object) -> str:
    """A value for a message, not too long."""
    return repr(value)[:100]
