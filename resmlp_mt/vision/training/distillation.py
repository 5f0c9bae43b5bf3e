"""Teachers: a classifier of our own or one of timm's, frozen, that is asked what it sees in the student's images."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from resmlp_mt.common.errors import ResMLPError, require
from resmlp_mt.vision.data.preprocessing import Preprocessing


@dataclass
class Teacher:
    """A frozen classifier in evaluation mode.

    Attributes:
        model: (batch, channels, height, width) to logits (batch, num_classes).
        expects: the mean and deviation that its images are normalised with.
    """

    model: nn.Module
    expects: tuple[tuple[float, ...], tuple[float, ...]]

    def __post_init__(self) -> None:
        self.model.eval().requires_grad_(False)

    @torch.no_grad()
    def logits(self, images: Tensor, given: Preprocessing) -> Tensor:
        """What the teacher says of images (batch, channels, height, width) that were normalised as `given` says.

        It computes in 32 bits and on the images' device, whatever the student does.

        Returns:
            (batch, num_classes).
        """
        self.model.to(images.device)
        return self.model(renormalise(images.float(), (given.mean, given.std), self.expects))


def renormalise(images: Tensor, given: tuple[Any, Any], wanted: tuple[Any, Any]) -> Tensor:
    """Turns images normalised with one mean and deviation into ones normalised with others.

    Args:
        images: (batch, channels, height, width).
        given: mean and deviation of each channel.
        wanted: the same, of the result.

    Returns:
        (batch, channels, height, width).
    """
    if given == wanted:
        return images
    old_mean, old_std, mean, std = (images.new_tensor(v)[:, None, None] for v in (*given, *wanted))
    return (images * old_std + old_mean - mean) / std


def load_teacher(name: str, weights: str | None, given: Preprocessing, classes: list[str]) -> Teacher:
    """Finds a teacher.

    Args:
        name: a classifier's folder, a fairseq checkpoint, or the name of a timm model.
        weights: of a timm model, a file of tensors (.safetensors, or torch's); its published ones when None. A teacher
            with weights of its own gets the images as the student does, a published one normalised as it was trained.
        given: how the student's images are normalised, and their size.
        classes: of the student.

    Raises:
        ResMLPError: there is no such teacher, its weights cannot be had, or it knows other classes or images.
    """
    if Path(name).exists():
        require(weights is None, "--teacher-weights", "given with a timm model's name only", weights, "leave it out")
        return _own(name, given, classes)
    return _of_timm(name, weights, given, classes)


def _own(path: str, given: Preprocessing, classes: list[str]) -> Teacher:
    from resmlp_mt.vision.bundle import load_classifier

    loaded = load_classifier(Path(path))
    of_teacher = loaded.preprocessing
    _require_same(path, "classes", loaded.classes, classes)
    _require_same(path, "image size", of_teacher.image_size, given.image_size)
    _require_same(path, "channels", of_teacher.channels, given.channels)
    return Teacher(loaded.classifier, (of_teacher.mean, of_teacher.std))


def _require_same(teacher: str, what: str, of_teacher: object, of_data: object) -> None:
    said = [f"{len(v)}, {v[:3]}..." if isinstance(v, list) else str(v) for v in (of_data, of_teacher)]
    remedy = "take a teacher that was trained for these images"
    require(of_teacher == of_data, f"the {what} of teacher {teacher}", f"the data's {said[0]}", said[1], remedy)


def _of_timm(name: str, weights: str | None, given: Preprocessing, classes: list[str]) -> Teacher:
    import timm

    if not timm.is_model(name.split(".")[0]):
        near = difflib.get_close_matches(name, timm.list_models(), 3)
        raise ResMLPError(
            f"--teacher must be a classifier's folder, a fairseq checkpoint or a timm model, but is {name!r}; "
            + (
                f"timm has {', '.join(near)}"
                if near
                else "python -c 'import timm; print(timm.list_models())' lists them"
            )
        )
    if weights is not None:
        model = timm.create_model(name, num_classes=len(classes), in_chans=given.channels)
        _fill(model, name, Path(weights))
        return Teacher(model, (given.mean, given.std))
    try:
        model = timm.create_model(name, pretrained=True, in_chans=given.channels)
    except Exception as error:  # whatever timm, its hub and the network raise
        reason = " ".join(str(error).split())[:200]
        raise ResMLPError(
            f"the published weights of teacher {name} must be on this machine or be fetched, but are not ({reason}); "
            "give a file with --teacher-weights"
        ) from error
    _require_same(name, "number of classes", model.num_classes, len(classes))
    mean, std = (tuple(model.pretrained_cfg[key]) for key in ("mean", "std"))  # type: ignore[index]
    wanted = Preprocessing(given.image_size, len(mean), mean, std)
    wanted = wanted.with_channels(given.channels)
    return Teacher(model, (wanted.mean, wanted.std))


def _fill(model: nn.Module, name: str, path: Path) -> None:
    """Loads weights of tensors only: nothing in the file is run."""
    state: dict[str, Any]
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            state = load_file(path)
        else:
            state = torch.load(path, map_location="cpu", weights_only=True)
        model.load_state_dict(state)
    except Exception as error:  # a damaged, hostile or strange file may fail anywhere
        reason = " ".join(str(error).split())[:200]
        raise ResMLPError(
            f"--teacher-weights {path} must be a file of the tensors of {name}, but cannot be loaded ({reason}); "
            "give the state dict of this model, for these classes"
        ) from error
