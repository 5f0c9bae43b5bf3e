"""Declaration of options and registration of names with fairseq."""

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
    """Checks that a name in a registry of fairseq refers to the class that this package registered.

    fairseq's `register_model` and similar functions keep the existing class, without an error, if a name is taken.

    Args:
        registry: fairseq's registry.
        name: the registered name.
        registered: the class that this package registered.

    Raises:
        ResMLPError: if the registry has no entry or another one under the name.
    """
    if registry.get(name) is not registered:
        raise ResMLPError(
            f"the name {name} refers to {registry.get(name)!r} in fairseq instead of {registered!r}: another plugin "
            "uses the name; load only one of the two"
        )


def option(default: Any, help: str) -> Any:
    """Returns a dataclass field: a command-line option with its default and help text."""
    return field(default=default, metadata={"help": help})


def plugin_config(
    name: str, config_class: type, undecided: Mapping[str, str] | None = None, **others: tuple[Any, Any]
) -> type[FairseqDataclass]:
    """Derives fairseq's configuration of a model from ours, see `resmlp_mt.common.config`.

    Args:
        name: name of the new class.
        config_class: our configuration; its fields are made with `resmlp_mt.common.config.option`.
        undecided: options whose default comes from the task, with a note for their help text.
        others: options that only fairseq's configuration has, by name: type and field.

    Returns:
        The new dataclass.
    """
    undecided = undecided or {}
    fields: list[tuple[str, Any, Any]] = []
    for declared in options_of(config_class):
        if declared.name in undecided:
            with_note = replace(declared, help=f"{declared.help}; {undecided[declared.name]}")
            fields.append((declared.name, Optional[int], option(None, with_note.description)))
        else:
            fields.append((declared.name, _fairseq_type(declared), option(declared.default, declared.description)))
    fields += [(other, *type_and_field) for other, type_and_field in others.items()]
    namespace = {"__doc__": config_class.__doc__, "__module__": __name__}
    return make_dataclass(name, fields, bases=(FairseqDataclass,), namespace=namespace)


def _fairseq_type(declared: Option) -> Any:
    if declared.choices:
        return ChoiceEnum(declared.choices)
    return declared.type if len(declared.types) == 1 else Optional[declared.types[0]]


def own_config(config_class: type[Config], cfg: FairseqDataclass, decided: Mapping[str, Any] | None = None) -> Config:
    """Converts fairseq's configuration to ours, the reverse of `plugin_config`.

    Args:
        config_class: class of our configuration.
        cfg: fairseq's configuration.
        decided: values of the options whose default comes from the task.

    Raises:
        ResMLPError: if a value is not allowed; the message names the command-line option.
    """
    values = {
        declared.name: _without_enum(getattr(cfg, declared.name)) for declared in options_of(config_class)
    } | dict(decided or {})
    check_values(config_class, values, name_of=lambda declared: declared.flag)
    return config_class(**values)


def _without_enum(value: Any) -> Any:
    return str(value) if isinstance(value, Enum) else value  # fairseq turns choices into members of an Enum


def register_architecture(name: str, config_class: type, model_class: type, changes: Mapping[str, Any]) -> None:
    """Registers an architecture, so that `--arch NAME` and Hydra's `model=NAME` build the same model.

    Args:
        name: name of the architecture.
        config_class: the base configuration.
        model_class: the model's class.
        changes: defaults that differ from the base configuration, by field.

    Raises:
        ResMLPError: if another plugin uses the name.
    """
    defaults = [(key, *_changed_field(config_class, key, value)) for key, value in changes.items()]
    config = make_dataclass(f"{config_class.__name__}_{name}", defaults, bases=(config_class,))
    namespace = {"__doc__": f"The architecture {name}.", "__module__": model_class.__module__}
    model = type(f"{model_class.__name__}_{name}", (model_class,), namespace)
    register_model(name, dataclass=config)(model)
    assert_registered(ARCH_MODEL_REGISTRY, name, model)


def _changed_field(config_class: type, key: str, value: Any) -> tuple[Any, Any]:
    original = config_class.__dataclass_fields__[key]
    return original.type, field(default=value, metadata=dict(original.metadata))
