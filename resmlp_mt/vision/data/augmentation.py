"""The changes that training makes to pictures, and randomness that a resumed training repeats.

Source of the scheme: arXiv:2105.03404, section 3.1, which takes DeiT's (arXiv:2012.12877, table 9): RandAugment
(arXiv:1909.13719), random erasing (arXiv:1708.04896), mixup (arXiv:1710.09412), CutMix (arXiv:1905.04899), repeated
augmentation (arXiv:1901.09335). The changes themselves are timm's.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from resmlp_mt.common.errors import ResMLPError, require


@dataclass(frozen=True)
class Augmentation:
    """How strongly training pictures are changed; 0 or None turns a change off.

    Attributes:
        repetitions: how often a picture stands in a batch, each time changed anew.
        rand_augment: timm's description of RandAugment, such as "rand-m9-mstd0.5-inc1".
        random_erasing: probability of filling a rectangle with noise.
        mixup: alpha of the Beta distribution of the share that the second picture gets.
        cutmix: alpha of the Beta distribution of the area that is cut from the second picture.
        flip: probability of mirroring left and right.
        crop_scale: smallest share of a picture's area that a random crop keeps.
    """

    repetitions: int = 1
    rand_augment: str | None = None
    random_erasing: float = 0.0
    mixup: float = 0.0
    cutmix: float = 0.0
    flip: float = 0.5
    crop_scale: float = 0.08

    def __post_init__(self) -> None:
        require(self.repetitions >= 1, "repeated augmentation", "at least 1", self.repetitions, "1 turns it off")
        for name in ("random_erasing", "flip"):
            value = getattr(self, name)
            require(0 <= value <= 1, name.replace("_", " "), "between 0 and 1", value, "it is a probability")
        for name in ("mixup", "cutmix"):
            require(getattr(self, name) >= 0, name, "at least 0", getattr(self, name), "0 turns it off")
        require(0 < self.crop_scale <= 1, "crop scale", "above 0 and at most 1", self.crop_scale, "DeiT's is 0.08")
        if self.rand_augment:
            _check_rand_augment(self.rand_augment)


def _check_rand_augment(described: str) -> None:
    from timm.data.auto_augment import rand_augment_transform

    try:
        if not described.startswith("rand-"):
            raise ValueError("it begins with another word")
        rand_augment_transform(described, {"translate_const": 1, "img_mean": (0, 0, 0)})
    except Exception as error:  # timm asserts, indexes, and converts
        raise ResMLPError(
            f"rand augment must be timm's description of RandAugment, but is {described!r} ({error}); "
            'DeiT\'s is "rand-m9-mstd0.5-inc1", "none" turns it off'
        ) from error


def keep_a_bit(transform: Any) -> None:
    """Lets RandAugment's posterising keep at least one of eight bits.

    Symptom: `ValueError: bits must be between or equal to 1 and 8` from some pictures.
    Cause: at full strength timm (1.0.31) asks for none, which newer Pillows refuse.

    Args:
        transform: timm's training transform; changed in place.
    """
    from timm.data.auto_augment import RandAugment, posterize

    for step in transform.transforms:
        if isinstance(step, RandAugment):
            for operation in step.ops:
                if operation.aug_fn is posterize:
                    operation.aug_fn = _posterize_some


def _posterize_some(image: Any, bits: int, **options: Any) -> Any:
    from timm.data.auto_augment import posterize

    return posterize(image, max(1, bits), **options)


@contextmanager
def drawing_from(*numbers: int) -> Iterator[None]:
    """Inside, the global generators of Python, NumPy and torch begin at a place that only `numbers` decide.

    timm's augmentations draw from all three. Afterwards the generators stand where they stood before, so that a
    training that makes its batches in the main process keeps its own stream.

    Args:
        numbers: not negative, such as the seed, the epoch, and the picture's place in it.
    """
    states = random.getstate(), np.random.get_state(), torch.get_rng_state()
    seeds = np.random.SeedSequence(numbers).generate_state(3)
    try:
        random.seed(int(seeds[0]))
        np.random.seed(seeds[1])
        torch.default_generator.manual_seed(int(seeds[2]))  # not torch.manual_seed, which reaches for the GPU as well
        yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])
        torch.set_rng_state(states[2])


def mix(images: Tensor, labels: Tensor, num_classes: int, augmentation: Augmentation) -> tuple[Tensor, Tensor]:
    r"""Mixes each picture of a batch with the one at the mirrored place: mixup or CutMix, each for half the batches.

    $x_i \leftarrow \lambda x_i + (1 - \lambda) x_{n-1-i}$, or a rectangle of the second in the first.

    Note: timm refuses a batch of odd size; here the middle picture then stays as it is, since it would meet itself.

    Args:
        images: (batch, channels, height, width); changed in place.
        labels: (batch,).
        num_classes: classes of the targets.
        augmentation: with `mixup` or `cutmix` above 0.

    Returns:
        The images and soft targets (batch, num_classes) that sum to 1; label smoothing is the criterion's.
    """
    from timm.data.mixup import Mixup, mixup_target

    mixup = Mixup(augmentation.mixup, augmentation.cutmix, label_smoothing=0.0, num_classes=num_classes)
    middle = len(images) // 2
    targets = mixup_target(labels, num_classes, 1.0, 0.0)
    if middle == 0:
        return images, targets
    outer = [row for row in range(len(images)) if row != middle or len(images) % 2 == 0]
    images[outer], targets[outer] = mixup(images[outer], labels[outer])
    return images, targets


def repeated_order(count: int, repetitions: int, seed: int, epoch: int) -> np.ndarray:
    """The order in which an epoch goes through a training set with repeated augmentation.

    A random permutation in which every picture stands `repetitions` times in a row, cut off after `count`: an epoch
    is as long as without repetition and sees a `repetitions`-th of the pictures.

    Source: facebookresearch/deit, samplers.py (`RASampler`). Note: DeiT deals the repetitions of a picture out to
    different processes, here they stand in the batch of one: the pictures of a global batch are the same.

    Args:
        count: pictures in the set.
        repetitions: of each picture.
        seed: of the training.
        epoch: from 1.

    Returns:
        (count,) numbers; v is repetition v // count of picture v % count.
    """
    pictures = np.random.default_rng((seed, epoch)).permutation(count)[: -(-count // repetitions)]
    repeated = pictures[:, None] + count * np.arange(repetitions)  # (pictures, repetitions)
    return repeated.reshape(-1)[:count].astype(np.int64)
