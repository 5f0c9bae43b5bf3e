"""Multi-crop: a few global and many local crops of an image, each augmented independently."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from resmlp_mt.common.errors import ResMLPError
from resmlp_mt.vision.data.preprocessing import Preprocessing

if TYPE_CHECKING:
    from PIL.Image import Image

_BLUR_RADIUS = (0.1, 2.0)  # pixels, at crops of 224
_BLUR_SIZE = 224


@dataclass(frozen=True)
class MultiCropSettings:
    """Settings of multi-crop.

    Source: arXiv:2104.14294, section 3.1 and appendix E; colour jitter and blur as in BYOL (arXiv:2006.07733), in the
    authors' code `DataAugmentationDINO`.

    Attributes:
        local_crops: number of local crops (paper: 8 to 10; 0 for none).
        local_size: side of a local crop in pixels (paper: 96).
        split: fraction of the image area; global crops cover more, local crops less (authors' default: 0.4).
        smallest: smallest fraction that a local crop covers (paper: 0.05).
        flip: probability of a horizontal flip.
        colours: strength of the colour jitter, solarisation and grey conversion (paper: 1; 0 for none).
        blur: strength of the blur (paper: 1; 0 for none).

    Raises:
        ResMLPError: if a value is out of range.
    """

    local_crops: int = 8
    local_size: int = 96
    split: float = 0.4
    smallest: float = 0.05
    flip: float = 0.5
    colours: float = 1.0
    blur: float = 1.0

    def __post_init__(self) -> None:
        if self.local_crops < 0:
            raise ResMLPError(f"local crops must be at least 0 (global crops only), but is {self.local_crops}")
        if self.local_size < 1:
            raise ResMLPError(f"local crop size must be at least 1 pixel, but is {self.local_size}; the paper uses 96")
        if not 0 < self.smallest <= self.split <= 1:
            raise ResMLPError(
                "the crop fractions must satisfy 0 < smallest <= split <= 1, but smallest is "
                f"{self.smallest} and split is {self.split}"
            )
        if not 0 <= self.flip <= 1:
            raise ResMLPError(f"flip is a probability and must be between 0 and 1, but is {self.flip}")
        for name in ("colours", "blur"):
            if not 0 <= getattr(self, name) <= 1:
                raise ResMLPError(f"{name} must be between 0 (off) and 1 (the paper's), but is {getattr(self, name)}")


class Crops(NamedTuple):
    """The crops of one image.

    Attributes:
        large: (2, channels, size, size).
        small: (local_crops, channels, local_size, local_size).
    """

    large: Tensor
    small: Tensor


class MultiCrop:
    """Maps an image to its crops, with the global random generators of Python and torch.

    The first global crop is always blurred. The second is blurred with probability 0.1 and solarised with probability
    0.2. Local crops are blurred with probability 0.5.

    Note: the blur radius is the paper's for global crops of 224 pixels and shrinks with their size, since it would
    erase small images.

    Args:
        settings: settings of the crops.
        preprocessing: size of the global crops, channels, interpolation, mean and standard deviation.
    """

    def __init__(self, settings: MultiCropSettings, preprocessing: Preprocessing) -> None:
        self.settings = settings
        self.preprocessing = preprocessing
        size, split = preprocessing.image_size, settings.split
        self.large = [
            self._transform(size, (split, 1.0), blur=blur, solarise=solarise)
            for blur, solarise in ((1.0, 0.0), (0.1, 0.2))
        ]
        self.small = self._transform(settings.local_size, (settings.smallest, split), blur=0.5, solarise=0.0)

    def __call__(self, image: Image) -> Crops:
        """Makes the crops of an image."""
        channels, side = self.preprocessing.channels, self.settings.local_size
        image = image.convert("L" if channels == 1 else "RGB")
        small = [self.small(image) for _ in range(self.settings.local_crops)]
        return Crops(
            torch.stack([transform(image) for transform in self.large]),
            torch.stack(small) if small else torch.empty(0, channels, side, side),
        )

    def _transform(
        self, size: int, scale: tuple[float, float], blur: float, solarise: float
    ) -> Callable[[Image], Tensor]:
        from torchvision import transforms

        settings, channels = self.settings, self.preprocessing.channels
        mode = transforms.InterpolationMode(self.preprocessing.interpolation)
        strength = settings.colours
        jitter = transforms.ColorJitter(0.4 * strength, 0.4 * strength, 0.2 * strength, 0.1 * strength)
        return transforms.Compose(
            [
                transforms.RandomResizedCrop(size, scale=scale, interpolation=mode),
                transforms.RandomHorizontalFlip(settings.flip),
                transforms.RandomApply([jitter], p=0.8 if strength else 0.0),
                transforms.RandomGrayscale(0.2 * strength if channels == 3 else 0.0),
                transforms.RandomApply([_Blur(settings.blur * self.preprocessing.image_size / _BLUR_SIZE)], p=blur),
                transforms.RandomSolarize(threshold=128, p=solarise * strength),
                transforms.ToTensor(),
                transforms.Normalize(self.preprocessing.mean, self.preprocessing.std),
            ]
        )


class _Blur:
    """Gaussian blur with a random radius. A class, since it is pickled for worker processes."""

    def __init__(self, strength: float) -> None:
        self.strength = strength

    def __call__(self, image: Image) -> Image:
        from PIL import ImageFilter

        radius = torch.empty(()).uniform_(*_BLUR_RADIUS).item() * self.strength
        return image.filter(ImageFilter.GaussianBlur(radius)) if self.strength else image
