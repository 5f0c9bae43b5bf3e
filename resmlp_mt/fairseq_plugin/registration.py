"""How the plugin declares options and registers names with fairseq."""

# No `from __future__ import annotations` here: fairseq reads the types of configuration fields.
from collections.abc import Mapping
from dataclasses import field, make_dataclass, replace
from enum import Enum
from typing import Any, Optional, TypeVar

from fairseq.dataclass import ChoiceEnum, FairseqDataclass
from fairseq.models import ARCH_MODEL_REGISTRY, register_model

from resmlp_mt.common.config import Option, check_values, options_of
from resmlp_mt.common.errors import ResMLPError

Config = TypeVar("Config")


def assert_registered(registry: Mapping[str, object], name: str, registered: object) -> None:
    """Makes sure that a name means what this package registered under it.

    fairseq's `register_model` and its kin return without a word when a name is taken, and keep the other class.

    Raises:
        ResMLPError: the registry holds nothing or something else under the name.
    """
    if registry.get(name) is not registered:
        raise ResMLPError(
            f"fairseq knows {name} as {registry.get(name)!r} instead of {registered!r}: another plugin has taken the "
            "name; load one of the two"
        )


def option(default: Any, help: str) -> Any:
    """A field of a configuration: an option of the command line with its help."""
    return field(default=default, metadata={"help": help})


def plugin_config(
    name: str, config_class: type, undecided: Mapping[str, str] | None = None, **others: tuple[Any, Any]
) -> type[FairseqDataclass]:
    """Makes fairseq's configuration of a model from ours, see `resmlp_mt.common.config`.

    Args:
        name: of the class that is made.
        config_class: whose fields were made with `resmlp_mt.common.config.option`.
        undecided: options that fairseq's tasks decide unless they are given, with a note for their help.
        others: options of fairseq's alone, by name: type and field.
    """
    undecided = undecided or {}
    fields: list[tuple[str, Any, Any]] = []
    for each in options_of(config_class):
        if each.name in undecided:
            noted = replace(each, help=f"{each.help}; {undecided[each.name]}")
            fields.append((each.name, Optional[int], option(None, noted.description)))
        else:
            fields.append((each.name, _fairseq_type(each), option(each.default, each.description)))
    fields += [(other, *declared) for other, declared in others.items()]
    namespace = {"__doc__": config_class.__doc__, "__module__": __name__}
    return make_dataclass(name, fields, bases=(FairseqDataclass,), namespace=namespace)


def _fairseq_type(each: Option) -> Any:
    if each.choices:
        return ChoiceEnum(each.choices)
    return each.type if len(each.types) == 1 else Optional[each.types[0]]


def own_config(config_class: type[Config], cfg: FairseqDataclass, decided: Mapping[str, Any] | None = None) -> Config:
    """Our configuration from fairseq's, the reverse of `plugin_config`.

    Args:
        config_class: ours.
        cfg: fairseq's.
        decided: values of the options that the task decides.

    Raises:
        ResMLPError: names the first option of the command line whose value is not allowed.
    """
    values = {each.name: _plain(getattr(cfg, each.name)) for each in options_of(config_class)} | dict(decided or {})
    check_values(config_class, values, name_of=lambda each: each.flag)
    return config_class(**values)


def _plain(value: Any) -> Any:
    return str(value) if isinstance(value, Enum) else value  # fairseq makes choices members of an enumeration


def register_architecture(name: str, config_class: type, model_class: type, changes: Mapping[str, Any]) -> None:
    """Registers an architecture, so that `--arch NAME` and hydra's `model=NAME` give the same model.

    Args:
        name: of the architecture.
        config_class: the configuration that it is a difference from.
        model_class: which it builds.
        changes: defaults of its own, by field of the configuration.

    Raises:
        ResMLPError: another plugin has taken the name.
    """
    defaults = [(key, *_typed(config_class, key, value)) for key, value in changes.items()]
    config = make_dataclass(f"{config_class.__name__}_{name}", defaults, bases=(config_class,))
    described = {"__doc__": f"The architecture {name}.", "__module__": model_class.__module__}
    model = type(f"{model_class.__name__}_{name}", (model_class,), described)
    register_model(name, dataclass=config)(model)
    assert_registered(ARCH_MODEL_REGISTRY, name, model)


def _typed(config_class: type, key: str, value: Any) -> tuple[Any, Any]:
    original = config_class.__dataclass_fields__[key]
    return original.type, field(default=value, metadata=dict(original.metadata))
