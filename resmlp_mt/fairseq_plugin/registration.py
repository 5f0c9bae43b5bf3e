"""How the plugin declares options and registers names with fairseq."""

# No `from __future__ import annotations` here: fairseq reads the types of configuration fields.
from collections.abc import Mapping
from dataclasses import field, make_dataclass
from typing import Any

from fairseq.models import ARCH_MODEL_REGISTRY, register_model

from resmlp_mt.common.errors import require


def assert_registered(registry: Mapping[str, object], name: str, registered: object) -> None:
    """Makes sure that a name means what this package registered under it.

    fairseq's `register_model` and its kin return without a word when a name is taken, and keep the other class.

    Raises:
        ResMLPError: the registry holds nothing or something else under the name.
    """
    found = registry.get(name)
    require(found is registered, f"fairseq's {name}", f"{registered!r}", repr(found), "load no other plugin with it")


def option(default: Any, help: str) -> Any:
    """A field of a configuration: an option of the command line with its help."""
    return field(default=default, metadata={"help": help})


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
    original = config_class.__dataclass_fields__[key]  # type: ignore[attr-defined]
    return original.type, field(default=value, metadata=dict(original.metadata))
