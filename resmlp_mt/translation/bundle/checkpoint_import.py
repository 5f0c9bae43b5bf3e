"""Reading fairseq's checkpoints of ResMLP models without fairseq, and averaging them."""

from __future__ import annotations

import re
from argparse import Namespace
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from resmlp_mt.common.config import parse_stored_config
from resmlp_mt.common.errors import ResMLPError
from resmlp_mt.common.safe_checkpoint import read_checkpoint
from resmlp_mt.translation.model.architectures import ARCHITECTURES
from resmlp_mt.translation.model.config import ModelConfig

_CORE = re.compile(r"^(encoder|decoder)\.core\.")


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Reads a checkpoint of `fairseq-train` without running code from it.

    Raises:
        ResMLPError: if the file is missing or damaged, tries to run code, or contains no model.
    """
    if not path.is_file():
        raise ResMLPError(f"the checkpoint {path} does not exist; check the name")
    content = read_checkpoint(path)
    model = content.get("model")
    if not isinstance(model, dict) or not all(_is_parameter(*item) for item in model.items()):
        raise ResMLPError(f"{path} contains no model and is not a checkpoint of fairseq-train; give another file")
    return content


def _is_parameter(name: Any, value: Any) -> bool:
    return isinstance(name, str) and isinstance(value, Tensor)


@dataclass(frozen=True)
class TrainedModel:
    """The content of a checkpoint that a bundle needs.

    Attributes:
        architecture: the registered name.
        options: of the model.
        parameters: by the names in `TranslationModel`.
        languages: source and target language codes; None where fairseq inferred them.
        updates: number of training updates.
        validation_loss: of the last validation, or None.
        extra_state: further state that `fairseq-train` stores.
    """

    architecture: str
    options: ModelConfig
    parameters: dict[str, Tensor]
    languages: tuple[str, str] | None
    updates: int | None
    validation_loss: float | None
    extra_state: dict[str, Any]


def read_trained_model(path: Path) -> TrainedModel:
    """Reads a ResMLP model from a checkpoint.

    Raises:
        ResMLPError: when it cannot be read or holds another kind of model.
    """
    content = load_checkpoint(path)
    cfg = _as_dict(content.get("cfg"))
    model, task = _as_dict(cfg.get("model")), _as_dict(cfg.get("task"))
    name = model.get("_name") or model.get("arch")
    if name not in ARCHITECTURES:
        raise ResMLPError(f"{path} is a {name} model, but only {', '.join(ARCHITECTURES)} are supported")
    languages = task.get("source_lang"), task.get("target_lang")
    history = content.get("optimizer_history")
    newest = _as_dict(history[-1]) if isinstance(history, list) and history else {}
    extra_state = _as_dict(content.get("extra_state"))
    return TrainedModel(
        architecture=str(name),
        options=_read_options(path, cfg.get("model")),
        parameters={_CORE.sub(r"\1.", key): value for key, value in content["model"].items() if _CORE.match(key)},
        languages=(str(languages[0]), str(languages[1])) if all(languages) else None,
        updates=newest.get("num_updates"),
        validation_loss=extra_state.get("val_loss"),
        extra_state=extra_state,
    )


def _read_options(path: Path, stored: Any) -> ModelConfig:
    try:
        return parse_stored_config(ModelConfig, stored)
    except ResMLPError as error:
        raise ResMLPError(f"{path}: {error}") from error


def _as_dict(settings: Any) -> dict[str, Any]:
    """Converts stored settings to a dictionary.

    fairseq stores a dictionary, or a Namespace if the settings came from `--arch` without a dataclass. Any other value,
    which only checkpoints of other programs contain, has no settings.
    """
    if isinstance(settings, Namespace):
        return vars(settings)
    return settings if isinstance(settings, dict) else {}


def last_checkpoints(folder: Path, count: int) -> list[Path]:
    """The newest `count` numbered checkpoints of a folder, by epoch, or by update where there are none of epochs.

    Raises:
        ResMLPError: when there are fewer.
    """
    for pattern in (r"checkpoint(\d+)\.pt", r"checkpoint_\d+_(\d+)\.pt"):
        numbered = _numbered(folder, pattern)
        if numbered:
            break
    if len(numbered) < count:
        raise ResMLPError(f"{folder} contains only {len(numbered)} numbered checkpoints, not {count}; request fewer")
    return [path for _, path in numbered[-count:]]


def best_checkpoints(folder: Path, count: int) -> list[Path]:
    """The `count` checkpoints of a folder with the best validation, by the metric of --best-checkpoint-metric.

    Raises:
        ResMLPError: when there are fewer that were validated.
    """
    candidates = _numbered(folder, r"checkpoint(\d+)\.pt") + _numbered(folder, r"checkpoint_\d+_(\d+)\.pt")
    rated = []
    for _, path in candidates:
        content = load_checkpoint(path)
        value = _as_dict(content.get("extra_state")).get("val_loss")
        watched = _as_dict(_as_dict(content.get("cfg")).get("checkpoint"))
        if isinstance(value, int | float):
            rated.append((-value if watched.get("maximize_best_checkpoint_metric") else value, path))
    if len(rated) < count:
        raise ResMLPError(f"{folder} contains only {len(rated)} validated checkpoints, not {count}; request fewer")
    return [path for _, path in sorted(rated)[:count]]


def _numbered(folder: Path, pattern: str) -> list[tuple[int, Path]]:
    if not folder.is_dir():
        raise ResMLPError(f"{folder} is not a folder of checkpoints; check the name")
    matches = ((re.fullmatch(pattern, path.name), path) for path in folder.iterdir())
    return sorted((int(match[1]), path) for match, path in matches if match)


def average_checkpoints(paths: Sequence[Path]) -> dict[str, Any]:
    """Averages the parameters of several checkpoints of one training run.

    Shared parameters stay shared. The optimizer's state is omitted.

    Args:
        paths: the checkpoints; settings and history are those of the last one.

    Returns:
        The content of a checkpoint that fairseq's commands and `read_trained_model` read.

    Raises:
        ResMLPError: if the checkpoints have different parameters.
    """
    sums: dict[str, Tensor] = {}
    for path in paths:
        content = load_checkpoint(path)
        shapes = {name: value.shape for name, value in content["model"].items()}
        if sums and shapes != {name: value.shape for name, value in sums.items()}:
            raise ResMLPError(f"{path} has other parameters than {paths[0]}; give checkpoints of one training run")
        for name, value in content["model"].items():
            sums[name] = sums.get(name, 0) + value.double()
    averages: dict[tuple[int, ...], Tensor] = {}
    model = content["model"]
    for name, value in model.items():
        # Names of one tensor share its memory in the file, and so they must in the average's.
        place = (value.data_ptr(), value.storage_offset(), *value.shape, *value.stride())
        if value.is_floating_point():
            averages.setdefault(place, (sums[name] / len(paths)).to(value.dtype))
            model[name] = averages[place]
    return {key: value for key, value in content.items() if key != "last_optimizer_state"}
