"""Who takes part in a comparison or a sweep: the systems of `systems.py`, and a user's own from a YAML or JSON file."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from resmlp_mt.common.errors import ResMLPError, require, require_choice
from resmlp_mt.experiments.systems import SYSTEMS, model_options, training_options

_REPLACING_TRAINING = frozenset({"optimizer", "lr-scheduler"})
_FIELDS = ("title", "base", "options")


@dataclass(frozen=True)
class Contestant:
    """One system that is trained.

    Attributes:
        name: of its folder.
        title: for tables.
        words: of fairseq-train that make the model, its optimiser and its schedule.
    """

    name: str
    title: str
    words: tuple[str, ...]


def option_words(options: Mapping[str, Any]) -> tuple[str, ...]:
    """Turns options as YAML and JSON hold them into words of a command line.

    Args:
        options: by name without dashes in front; True gives a switch, False leaves it out, a list gives several words.
    """
    words: list[str] = []
    for name, value in options.items():
        if value is False or value is None:
            continue
        words.append(f"--{str(name).replace('_', '-')}")
        if value is not True:
            words += [str(item) for item in (value if isinstance(value, list) else [value])]
    return tuple(words)


def changed_system(base: str, size: str, options: Mapping[str, Any], training_of: str | None = None) -> tuple[str, ...]:
    """The words of a system with some options changed.

    Args:
        base: a name of `systems.SYSTEMS`.
        size: a name of `systems.SIZES`.
        options: override the base's. One that names an optimiser or a schedule takes the place of the base's optimiser
            and schedule with all their options, since these would not fit the new ones.
        training_of: the system whose optimiser and schedule are taken; `base` unless given.

    Raises:
        ResMLPError: for names that are not there.
    """
    replaces = _REPLACING_TRAINING & {str(name).replace("_", "-") for name in options}
    training = [] if replaces else training_options(training_of or base, size)
    return (*model_options(base, size), *training, *option_words(options))


def read_settings(path: Path) -> dict[str, Any]:
    """Reads a mapping from a YAML or JSON file.

    Raises:
        ResMLPError: when it cannot be read or holds no mapping.
    """
    try:
        text = path.read_text(encoding="utf-8")
        content = json.loads(text) if path.suffix == ".json" else yaml.safe_load(text)
    except (OSError, UnicodeDecodeError, ValueError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())
        raise ResMLPError(f"{path} must be a YAML or JSON file, but is not ({reason}); correct it") from error
    require(isinstance(content, dict), str(path), "a mapping", type(content).__name__, "see docs/compare.md")
    return content


def own_systems(path: Path, size: str, training_of: str | None = None) -> dict[str, Contestant]:
    """Reads a user's own systems.

    Args:
        path: of a YAML or JSON file that maps a name to `base` (a system of the table), `title` and `options`.
        size: of the base.
        training_of: the system whose optimiser and schedule everybody gets, if any.

    Raises:
        ResMLPError: for a file or an entry of another form.
    """
    found = {}
    for name, entry in read_settings(path).items():
        where = f"{path}: {name}"
        require(
            isinstance(entry, dict), where, f"a mapping of {', '.join(_FIELDS)}", repr(entry), "see docs/compare.md"
        )
        for field in entry:
            require_choice(f"each field of {where}", field, _FIELDS)
        options = entry.get("options") or {}
        require(isinstance(options, dict), f"{where}: options", "a mapping", repr(options), "give NAME: VALUE")
        require(
            bool(re.fullmatch(r"[\w.-]+", str(name))), where, "letters, digits, '.', '_' and '-'", name, "rename it"
        )
        require(str(name) not in SYSTEMS, where, "another name than the table's", name, "rename it")
        words = changed_system(str(entry.get("base", "resmlp")), size, options, training_of)
        found[str(name)] = Contestant(str(name), str(entry.get("title", name)), words)
    return found


def choose(
    names: Sequence[str] | None, size: str, own: Mapping[str, Contestant], training_of: str | None = None
) -> list[Contestant]:
    """The systems that take part, in their order.

    Args:
        names: of the table or of `own`; all of them unless given.
        size: a name of `systems.SIZES`.
        own: the user's own systems.
        training_of: the system whose optimiser and schedule everybody gets, if any.

    Raises:
        ResMLPError: for a name that is not there or is there twice.
    """
    table = {
        name: Contestant(name, row.title, changed_system(name, size, {}, training_of)) for name, row in SYSTEMS.items()
    }
    known = {**table, **own}
    chosen = list(known) if names is None else list(names)
    for name in chosen:
        require_choice("each of --systems", name, tuple(known))
    require(len(set(chosen)) == len(chosen), "--systems", "without repetitions", " ".join(chosen), "name each once")
    return [known[name] for name in chosen]
