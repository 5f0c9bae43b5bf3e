"""Data augmentation for training, with randomness that a resumed training reproduces.

Source of the scheme: arXiv:2105.03404, section 3.1, which takes DeiT's (arXiv:2012.12877, table 9): RandAugment
(arXiv:1909.13719), random erasing (arXiv:1708.04896), mixup (arXiv:1710.09412), CutMix (arXiv:1905.04899), repeated
augmentation (arXiv:1901.09335). The transforms are timm's.
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

from resmlp_mt.common.errors import ResMLPError


@dataclass(frozen=True)
class Augmentation:
    """Augmentation of training images; 0 or None turns a transform off.

    Attributes:
        repetitions: copies of an image in a batch, each augmented independently.
        rand_augment: timm's RandAugment policy, such as "rand-m9-mstd0.5-inc1".
        random_erasing: probability of filling a rectangle with noise.
        mixup: alpha of the Beta distribution of the weight of the second image.
        cutmix: alpha of the Beta distribution of the area taken from the second image.
        flip: probability of a horizontal flip.
        crop_scale: smallest fraction of the image area that a random crop keeps.

    Raises:
        ResMLPError: if a value is out of range.
    """

    repetitions: int = 1
    rand_augment: str | None = None
    random_erasing: float = 0.0
    mixup: float = 0.0
    cutmix: float = 0.0
    flip: float = 0.5
    crop_scale: float = 0.08

    def __post_init__(self) -> None:
        if self.repetitions < 1:
            raise ResMLPError(f"repeated augmentation must be at least 1 (off), but is {self.repetitions}")
        for name in ("random_erasing", "flip"):
            value = getattr(self, name)
            if not 0 <= value <= 1:
                raise ResMLPError(
                    f"{name.replace('_', ' ')} is a probability and must be between 0 and 1, but is {value}"
                )
        for name in ("mixup", "cutmix"):
            if not getattr(self, name) >= 0:
                raise ResMLPError(f"{name} must be at least 0 (off), but is {getattr(self, name)}")
        if not 0 < self.crop_scale <= 1:
            raise ResMLPError(f"crop scale must be above 0 and at most 1, but is {self.crop_scale}; DeiT uses 0.08")
        if self.rand_augment:
            _check_rand_augment(self.rand_augment)


def _check_rand_augment(policy: str) -> None:
    from timm.data.auto_augment import rand_augment_transform

    try:
        if not policy.startswith("rand-"):
            raise ValueError("it does not begin with rand-")
        rand_augment_transform(policy, {"translate_const": 1, "img_mean": (0, 0, 0)})
    except Exception as error:  # timm raises many types for a bad policy
        raise ResMLPError(
            f"{policy!r} is not a RandAugment policy of timm ({error}); "
            'DeiT uses "rand-m9-mstd0.5-inc1", "none" turns it off'
        ) from error


def patch_posterize(transform: Any) -> None:
    """Makes RandAugment's posterize keep at least one of eight bits.

    At full strength timm (1.0.31) keeps 0 bits, which newer versions of Pillow reject with `ValueError: bits must be
    between or equal to 1 and 8`.

    Args:
        transform: timm's training transform; changed in place.
    """
    from timm.data.auto_augment import RandAugment, posterize

    for step in transform.transforms:
        if isinstance(step, RandAugment):
            for operation in step.ops:
                if operation.aug_fn is posterize:
                    operation.aug_fn = _posterize_at_least_one_bit


def _posterize_at_least_one_bit(image: Any, bits: int, **options: Any) -> Any:
    from timm.data.auto_augment import posterize

    return posterize(image, max(1, bits), **options)


@contextmanager
def seeded_generators(*numbers: int) -> Iterator[None]:
    """Seeds the global generators of Python, NumPy and torch inside the context and restores them afterwards.

    timm's augmentations use all three. Restoring keeps the random stream of a training that makes its batches in the
    main process.

    Args:
        numbers: the seed; non-negative integers such as seed, epoch and index of the image.
    """
    states = random.getstate(), np.random.get_state(), torch.get_rng_state()
    seeds = np.random.SeedSequence(numbers).generate_state(3)
    try:
        random.seed(int(seeds[0]))
        np.random.seed(seeds[1])
        torch.default_generator.manual_seed(int(seeds[2]))  # torch.manual_seed would also seed the GPU
        yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])
        torch.set_rng_state(states[2])


def mix(images: Tensor, labels: Tensor, num_classes: int, augmentation: Augmentation) -> tuple[Tensor, Tensor]:
    r"""Applies mixup or CutMix, each with probability 1/2, to a batch and its reverse.

    $x_i \leftarrow \lambda x_i + (1 - \lambda) x_{n-1-i}$, or a rectangle of $x_{n-1-i}$ pasted into $x_i$.

    Note: timm rejects batches of odd size; here the middle image, which would be mixed with itself, is unchanged.

    Args:
        images: (batch, channels, height, width); changed in place.
        labels: (batch,).
        num_classes: number of classes.
        augmentation: with `mixup` or `cutmix` above 0.

    Returns:
        The images, and soft targets (batch, num_classes) that sum to 1, without label smoothing.
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
    """Returns the order of an epoch with repeated augmentation.

    It is a random permutation in which every image is repeated `repetitions` times in a row, truncated to `count`. An
    epoch is as long as without repetition and contains 1 / `repetitions` of the images.

    Source: facebookresearch/deit, samplers.py (`RASampler`). Note: DeiT distributes the repetitions of an image over
    processes; here they are in the batch of one process. The images of a global batch are the same.

    Args:
        count: number of images.
        repetitions: copies of each image.
        seed: seed of the training.
        epoch: epoch number, from 1.

    Returns:
        (count,) integers; v is copy v // count of image v % count.
    """
    images = np.random.default_rng((seed, epoch)).permutation(count)[: -(-count // repetitions)]
    repeated = images[:, None] + count * np.arange(repetitions)  # (images, repetitions)
    return repeated.reshape(-1)[:count].astype(np.int64)
