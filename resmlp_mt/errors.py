"""The one error that a user of this package can cause, and the sentence that it says."""

from __future__ import annotations


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
