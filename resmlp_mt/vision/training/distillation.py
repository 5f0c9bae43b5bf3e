"""Teachers for distillation: frozen classifiers of this package or of timm."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from resmlp_mt.common.errors import ResMLPError
from resmlp_mt.vision.data.preprocessing import Preprocessing


@dataclass
class Teacher:
    """A frozen classifier in evaluation mode.

    Attributes:
        model: (batch, channels, height, width) to logits (batch, num_classes).
        normalization: mean and standard deviation of its input.
    """

    model: nn.Module
    normalization: tuple[tuple[float, ...], tuple[float, ...]]

    def __post_init__(self) -> None:
        self.model.eval().requires_grad_(False)

    @torch.no_grad()
    def logits(self, images: Tensor, given: Preprocessing) -> Tensor:
        """Maps images (batch, channels, height, width) to the teacher's logits (batch, num_classes).

        Computes in float32 on the device of the images, whatever the student's precision.

        Args:
            images: images with the student's normalization.
            given: the student's preprocessing.
        """
        self.model.to(images.device)
        return self.model(renormalise(images.float(), (given.mean, given.std), self.normalization))


def renormalise(images: Tensor, given: tuple[Any, Any], wanted: tuple[Any, Any]) -> Tensor:
    """Converts normalized images to another mean and standard deviation.

    Args:
        images: (batch, channels, height, width).
        given: mean and standard deviation of each channel of the images.
        wanted: those of the result.

    Returns:
        (batch, channels, height, width).
    """
    if given == wanted:
        return images
    old_mean, old_std, mean, std = (images.new_tensor(v)[:, None, None] for v in (*given, *wanted))
    return (images * old_std + old_mean - mean) / std


def load_teacher(name: str, weights: str | None, given: Preprocessing, classes: list[str]) -> Teacher:
    """Loads a teacher.

    Args:
        name: a classifier's folder, a fairseq checkpoint, or the name of a timm model.
        weights: weights file of a timm model (.safetensors, or torch's); default: the published weights. With a file
            the teacher takes the student's normalization, with published weights its own.
        given: the student's preprocessing.
        classes: the student's classes.

    Raises:
        ResMLPError: if the teacher does not exist, its weights cannot be loaded, or its classes or images differ.
    """
    if Path(name).exists():
        if weights is not None:
            raise ResMLPError(f"--teacher-weights {weights} is for timm models only, but --teacher is {name}; omit it")
        return _load_resmlp(name, given, classes)
    return _load_timm(name, weights, given, classes)


def _load_resmlp(path: str, given: Preprocessing, classes: list[str]) -> Teacher:
    from resmlp_mt.vision.bundle import load_classifier

    loaded = load_classifier(Path(path))
    preprocessing = loaded.preprocessing
    _check_same(path, "classes", loaded.classes, classes)
    _check_same(path, "image size", preprocessing.image_size, given.image_size)
    _check_same(path, "channels", preprocessing.channels, given.channels)
    return Teacher(loaded.classifier, (preprocessing.mean, preprocessing.std))


def _check_same(teacher: str, what: str, of_teacher: object, of_data: object) -> None:
    if of_teacher == of_data:
        return
    texts = [f"{len(v)}, {v[:3]}..." if isinstance(v, list) else str(v) for v in (of_teacher, of_data)]
    raise ResMLPError(
        f"teacher {teacher} and the data differ in {what} ({texts[0]} and {texts[1]}); "
        "choose a teacher that was trained for these images"
    )


def _load_timm(name: str, weights: str | None, given: Preprocessing, classes: list[str]) -> Teacher:
    import timm

    if not timm.is_model(name.split(".")[0]):
        near = difflib.get_close_matches(name, timm.list_models(), 3)
        raise ResMLPError(
            f"--teacher {name!r} is neither a classifier's folder, a fairseq checkpoint nor a timm model; "
            + (
                f"similar names in timm: {', '.join(near)}"
                if near
                else "python -c 'import timm; print(timm.list_models())' lists the models"
            )
        )
    if weights is not None:
        model = timm.create_model(name, num_classes=len(classes), in_chans=given.channels)
        _load_weights(model, name, Path(weights))
        return Teacher(model, (given.mean, given.std))
    try:
        model = timm.create_model(name, pretrained=True, in_chans=given.channels)
    except Exception as error:  # timm, its hub and the network raise many types
        reason = " ".join(str(error).split())[:200]
        raise ResMLPError(
            f"the published weights of teacher {name} are not on this machine and cannot be downloaded ({reason}); "
            "give a file with --teacher-weights"
        ) from error
    _check_same(name, "number of classes", model.num_classes, len(classes))
    mean, std = (tuple(model.pretrained_cfg[key]) for key in ("mean", "std"))  # type: ignore[index]
    wanted = Preprocessing(given.image_size, len(mean), mean, std)
    wanted = wanted.with_channels(given.channels)
    return Teacher(model, (wanted.mean, wanted.std))


def _load_weights(model: nn.Module, name: str, path: Path) -> None:
    """Loads a state dict from a file without running code from it."""
    state: dict[str, Any]
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            state = load_file(path)
        else:
            state = torch.load(path, map_location="cpu", weights_only=True)
        model.load_state_dict(state)
    except Exception as error:  # a damaged or malicious file may fail anywhere
        reason = " ".join(str(error).split())[:200]
        raise ResMLPError(
            f"--teacher-weights {path} cannot be loaded as the weights of {name} ({reason}); "
            "give a state dict of this model with these classes"
        ) from error
