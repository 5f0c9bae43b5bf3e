"""Preprocessing of images: resize, crop, colour mode, normalization, and the training transform."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import floor
from typing import TYPE_CHECKING

from torch import Tensor

from resmlp_mt.common.errors import ResMLPError, require_number, require_whole_number
from resmlp_mt.vision.data.augmentation import Augmentation, patch_posterize

if TYPE_CHECKING:
    from PIL.Image import Image

IMAGENET_MEAN = (0.485, 0.456, 0.406)  # ImageNet-1k, RGB, as in torchvision
IMAGENET_STD = (0.229, 0.224, 0.225)
INTERPOLATIONS = ("nearest", "bilinear", "bicubic")

Transform = Callable[["Image"], Tensor]


@dataclass(frozen=True)
class Preprocessing:
    """Settings of the conversion from images to tensors (channels, image_size, image_size).

    Source: arXiv:2105.03404, section 3.1, and the authors' code: resize the shorter side to image_size / 0.9 with
    bicubic interpolation, then crop the centre.

    Attributes:
        image_size: side of the square input of the classifier, in pixels.
        channels: 3 for RGB, 1 for grey.
        mean: mean of each channel, for pixels between 0 and 1.
        std: standard deviation of each channel.
        crop: side of the evaluation crop as a fraction of the shorter side of the resized image.
        interpolation: one of `INTERPOLATIONS`.

    Raises:
        ResMLPError: if a value is out of range, or two are inconsistent.
    """

    image_size: int = 224
    channels: int = 3
    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD
    crop: float = 0.9
    interpolation: str = "bicubic"

    def __post_init__(self) -> None:
        require_whole_number("image size", self.image_size, 1, 1_000_000)
        if self.channels not in (1, 3):
            raise ResMLPError(f"channels must be 1 (grey) or 3 (RGB), but is {self.channels}")
        require_number("crop", self.crop, 0, 1, "the paper uses 0.9")
        if not self.crop > 0:
            raise ResMLPError(f"crop must be above 0 and at most 1, but is {self.crop}; the paper uses 0.9")
        if self.interpolation not in INTERPOLATIONS:
            raise ResMLPError(
                f"interpolation must be one of {', '.join(INTERPOLATIONS)}, but is {self.interpolation!r}"
            )
        for name, values in (("mean", self.mean), ("std", self.std)):
            if len(values) != self.channels:
                raise ResMLPError(f"{name} must have {self.channels} values, one per channel, but is {values}")
            for value in values:
                require_number(name, value, 0, 1_000_000, "use that of the data")
        if not min(self.std) > 0:
            raise ResMLPError(f"std must be above 0, but is {self.std}; use the standard deviation of the data")

    def with_channels(self, channels: int) -> Preprocessing:
        """Returns a copy for grey or RGB; the mean and std of grey are the averages over the colours."""
        if channels == self.channels:
            return self
        convert = (lambda v: v * 3) if channels == 3 else (lambda v: (sum(v) / 3,))
        return Preprocessing(
            self.image_size, channels, convert(self.mean), convert(self.std), self.crop, self.interpolation
        )

    def evaluation_transform(self) -> Transform:
        """Returns the deterministic map from an image to a tensor (channels, image_size, image_size)."""
        from torchvision import transforms

        return transforms.Compose(
            [
                _ToMode("L" if self.channels == 1 else "RGB"),
                transforms.Resize(floor(self.image_size / self.crop), transforms.InterpolationMode(self.interpolation)),
                transforms.CenterCrop(self.image_size),
                transforms.ToTensor(),
                transforms.Normalize(self.mean, self.std),
            ]
        )

    def training_transform(self, augmentation: Augmentation) -> Transform:
        """Returns the random map from an image to an augmented tensor (channels, image_size, image_size).

        It uses the global generators of Python, NumPy and torch; call it inside `augmentation.seeded_generators`.
        """
        from timm.data import create_transform
        from torchvision import transforms

        augmented = create_transform(
            (self.channels, self.image_size, self.image_size),
            is_training=True,
            scale=(augmentation.crop_scale, 1.0),
            hflip=augmentation.flip,
            color_jitter=None,  # timm's default with RandAugment
            auto_augment=augmentation.rand_augment,
            interpolation=self.interpolation,
            mean=self.mean,
            std=self.std,
            re_prob=augmentation.random_erasing,
            re_mode="pixel",
        )
        patch_posterize(augmented)
        return transforms.Compose([_ToMode("L" if self.channels == 1 else "RGB"), augmented])


class _ToMode:
    """Converts an image to grey or RGB. A class, since it is pickled for worker processes."""

    def __init__(self, mode: str) -> None:
        self.mode = mode

    def __call__(self, image: Image) -> Image:
        return image.convert(self.mode)
