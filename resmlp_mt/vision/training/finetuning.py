"""Fine-tuning: a new classifier begins with the parameters of a trained one, for other classes or another size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path

import torch

from resmlp_mt.common.errors import require
from resmlp_mt.vision.bundle import load_classifier
from resmlp_mt.vision.model.classifier import ClassifierModel
from resmlp_mt.vision.model.config import ClassifierConfig

# What parameters do not depend on: where they start from, and how training disturbs them. The head and the size of the
# images are carried over or made anew.
_FREE = ("image_size", "num_classes", "layer_scale", "init_std", "drop_path")


@torch.no_grad()
def initialise_from(classifier: ClassifierModel, path: Path, classes: Sequence[str]) -> str:
    """Gives a new classifier the parameters of a trained one.

    All but the head is taken; for images of another size the mixing matrices are interpolated on both grids (see
    `interpolate_mixing`). The head is taken where its classes are the same in the same order, otherwise the new one
    stays as it is. Of a DINO checkpoint the teacher is taken, as its paper does.

    Args:
        classifier: a new one, to be changed.
        path: a bundle's folder or a checkpoint of fairseq's, read without running anything in it.
        classes: names of the new classifier's classes.

    Returns:
        One line that says what was taken and what is new.

    Raises:
        ResMLPError: if the file cannot be read, or the classifiers differ in what cannot be carried over.
    """
    trained = load_classifier(path)
    old, new = trained.classifier.settings, classifier.settings
    for field in fields(ClassifierConfig):
        of_old, of_new = getattr(old, field.name), getattr(new, field.name)
        rule = f"{of_old}, as in {path}"
        same = field.name in _FREE or of_old == of_new
        require(same, f"--{field.name.replace('_', '-')}", rule, of_new, "give the same, or start from another")
    carried = trained.classifier.at_image_size(new.image_size) if old.grid != new.grid else trained.classifier
    keeps_head = new.num_classes > 0 and list(classes) == trained.classes
    own = classifier.state_dict()
    classifier.load_state_dict(
        {name: own[name] if _is_head(name) and not keeps_head else value for name, value in own.items()}
        | {name: value for name, value in carried.state_dict().items() if keeps_head or not _is_head(name)}
    )
    return _describe(path, old, new, keeps_head)


def _is_head(name: str) -> bool:
    return name.startswith("head.")


def _describe(path: Path, old: ClassifierConfig, new: ClassifierConfig, keeps_head: bool) -> str:
    taken = f"{new.depth} layers"
    if old.grid != new.grid and new.mixing == "linear":
        grids = " to ".join(f"{rows} x {columns}" for rows, columns in (old.grid, new.grid))
        taken += f", their mixing interpolated from {grids} patches"
    if not new.num_classes:
        return f"{taken} from {path}; no head"
    return (
        f"{taken} and the head from {path}" if keeps_head else f"{taken} from {path}; new: a head of {new.num_classes}"
    )
