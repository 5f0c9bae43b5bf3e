"""A recipe: the training in `config/NAME.yaml`, with the corpus, averaging and scoring in `recipes.yaml`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from resmlp_mt.common.errors import ResMLPError
from resmlp_mt.experiments.recipes.training_config import flatten, leave_out, read_config

CUSTOM = "custom"  # for any prepared folder; its size determines the settings
BEAM = 4  # as in the paper
TABLE = Path(__file__).parent / "recipes.yaml"


@dataclass(frozen=True)
class Recipe:
    """One entry of `recipes.yaml`, whose comments explain the fields, with its training.

    Attributes:
        name: name of the recipe.
        config: settings of the training, "section.name" to value.
        system_options: further options of `fairseq-train` for the model and optimizer of another system.
    """

    name: str
    config: Mapping[str, Any]
    data: str
    run: str
    average: int
    corpus: str = ""
    prepare: Mapping[str, Any] = field(default_factory=dict)
    sets: tuple[str, ...] = ()
    size: str = ""
    text: str = ""
    lenpen: float = 1.0
    tokenised: bool = False
    with_epochs: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    interactive: bool = False
    system_options: tuple[str, ...] = ()

    @property
    def pair(self) -> str:
        """The language pair of the recipe, for example "en-de"."""
        return f"{self.config['task.source_lang']}-{self.config['task.target_lang']}"

    @property
    def short_config(self) -> dict[str, Any]:
        """The settings of a training that --epochs limits."""
        config = leave_out(self.config, [f"{section}." for section in self.with_epochs])
        return {**config, **flatten(self.with_epochs)}


def _table() -> dict[str, dict[str, Any]]:
    table: dict[str, dict[str, Any]] = yaml.safe_load(TABLE.read_text(encoding="utf-8"))
    return table


def recipe_names() -> tuple[str, ...]:
    """The names of all translation recipes."""
    return tuple(_table())


def load_recipe(name: str) -> Recipe:
    """Reads a recipe.

    Raises:
        ResMLPError: when there is no recipe of this name.
    """
    table = _table()
    if name not in table:
        raise ResMLPError(f"there is no recipe {name!r}; choose one of {', '.join(table)}")
    entry = dict(table[name])
    return Recipe(name, read_config(name), **{**entry, "sets": tuple(entry.get("sets", ()))})


def recipe_of_size(size: str) -> Recipe:
    """The recipe whose models have a size of `systems.SIZES`."""
    name = next(name for name, entry in _table().items() if entry.get("size") == size)
    return load_recipe(name)
