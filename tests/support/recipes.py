"""Resolved configurations of recipes, from `fairseq-train` and `fairseq-hydra-train`."""

from __future__ import annotations

from argparse import Namespace
from typing import Any, cast

from fairseq import options
from fairseq.dataclass.initialize import add_defaults, hydra_init
from fairseq.dataclass.utils import convert_namespace_to_omegaconf
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from omegaconf import OmegaConf

from resmlp_mt.experiments.recipes.training_config import CONFIG_FOLDER

# Sections of a fairseq configuration.
SECTIONS = (
    "common",
    "task",
    "model",
    "criterion",
    "optimizer",
    "lr_scheduler",
    "dataset",
    "optimization",
    "checkpoint",
)


def resolved_command(args: list[str]) -> dict[str, Any]:
    """The full configuration of a `fairseq-train` command line."""
    parsed = options.parse_args_and_arch(options.get_training_parser(), args)
    cfg: Any = OmegaConf.to_container(convert_namespace_to_omegaconf(parsed), resolve=True, enum_to_str=True)
    return {name: vars(section) if isinstance(section, Namespace) else section for name, section in cfg.items()}


def resolved_yaml(name: str, *overrides: str) -> dict[str, Any]:
    """The full configuration of `fairseq-hydra-train` with a recipe's config."""
    GlobalHydra.instance().clear()
    hydra_init(name)
    with initialize_config_dir(config_dir=str(CONFIG_FOLDER), version_base="1.1"):
        cfg = compose(name, overrides=list(overrides))
    add_defaults(cfg)
    return cast(dict[str, Any], OmegaConf.to_container(cfg, resolve=True, enum_to_str=True))


def differences(config: dict[str, Any], script: dict[str, Any], section: str) -> dict[str, Any]:
    """Settings of one section that differ, with both values."""
    return {
        key: (value, script[section].get(key, value))
        for key, value in config[section].items()
        if str(value) != str(script[section].get(key, value))
    }
