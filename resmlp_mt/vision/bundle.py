"""A classifier's bundle: a folder with all that classifying needs, and nothing that is run when it is read.

`model.safetensors` the parameters; `config.json` settings, names of the classes, and preprocessing of the pictures.
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
from resmlp_mt.common.errors import ResMLPError, require
from resmlp_mt.common.safe_checkpoint import read_checkpoint
from resmlp_mt.common.tensor_files import write_safetensors
from resmlp_mt.common.version import __version__
from resmlp_mt.nn.skeleton import without_memory
from resmlp_mt.vision.data.preprocessing import Preprocessing
from resmlp_mt.vision.model.classifier import ClassifierModel
from resmlp_mt.vision.model.config import ClassifierConfig

FORMAT = 1  # the revision: one more when an older version would misread what is written
CONFIG, PARAMETERS = "config.json", "model.safetensors"
CORE = "core."  # what `resmlp_mt.fairseq_plugin.image_model.ResMLPVisionModel` puts before our names
_LARGEST_CONFIG_BYTES = 10_000_000


@dataclass(frozen=True)
class LoadedClassifier:
    """A classifier with what belongs to it.

    Attributes:
        classifier: in evaluation mode, on the CPU, in 32 bits.
        classes: their names, in the order of the logits; none for a classifier without head.
        preprocessing: of the pictures.
    """

    classifier: ClassifierModel
    classes: list[str]
    preprocessing: Preprocessing


def classifier_files(path: Path) -> list[Path]:
    """The files that a classifier is read from: a bundle's in their folder, or a checkpoint."""
    return [path / CONFIG, path / PARAMETERS] if path.is_dir() else [path]


def save_classifier(
    folder: Path, classifier: ClassifierModel, classes: Sequence[str], preprocessing: Preprocessing
) -> None:
    """Writes a bundle.

    Args:
        folder: a new one, or that of an older bundle.
        classifier: not folded.
        classes: names of the classes, as many as the head has.
        preprocessing: of the pictures that it was trained on.

    Raises:
        ResMLPError: when the folder holds something else or cannot be written, or the parts do not fit together.
    """
    taken = folder.exists() and (not folder.is_dir() or (any(folder.iterdir()) and not (folder / CONFIG).is_file()))
    require(not taken, str(folder), "a new folder or a classifier's", "something else", "name another")
    _check_parts(classifier.settings, classes, preprocessing)
    parameters = {name: value.detach().cpu().contiguous() for name, value in classifier.state_dict().items()}
    _check_shapes(classifier.settings, {name: tuple(value.shape) for name, value in parameters.items()})
    try:
        (folder / CONFIG).unlink(missing_ok=True)  # written last: without it the folder is no bundle
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
        network: what stands before its names in a checkpoint that holds several, see `self_distillation`.

    Raises:
        ResMLPError: when it is missing, damaged, holds something else, or asks to run code.
    """
    if path.is_dir():
        return _load_bundle(path)
    require(path.is_file(), "the classifier", "a bundle's folder or a checkpoint", path, "check the name")
    return _load_checkpoint(path, network)


def _load_bundle(folder: Path) -> LoadedClassifier:
    file = folder / CONFIG
    require(file.is_file(), "the classifier", f"a folder with a {CONFIG}", folder, "see `resmlp-mt vision convert`")
    try:
        require(file.stat().st_size <= _LARGEST_CONFIG_BYTES, str(file), "a small file", "too large", "get it again")
        content = json.loads(file.read_text(encoding="utf-8"))
        check_revision(content["format"], FORMAT)
        settings = parse_config(ClassifierConfig, content["settings"])
        classes = _read_classes(content["classes"])
        preprocessing = read_preprocessing(content["preprocessing"])
        digest = content["digest"]
    except OSError as error:
        raise files.unreadable(file, error) from error
    except (ValueError, KeyError, TypeError, RecursionError, AttributeError) as error:
        said = error if isinstance(error, ResMLPError) else f"{type(error).__name__}: {str(error)[:200]}"
        raise ResMLPError(f"{file} must be a classifier's configuration, but is not ({said}); get it again") from error
    parameters = folder / PARAMETERS
    whole = parameters.is_file() and files.file_digest(parameters) == digest
    require(whole, str(parameters), "the file written with the configuration", "missing or altered", "get it again")
    return assemble(settings, read_tensors(parameters), classes, preprocessing)


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
        return assemble(settings, core, classes, preprocessing)
    except ResMLPError as error:
        raise ResMLPError(f"{path}: {error}") from error
    except (TypeError, KeyError, AttributeError, ValueError) as error:
        raise ResMLPError(
            f"{path} must be a checkpoint of image classification, but is not ({type(error).__name__}: {error}); "
            "name another, or see `resmlp-mt vision convert` for other weights"
        ) from error


def assemble(
    settings: ClassifierConfig, parameters: Mapping[str, Tensor], classes: Sequence[str], preprocessing: Preprocessing
) -> LoadedClassifier:
    """Makes a classifier from its parts.

    Raises:
        ResMLPError: when the parts do not fit together.
    """
    _check_parts(settings, classes, preprocessing)
    _check_shapes(settings, {name: tuple(value.shape) for name, value in parameters.items()})
    with without_memory():
        classifier = ClassifierModel(settings)
    held = {
        name: value if name.endswith("num_batches_tracked") else value.float() for name, value in parameters.items()
    }
    classifier.load_state_dict(held, assign=True)
    return LoadedClassifier(classifier.eval(), list(classes), preprocessing)


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Reads a safetensors file.

    Raises:
        ResMLPError: when it is none.
    """
    try:
        with safe_open(path, framework="pt") as content:
            return {name: content.get_tensor(name) for name in content.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise ResMLPError(f"{path} must be a safetensors file, but is not ({error}); get it again") from error


def read_preprocessing(content: Mapping[str, Any]) -> Preprocessing:
    """Makes a preprocessing from what a file holds.

    Raises:
        ResMLPError: when a value is out of range.
        TypeError, ValueError: when one is unknown or of another type.
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
        raise TypeError("the classes are no list of names")
    return content


def _check_parts(settings: ClassifierConfig, classes: Sequence[str], preprocessing: Preprocessing) -> None:
    count, sides, shades = settings.num_classes, settings.size, settings.channels
    require(len(classes) == count, "the classes", f"as many as the head's {count}", len(classes), "give their names")
    side, channels = preprocessing.image_size, preprocessing.channels
    require((side, side) == sides, "the preprocessing's image size", str(sides), side, "make them equal")
    require(channels == shades, "the preprocessing's channels", str(shades), channels, "make them equal")


def _check_shapes(settings: ClassifierConfig, shapes: Mapping[str, tuple[int, ...]]) -> None:
    """Compares parameters with the settings before memory is taken for them.

    Raises:
        ResMLPError: names the first difference.
    """
    remedy = "the settings are not those of these parameters"
    require(settings.depth <= len(shapes), "depth", f"at most the {len(shapes)} parameters", settings.depth, remedy)
    try:
        with without_memory():
            expected = {name: tuple(value.shape) for name, value in ClassifierModel(settings).state_dict().items()}
    except (RuntimeError, OverflowError) as error:
        raise ResMLPError(f"the settings must describe a classifier, but do not ({error}); get it again") from error
    for name, shape in expected.items():
        found = shapes.get(name, "missing")
        require(found == shape, f"the parameter {name}", f"of shape {shape}", found, remedy)
    unknown = sorted(set(shapes) - set(expected))
    require(not unknown, "the parameters", "those of the settings", f"with {unknown[:1]} beside them", remedy)
