"""Reads the training of a recipe, `config/NAME.yaml`, and converts it to options of `fairseq-train`."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import yaml

from resmlp_mt.common.errors import ResMLPError

CONFIG_FOLDER = Path(__file__).parent / "config"

# fairseq's Adagrad has no configuration class, hence no defaults: Hydra requires these settings, fairseq-train not.
HYDRA_ONLY: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {"adagrad": {"optimizer.lr": "${optimization.lr}", "optimizer.weight_decay": 0.0}}
)
# The launcher sets these, depending on the machine and the folders.
OF_THE_LAUNCHER = ("task.data", "dataset.max_tokens", "optimization.update_freq")
# Settings that differ between systems; the others of a recipe are the same for all systems.
OF_THE_MODEL = ("model.",)
OF_THE_OPTIMIZER = ("optimizer.", "optimization.lr", "optimization.clip_norm", "lr_scheduler.")
OF_THE_SYSTEM = (*OF_THE_MODEL, *OF_THE_OPTIMIZER)

_MISSING = "???"
_OPTION_OF_NAME = {"model": "arch"}


def config_names() -> tuple[str, ...]:
    """The names of all configs."""
    return tuple(sorted(path.stem for path in CONFIG_FOLDER.glob("*.yaml")))


def read_config(name: str) -> dict[str, Any]:
    """Reads a config as a flat mapping.

    Args:
        name: name of the recipe.

    Returns:
        "section.name" to value. A value is the text in the file ("1e-7" stays "1e-7"), or a list of such texts.

    Raises:
        ResMLPError: when there is no config of this name.
    """
    if name not in config_names():
        raise ResMLPError(f"there is no recipe {name!r}; choose one of {', '.join(config_names())}")
    text = (CONFIG_FOLDER / f"{name}.yaml").read_text(encoding="utf-8")
    return flatten(yaml.load(text, Loader=yaml.BaseLoader))  # loads every value as a string


def flatten(sections: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Converts sections of settings to a flat mapping, "section.name" to value."""
    return {f"{section}.{key}": value for section, settings in sections.items() for key, value in settings.items()}


def batch_of(config: Mapping[str, Any]) -> int:
    """Target tokens per update, of all processes together."""
    return int(config["dataset.max_tokens"]) * int(config["optimization.update_freq"][0])


def select(config: Mapping[str, Any], prefixes: Sequence[str], without: Collection[str] = ()) -> dict[str, Any]:
    """The settings whose names start with one of the prefixes, except those in `without`."""
    return {key: value for key, value in config.items() if key.startswith(tuple(prefixes)) and key not in without}


def leave_out(config: Mapping[str, Any], prefixes: Sequence[str]) -> dict[str, Any]:
    """The settings whose names start with none of the prefixes."""
    return {key: value for key, value in config.items() if not key.startswith(tuple(prefixes))}


def train_options(config: Mapping[str, Any]) -> list[str]:
    """Converts settings to options of `fairseq-train`.

    Missing settings (`???`), references to others (`${...}`) and settings that only Hydra requires are left out.

    Args:
        config: "section.name" to value: text, number, True for a switch, or a list.
    """
    hydra_only = HYDRA_ONLY.get(str(config.get("optimizer._name")), {})
    options = []
    for key, value in config.items():
        section, _, name = key.partition(".")
        first = value[0] if isinstance(value, list) else value
        if key in hydra_only or first == _MISSING or "${" in str(first) or first is False or first == "false":
            continue
        option = _OPTION_OF_NAME.get(section, section) if name == "_name" else name
        options.append(f"--{option.replace('_', '-')}")
        if first is not True and first != "true":
            options.append(str(first))
    return options


def parse_options(args: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """The values of each option of a command line; the last one counts, as in argparse."""
    parsed: dict[str, tuple[str, ...]] = {}
    option = ""
    for arg in args:
        if arg.startswith("--"):
            option = arg
            parsed[option] = ()
        else:
            parsed[option] = (*parsed.get(option, ()), arg)
    return parsed


def same_options(one: Iterable[str], other: Iterable[str]) -> bool:
    """Whether two command lines have the same options, in any order."""
    return parse_options(one) == parse_options(other)
