"""Fine-tuning: initializes a classifier with the parameters of a trained one, for other classes or another size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path

import torch

from resmlp_mt.common.errors import ResMLPError
from resmlp_mt.vision.bundle import load_classifier
from resmlp_mt.vision.model.classifier import ClassifierModel
from resmlp_mt.vision.model.config import ClassifierConfig

# Options that may differ: initialization and regularization do not affect the parameters; the head and the image size
# are converted.
_MAY_DIFFER = ("image_size", "num_classes", "layer_scale", "init_std", "drop_path")


@torch.no_grad()
def initialise_from(classifier: ClassifierModel, path: Path, classes: Sequence[str]) -> str:
    """Copies the parameters of a trained classifier to a new one.

    For images of another size the mixing matrices are interpolated (see `interpolate_mixing`). The head is copied if
    its classes are the same in the same order; otherwise the new head keeps its random parameters. From a DINO
    checkpoint the teacher is used, as in the paper.

    Args:
        classifier: a new classifier; changed in place.
        path: a bundle's folder or a fairseq checkpoint, read without executing code in it.
        classes: class names of the new classifier.

    Returns:
        One line that describes what was copied and what is new.

    Raises:
        ResMLPError: if the file cannot be read, or the classifiers differ in options that cannot be converted.
    """
    trained = load_classifier(path)
    old, new = trained.classifier.settings, classifier.settings
    for field in fields(ClassifierConfig):
        of_old, of_new = getattr(old, field.name), getattr(new, field.name)
        if field.name not in _MAY_DIFFER and of_old != of_new:
            raise ResMLPError(
                f"--{field.name.replace('_', '-')} is {of_new}, but {of_old} in {path}; "
                "give the same value or another model"
            )
    source = trained.classifier.at_image_size(new.image_size) if old.grid != new.grid else trained.classifier
    keeps_head = new.num_classes > 0 and list(classes) == trained.classes
    initial = classifier.state_dict()
    classifier.load_state_dict(
        {name: initial[name] if _is_head(name) and not keeps_head else value for name, value in initial.items()}
        | {name: value for name, value in source.state_dict().items() if keeps_head or not _is_head(name)}
    )
    return _describe(path, old, new, keeps_head)


def _is_head(name: str) -> bool:
    return name.startswith("head.")


def _describe(path: Path, old: ClassifierConfig, new: ClassifierConfig, keeps_head: bool) -> str:
    copied = f"{new.depth} layers"
    if old.grid != new.grid and new.mixing == "linear":
        grids = " to ".join(f"{rows} x {columns}" for rows, columns in (old.grid, new.grid))
        copied += f", mixing interpolated from {grids} patches,"
    if not new.num_classes:
        return f"{copied} from {path}; no head"
    if keeps_head:
        return f"{copied} and head from {path}"
    return f"{copied} from {path}; new head with {new.num_classes} classes"
