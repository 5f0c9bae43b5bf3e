"""The systems of a comparison or a sweep: those of `systems.py`, and custom ones from a YAML or JSON file."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from resmlp_mt.common.errors import ResMLPError
from resmlp_mt.experiments.systems import SYSTEMS, model_options, training_options

_REPLACING_TRAINING = frozenset({"optimizer", "lr-scheduler"})
_FIELDS = ("title", "base", "options")


@dataclass(frozen=True)
class Contestant:
    """One system that is trained.

    Attributes:
        name: name of its folder.
        title: its name in tables.
        options: options of `fairseq-train` for the model, its optimizer and its schedule.
    """

    name: str
    title: str
    options: tuple[str, ...]


def command_line(options: Mapping[str, Any]) -> tuple[str, ...]:
    """Converts options from YAML or JSON to command-line arguments.

    Args:
        options: values by name without leading dashes. True becomes a switch, False is omitted, and a list becomes
            several arguments.
    """
    args: list[str] = []
    for name, value in options.items():
        if value is False or value is None:
            continue
        args.append(f"--{str(name).replace('_', '-')}")
        if value is not True:
            args += [str(item) for item in (value if isinstance(value, list) else [value])]
    return tuple(args)


def changed_system(
    base: str, size: str, options: Mapping[str, Any], training_of: str | None = None, until_converged: bool = False
) -> tuple[str, ...]:
    """The options of a system with some of them changed.

    Args:
        base: a name of `systems.SYSTEMS`.
        size: a name of `systems.SIZES`.
        options: options that override the base's. An option that names an optimizer or a schedule removes all options
            of the base's optimizer and schedule, which would not fit the new ones.
        training_of: the system that provides optimizer and schedule (default: `base`).
        until_converged: for trainings until validation BLEU stops rising, not for a given budget.

    Raises:
        ResMLPError: for unknown names.
    """
    replaces = _REPLACING_TRAINING & {str(name).replace("_", "-") for name in options}
    training = [] if replaces else training_options(training_of or base, size, until_converged)
    return (*model_options(base, size, until_converged=until_converged), *training, *command_line(options))


def read_settings(path: Path) -> dict[str, Any]:
    """Reads a mapping from a YAML or JSON file.

    Raises:
        ResMLPError: when the file cannot be read or is not a mapping.
    """
    try:
        text = path.read_text(encoding="utf-8")
        content = json.loads(text) if path.suffix == ".json" else yaml.safe_load(text)
    except (OSError, UnicodeDecodeError, ValueError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())
        raise ResMLPError(f"{path} must be a YAML or JSON file, but cannot be read as one ({reason})") from error
    if not isinstance(content, dict):
        raise ResMLPError(f"{path} must be a mapping, not a {type(content).__name__}; see docs/compare.md")
    return content


def custom_systems(
    path: Path, size: str, training_of: str | None = None, until_converged: bool = False
) -> dict[str, Contestant]:
    """Reads custom systems.

    Args:
        path: YAML or JSON file that maps a name to `base` (a system of the table), `title` and `options`.
        size: a name of `systems.SIZES`.
        training_of: the system that provides optimizer and schedule for all systems, if any.
        until_converged: see `changed_system`.

    Raises:
        ResMLPError: when the file or an entry is malformed.
    """
    systems = {}
    for name, entry in read_settings(path).items():
        where = f"{path}: {name}"
        if not isinstance(entry, dict):
            raise ResMLPError(f"{where} must be a mapping of {', '.join(_FIELDS)}, not {entry!r}; see docs/compare.md")
        for field in entry:
            if field not in _FIELDS:
                raise ResMLPError(f"each field of {where} must be one of {', '.join(_FIELDS)}, not {field!r}")
        options = entry.get("options") or {}
        if not isinstance(options, dict):
            raise ResMLPError(f"{where}: options must be a mapping of NAME: VALUE, not {options!r}")
        if not re.fullmatch(r"[\w.-]+", str(name)):
            raise ResMLPError(f"{where}: a name may have letters, digits, '.', '_' and '-'; rename it")
        if str(name) in SYSTEMS:
            raise ResMLPError(f"{where}: the table of systems has this name already; rename it")
        changed = changed_system(str(entry.get("base", "resmlp")), size, options, training_of, until_converged)
        systems[str(name)] = Contestant(str(name), str(entry.get("title", name)), changed)
    return systems


def choose(
    names: Sequence[str] | None,
    size: str,
    custom: Mapping[str, Contestant],
    training_of: str | None = None,
    until_converged: bool = False,
) -> list[Contestant]:
    """The systems of a comparison, in order.

    Args:
        names: names from the table or `custom` (default: all).
        size: a name of `systems.SIZES`.
        custom: the user's systems.
        training_of: the system that provides optimizer and schedule for all systems, if any.
        until_converged: see `changed_system`.

    Raises:
        ResMLPError: for a name that is unknown or repeated.
    """
    table = {
        name: Contestant(name, row.title, changed_system(name, size, {}, training_of, until_converged))
        for name, row in SYSTEMS.items()
    }
    known = {**table, **custom}
    chosen = list(known) if names is None else list(names)
    for name in chosen:
        if name not in known:
            raise ResMLPError(f"each of --systems must be one of {', '.join(known)}, not {name!r}")
    if len(set(chosen)) != len(chosen):
        raise ResMLPError(f"--systems has repeated names: {' '.join(chosen)}; give each system once")
    return [known[name] for name in chosen]
