"""Configurations: dataclasses whose fields define default, help, source and limits of the options.

An option is defined once, as a field:

    dropout: float = option(0.1, "after each sublayer", source="paper, section 3.6", below=1)

Validation (`check_config`), reading from files (`parse_config`), the options of fairseq's command line
(`resmlp_mt.fairseq_plugin.registration`) and the tables of the documentation (`options_table`) are derived from it.
"""

from __future__ import annotations

import dataclasses
import math
import types
from argparse import Namespace
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from resmlp_mt.common.errors import ResMLPError

LARGEST_NUMBER = 1_000_000  # far above any model size; rejects files that would exhaust the memory
# Stored next to the options of the model, by fairseq in a checkpoint and by version 0.1.1 in a bundle.
NOT_OF_THE_MODEL = ("_name", "arch", "compile_layers")
_KINDS = {bool: "true or false", int: "a whole number", float: "a number"}

Config = TypeVar("Config")


def option(
    default: Any,
    help: str,
    *,
    source: str = "",
    minimum: float = 0,
    below: float | None = None,
    choices: Collection[str] = (),
) -> Any:
    """A field of a configuration.

    Args:
        default: default value.
        help: description for users.
        source: source of the default.
        minimum: minimum of a number; the maximum is always `LARGEST_NUMBER`.
        below: exclusive upper limit of a number, if given.
        choices: allowed values of an option of type str.
    """
    metadata = {"help": help, "source": source, "minimum": minimum, "below": below, "choices": tuple(choices)}
    return dataclasses.field(default=default, metadata=metadata)


@dataclass(frozen=True)
class Option:
    """An option, read from a field that was created with `option`.

    Attributes:
        name: name of the field.
        type: resolved type annotation.
        default, help, source, minimum, below, choices: see `option`.
    """

    name: str
    type: Any
    default: Any
    help: str
    source: str
    minimum: float
    below: float | None
    choices: tuple[str, ...]

    @property
    def flag(self) -> str:
        """The name on the command line of fairseq, such as --layer-scale."""
        return f"--{self.name.replace('_', '-')}"

    @property
    def description(self) -> str:
        """Help and source in one line."""
        return f"{self.help} ({self.source})" if self.source else self.help

    @property
    def types(self) -> tuple[Any, ...]:
        """The allowed types of the value."""
        return get_args(self.type) if get_origin(self.type) in (Union, types.UnionType) else (self.type,)

    @property
    def allowed(self) -> str:
        """A description of the allowed values, for messages and tables."""
        return " or ".join(self._allowed(kind) for kind in self.types)

    def allows(self, value: Any) -> bool:
        """Whether a value has an allowed type and is within the limits."""
        return any(self._allows(kind, value) for kind in self.types)

    def _allowed(self, kind: Any) -> str:
        if kind is type(None):
            return "none"
        if kind is str:
            return f"one of {', '.join(self.choices)}" if self.choices else "text"
        if get_origin(kind) is tuple:
            return f"{len(get_args(kind))} whole numbers"
        if kind is bool:
            return _KINDS[kind]
        if self.below is None:
            return f"{_KINDS[kind]} from {self.minimum:g} to {LARGEST_NUMBER}"
        return f"at least {self.minimum:g} and below {self.below:g}"

    def _allows(self, kind: Any, value: Any) -> bool:
        if kind is type(None) or kind is bool:
            return isinstance(value, kind)
        if kind is str:
            return isinstance(value, str) and (not self.choices or value in self.choices)
        if get_origin(kind) is tuple:
            sides = get_args(kind)
            return isinstance(value, tuple) and len(value) == len(sides) and all(map(self._allows, sides, value))
        is_number = isinstance(value, int | float if kind is float else int) and not isinstance(value, bool)
        if not is_number or not math.isfinite(value):
            return False
        return self.minimum <= value <= LARGEST_NUMBER and (self.below is None or value < self.below)


def options_of(config_class: type) -> tuple[Option, ...]:
    """The options of a configuration class, in the order of its fields."""
    return _read_options(config_class)


@cache  # configurations are also created in training steps, for the local crops of DINO
def _read_options(config_class: type) -> tuple[Option, ...]:
    hints = get_type_hints(config_class)
    return tuple(
        Option(name=field.name, type=hints[field.name], default=field.default, **field.metadata)
        for field in dataclasses.fields(config_class)
    )


def check_config(config: Any) -> None:
    """Checks type and limits of every option of a configuration.

    Raises:
        ResMLPError: names the first option whose value is not allowed.
    """
    check_values(type(config), vars(config))


def check_values(
    config_class: type, values: Mapping[str, Any], name_of: Callable[[Option], str] = lambda option: option.name
) -> None:
    """Checks values before a configuration is created from them.

    Args:
        config_class: class with the options.
        values: values by option name.
        name_of: returns the name of an option for messages.

    Raises:
        ResMLPError: names the first option whose value is not allowed.
    """
    for each in options_of(config_class):
        if each.name in values and not each.allows(values[each.name]):
            raise ResMLPError(
                f"{name_of(each)} must be {each.allowed}, but is {_shortened(values[each.name])}; change it"
            )


def parse_config(config_class: type[Config], content: Mapping[str, Any], ignored: Collection[str] = ()) -> Config:
    """Creates a configuration from the content of a file. Missing options have their defaults.

    Args:
        config_class: a dataclass whose fields were created with `option` and which validates itself.
        content: values by name. Lists are accepted for tuples, which JSON lacks.
        ignored: names in older files that do not describe the model.

    Raises:
        ResMLPError: names an option that is unknown to this version, or whose value is not allowed.
    """
    names = {each.name for each in options_of(config_class)}
    for name in content:
        if name not in names and name not in ignored:
            raise ResMLPError(
                f"the option {str(name)[:100]!r} is unknown to this version; upgrade if a newer one wrote the file"
            )
    given = {name: value for name, value in content.items() if name in names}
    return config_class(**{name: tuple(value) if isinstance(value, list) else value for name, value in given.items()})


def parse_stored_config(config_class: type[Config], stored: Any, decided: Mapping[str, Any] | None = None) -> Config:
    """Creates a configuration from the "cfg" and "model" entry of a fairseq checkpoint.

    Args:
        config_class: see `parse_config`.
        stored: a dictionary of the model's options, or, from a command line without Hydra, a Namespace with all
            arguments, of which unrelated ones are ignored.
        decided: values that override the stored ones.

    Raises:
        ResMLPError: see `parse_config`.
        TypeError: if `stored` is neither.
    """
    if isinstance(stored, Namespace):
        names = {each.name for each in options_of(config_class)}
        stored = {name: value for name, value in vars(stored).items() if name in names}
    return parse_config(config_class, {**stored, **(decided or {})}, NOT_OF_THE_MODEL)


def check_revision(revision: Any, known: int) -> None:
    """Checks the format revision of a file.

    Args:
        revision: revision in the file, from 1.
        known: newest supported revision; all earlier ones are supported too.

    Raises:
        ResMLPError: if it is newer, or not a revision.
    """
    if isinstance(revision, bool) or not isinstance(revision, int) or revision < 1:
        raise ResMLPError(f"the format must be a revision from 1 to {known}, but is {_shortened(revision)}")
    if revision > known:
        raise ResMLPError(
            f"the format has revision {revision}, but this version reads revisions up to {known}: upgrade resmlp-mt"
        )


def options_table(config_class: type) -> str:
    """The options of a configuration as a Markdown table: name, default, allowed values, meaning and source."""
    rows = ["| option | default | allowed | meaning | source |", "| --- | --- | --- | --- | --- |"]
    for each in options_of(config_class):
        default = "none" if each.default is None else str(each.default).lower()
        rows.append(f"| `{each.flag}` | {default} | {each.allowed} | {each.help} | {each.source} |")
    return "\n".join(rows) + "\n"


def _shortened(value: object) -> str:
    return repr(value)[:100]
