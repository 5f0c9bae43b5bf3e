"""What a picture goes through before a classifier sees it: sizes, colours, and the paper's way of cropping."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import floor
from typing import TYPE_CHECKING

from torch import Tensor

from resmlp_mt.common.errors import require, require_choice, require_number, require_whole_number
from resmlp_mt.vision.data.augmentation import Augmentation, keep_a_bit

if TYPE_CHECKING:
    from PIL.Image import Image

IMAGENET_MEAN = (0.485, 0.456, 0.406)  # of ImageNet-1k, channels red, green, blue, as every torchvision model has it
IMAGENET_STD = (0.229, 0.224, 0.225)
INTERPOLATIONS = ("nearest", "bilinear", "bicubic")

Transform = Callable[["Image"], Tensor]


@dataclass(frozen=True)
class Preprocessing:
    """How pictures become tensors (channels, image_size, image_size).

    Source: arXiv:2105.03404, section 3.1, and its authors' code: the shorter side is resized to image_size / 0.9 with
    bicubic interpolation, and the centre is cut out.

    Attributes:
        image_size: of the square that the classifier sees, in pixels.
        channels: 3 for RGB, 1 for grey.
        mean: of each channel, of pixels between 0 and 1; subtracted.
        std: of each channel; divided by.
        crop: share of the resized picture's shorter side that the square has in evaluation.
        interpolation: one of `INTERPOLATIONS`.

    Raises:
        ResMLPError: if the settings do not fit together.
    """

    image_size: int = 224
    channels: int = 3
    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD
    crop: float = 0.9
    interpolation: str = "bicubic"

    def __post_init__(self) -> None:
        require_whole_number("image size", self.image_size, 1, 1_000_000)
        require(self.channels in (1, 3), "channels", "1 (grey) or 3 (RGB)", self.channels, "choose one of these")
        require_number("crop", self.crop, 0, 1, "the paper's is 0.9")
        require(self.crop > 0, "crop", "above 0 and at most 1", self.crop, "the paper's is 0.9")
        require_choice("interpolation", self.interpolation, INTERPOLATIONS)
        for name, values in (("mean", self.mean), ("std", self.std)):
            require(
                len(values) == self.channels, name, f"{self.channels} numbers, one a channel", values, "give as many"
            )
            for value in values:
                require_number(name, value, 0, 1_000_000, "take the data's own")
        require(min(self.std) > 0, "std", "above 0", self.std, "take the data's own deviation")

    def with_channels(self, channels: int) -> Preprocessing:
        """The same for grey or colour pictures; mean and deviation of grey are the averages of the colours'."""
        if channels == self.channels:
            return self
        spread = (lambda v: v * 3) if channels == 3 else (lambda v: (sum(v) / 3,))
        return Preprocessing(
            self.image_size, channels, spread(self.mean), spread(self.std), self.crop, self.interpolation
        )

    def evaluation_transform(self) -> Transform:
        """Maps a picture to a tensor (channels, image_size, image_size), always in the same way."""
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
        """Maps a picture to an augmented tensor (channels, image_size, image_size).

        It draws from the global generators of Python, NumPy and torch: put `augmentation.drawing_from` around it.
        """
        from timm.data import create_transform
        from torchvision import transforms

        changed = create_transform(
            (self.channels, self.image_size, self.image_size),
            is_training=True,
            scale=(augmentation.crop_scale, 1.0),
            hflip=augmentation.flip,
            color_jitter=None,  # type: ignore[arg-type]  # as timm's own defaults beside RandAugment
            auto_augment=augmentation.rand_augment,
            interpolation=self.interpolation,
            mean=self.mean,
            std=self.std,
            re_prob=augmentation.random_erasing,
            re_mode="pixel",
        )
        keep_a_bit(changed)
        return transforms.Compose([_ToMode("L" if self.channels == 1 else "RGB"), changed])


class _ToMode:
    """Turns a picture into grey or RGB; a class, since workers receive it pickled."""

    def __init__(self, mode: str) -> None:
        self.mode = mode

    def __call__(self, image: Image) -> Image:
        return image.convert(self.mode)
