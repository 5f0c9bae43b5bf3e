"""Bundles of classifiers: folders with everything that inference needs. Reading a bundle executes no code in it.

`model.safetensors` contains the parameters; `config.json` contains the settings, class names and preprocessing.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from resmlp_mt.common import files
from resmlp_mt.common.config import check_revision, parse_config, parse_stored_config
from resmlp_mt.common.errors import ResMLPError
from resmlp_mt.common.safe_checkpoint import read_checkpoint
from resmlp_mt.common.tensor_files import write_safetensors
from resmlp_mt.common.version import __version__
from resmlp_mt.nn.skeleton import without_memory
from resmlp_mt.vision.data.preprocessing import Preprocessing
from resmlp_mt.vision.model.classifier import ClassifierModel
from resmlp_mt.vision.model.config import ClassifierConfig

FORMAT = 1  # format revision; incremented when older versions would misread the files
CONFIG, PARAMETERS = "config.json", "model.safetensors"
CORE = "core."  # prefix of parameter names in checkpoints of `resmlp_mt.fairseq_plugin.image_model.ResMLPVisionModel`
_LARGEST_CONFIG_BYTES = 10_000_000


@dataclass(frozen=True)
class LoadedClassifier:
    """A classifier with its class names and preprocessing.

    Attributes:
        classifier: the model, in evaluation mode, on the CPU, in float32.
        classes: class names in the order of the logits; empty for a classifier without head.
        preprocessing: preprocessing of its input images.
    """

    classifier: ClassifierModel
    classes: list[str]
    preprocessing: Preprocessing


def classifier_files(path: Path) -> list[Path]:
    """Lists the files of a classifier: those in a bundle's folder, or the checkpoint."""
    return [path / CONFIG, path / PARAMETERS] if path.is_dir() else [path]


def save_classifier(
    folder: Path, classifier: ClassifierModel, classes: Sequence[str], preprocessing: Preprocessing
) -> None:
    """Writes a bundle.

    Args:
        folder: a new folder, or an existing bundle to overwrite.
        classifier: a classifier that is not folded.
        classes: class names, one for each output of the head.
        preprocessing: preprocessing that the classifier was trained with.

    Raises:
        ResMLPError: if the folder contains other files or cannot be written, or the arguments are inconsistent.
    """
    if folder.exists() and (not folder.is_dir() or (any(folder.iterdir()) and not (folder / CONFIG).is_file())):
        raise ResMLPError(f"{folder} exists and is not a classifier's bundle; give another folder")
    _check_parts(classifier.settings, classes, preprocessing)
    parameters = {name: value.detach().cpu().contiguous() for name, value in classifier.state_dict().items()}
    _check_shapes(classifier.settings, {name: tuple(value.shape) for name, value in parameters.items()})
    try:
        (folder / CONFIG).unlink(missing_ok=True)  # written last: a folder without it is not a bundle
    except OSError as error:
        raise files.unwritable(folder, error) from error
    write_safetensors(folder / PARAMETERS, parameters)
    content = {
        "format": FORMAT,
        "settings": asdict(classifier.settings),
        "classes": list(classes),
        "preprocessing": asdict(preprocessing),
        "digest": files.file_digest(folder / PARAMETERS),
        "written_by": f"resmlp-mt {__version__}, torch {torch.__version__}",
    }
    files.write_json(folder / CONFIG, content)


def load_classifier(path: Path, network: str = CORE) -> LoadedClassifier:
    """Reads a classifier from a bundle's folder, or from a checkpoint that `fairseq-train` wrote.

    Args:
        path: the folder or the checkpoint.
        network: prefix of the parameter names in a checkpoint with several networks, see `self_distillation`.

    Raises:
        ResMLPError: if the file is missing or damaged, contains something else, or tries to run code.
    """
    if path.is_dir():
        return _load_bundle(path)
    if not path.is_file():
        raise ResMLPError(f"there is no bundle or checkpoint of a classifier at {path}; check the name")
    return _load_checkpoint(path, network)


def _load_bundle(folder: Path) -> LoadedClassifier:
    file = folder / CONFIG
    if not file.is_file():
        raise ResMLPError(
            f"{folder} is not a classifier's bundle: it contains no {CONFIG}; make one with `resmlp-mt vision convert`"
        )
    try:
        if file.stat().st_size > _LARGEST_CONFIG_BYTES:
            raise ResMLPError(f"larger than {_LARGEST_CONFIG_BYTES} bytes")
        content = json.loads(file.read_text(encoding="utf-8"))
        check_revision(content["format"], FORMAT)
        settings = parse_config(ClassifierConfig, content["settings"])
        classes = _read_classes(content["classes"])
        preprocessing = read_preprocessing(content["preprocessing"])
        digest = content["digest"]
    except OSError as error:
        raise files.unreadable(file, error) from error
    except (ValueError, KeyError, TypeError, RecursionError, AttributeError) as error:
        reason = error if isinstance(error, ResMLPError) else f"{type(error).__name__}: {str(error)[:200]}"
        raise ResMLPError(f"{file} is not the configuration of a classifier ({reason}); get a new copy") from error
    parameters = folder / PARAMETERS
    if not parameters.is_file() or files.file_digest(parameters) != digest:
        raise ResMLPError(f"{parameters} is missing or does not match the digest in {CONFIG}; get a new copy")
    return build_classifier(settings, read_tensors(parameters), classes, preprocessing)


def _load_checkpoint(path: Path, network: str) -> LoadedClassifier:
    content = read_checkpoint(path)
    parameters: Any = content.get("model")
    task_state: Any = content.get("task_state")
    cfg: Any = content.get("cfg")
    model = cfg.get("model") if isinstance(cfg, dict) else None
    try:
        core = {name.removeprefix(network): value for name, value in parameters.items() if name.startswith(network)}
        classes = _read_classes(task_state["classes"])
        preprocessing = read_preprocessing(task_state["preprocessing"])
        images = {"image_size": preprocessing.image_size, "channels": preprocessing.channels}
        head = core.get("head.weight")
        of_task = {**images, "num_classes": 0 if head is None else head.size(0)}
        settings = parse_stored_config(ClassifierConfig, model, of_task)
        return build_classifier(settings, core, classes, preprocessing)
    except ResMLPError as error:
        raise ResMLPError(f"{path}: {error}") from error
    except (TypeError, KeyError, AttributeError, ValueError) as error:
        raise ResMLPError(
            f"{path} is not a checkpoint of an image classifier ({type(error).__name__}: {error}); "
            "give another, or import weights of other formats with `resmlp-mt vision convert`"
        ) from error


def build_classifier(
    settings: ClassifierConfig, parameters: Mapping[str, Tensor], classes: Sequence[str], preprocessing: Preprocessing
) -> LoadedClassifier:
    """Builds a classifier from settings and parameters.

    Raises:
        ResMLPError: if the arguments are inconsistent.
    """
    _check_parts(settings, classes, preprocessing)
    _check_shapes(settings, {name: tuple(value.shape) for name, value in parameters.items()})
    with without_memory():
        classifier = ClassifierModel(settings)
    state = {
        name: value if name.endswith("num_batches_tracked") else value.float() for name, value in parameters.items()
    }
    classifier.load_state_dict(state, assign=True)
    return LoadedClassifier(classifier.eval(), list(classes), preprocessing)


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Reads a safetensors file.

    Raises:
        ResMLPError: if it is not a safetensors file.
    """
    try:
        with safe_open(path, framework="pt") as content:
            return {name: content.get_tensor(name) for name in content.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise ResMLPError(f"{path} is not a valid safetensors file ({error}); get a new copy") from error


def read_preprocessing(content: Mapping[str, Any]) -> Preprocessing:
    """Reads the preprocessing from the content of a file.

    Raises:
        ResMLPError: if a value is out of range.
        TypeError, ValueError: if a value is missing or has the wrong type.
    """
    return Preprocessing(
        image_size=content["image_size"],
        channels=content["channels"],
        mean=tuple(content["mean"]),
        std=tuple(content["std"]),
        crop=content["crop"],
        interpolation=str(content["interpolation"]),
    )


def _read_classes(content: Any) -> list[str]:
    if not isinstance(content, list) or not all(isinstance(name, str) for name in content):
        raise TypeError("the classes are not a list of names")
    return content


def _check_parts(settings: ClassifierConfig, classes: Sequence[str], preprocessing: Preprocessing) -> None:
    if len(classes) != settings.num_classes:
        raise ResMLPError(
            f"there are {len(classes)} class names, but the head has {settings.num_classes} outputs; give one for each"
        )
    side = preprocessing.image_size
    if (side, side) != settings.size:
        raise ResMLPError(f"the preprocessing makes images of {side} pixels, but the model's size is {settings.size}")
    if preprocessing.channels != settings.channels:
        raise ResMLPError(
            f"the preprocessing makes images of {preprocessing.channels} channels, but the model has "
            f"{settings.channels}"
        )


def _check_shapes(settings: ClassifierConfig, shapes: Mapping[str, tuple[int, ...]]) -> None:
    """Compares parameter shapes with the settings, before memory is allocated.

    Raises:
        ResMLPError: names the first mismatch.
    """
    if settings.depth > len(shapes):
        raise ResMLPError(f"the settings do not match the parameters: depth {settings.depth}, {len(shapes)} parameters")
    try:
        with without_memory():
            expected = {name: tuple(value.shape) for name, value in ClassifierModel(settings).state_dict().items()}
    except (RuntimeError, OverflowError) as error:
        raise ResMLPError(f"the settings do not describe a classifier ({error}); get a new copy") from error
    for name, shape in expected.items():
        if name not in shapes:
            raise ResMLPError(f"the settings do not match the parameters: the parameter {name} is missing")
        if shapes[name] != shape:
            raise ResMLPError(
                f"the settings do not match the parameters: the parameter {name} has shape {shapes[name]} instead of "
                f"{shape}"
            )
    unknown = sorted(set(shapes) - set(expected))
    if unknown:
        raise ResMLPError(f"the settings do not match the parameters: the parameter {unknown[0]} is unknown")
