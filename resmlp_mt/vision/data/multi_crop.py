"""Multi-crop: some large and many small parts of a picture, each changed in its own way."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from resmlp_mt.common.errors import require
from resmlp_mt.vision.data.preprocessing import Preprocessing

if TYPE_CHECKING:
    from PIL.Image import Image

GLOBAL_CROPS = 2  # arXiv:2104.14294, section 3.1
_BLUR_RADIUS = (0.1, 2.0)  # pixels, at crops of 224
_BLUR_SIZE = 224


@dataclass(frozen=True)
class MultiCropSettings:
    """How a picture becomes crops.

    Source: arXiv:2104.14294, section 3.1 and appendix E; colours and blur as BYOL's (arXiv:2006.07733), in the
    authors' code `DataAugmentationDINO`.

    Attributes:
        local_crops: number of small crops (paper: 8 to 10; 0 for none).
        local_size: side of a small crop in pixels (paper: 96).
        split: share of the picture's area; large crops cover more, small ones less (authors' default: 0.4).
        smallest: smallest share that a small crop covers (paper: 0.05).
        flip: probability of mirroring left and right.
        colours: strength of the changes of colour and the share of solarised and grey crops; 1 is the paper's, 0 none.
        blur: strength of the blur; 1 is the paper's, 0 none.

    Raises:
        ResMLPError: if something is out of range.
    """

    local_crops: int = 8
    local_size: int = 96
    split: float = 0.4
    smallest: float = 0.05
    flip: float = 0.5
    colours: float = 1.0
    blur: float = 1.0

    def __post_init__(self) -> None:
        require(self.local_crops >= 0, "local crops", "at least 0", self.local_crops, "0 means large crops only")
        require(self.local_size >= 1, "local crop size", "at least 1 pixel", self.local_size, "the paper's is 96")
        in_order = 0 < self.smallest <= self.split <= 1
        shares = f"{self.smallest} and {self.split}"
        require(in_order, "the shares of crops", "in the order 0 < smallest <= split <= 1", shares, "change them")
        require(0 <= self.flip <= 1, "flip", "between 0 and 1", self.flip, "it is a probability")
        for name in ("colours", "blur"):
            require(0 <= getattr(self, name) <= 1, name, "between 0 and 1", getattr(self, name), "1 is the paper's")


class Crops(NamedTuple):
    """Of one picture.

    Attributes:
        large: (2, channels, size, size).
        small: (local_crops, channels, local_size, local_size).
    """

    large: Tensor
    small: Tensor


class MultiCrop:
    """Maps a picture to its crops; draws from the global generators of Python and torch.

    The first large crop is always blurred; the second seldom, but sometimes solarised; small ones are blurred half the
    time.

    Note: the radius of the blur is the paper's at its 224 pixels, and smaller where large crops are smaller, since it
    would wipe out small pictures.

    Args:
        settings: of the crops.
        preprocessing: size of the large crops, channels, interpolation, mean and deviation.
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
        """Makes the crops of a picture."""
        channels, side = self.preprocessing.channels, self.settings.local_size
        image = image.convert("L" if channels == 1 else "RGB")
        small = [self.small(image) for _ in range(self.settings.local_crops)]
        return Crops(
            torch.stack([transform(image) for transform in self.large]),
            torch.stack(small) if small else torch.empty(0, channels, side, side),
        )

    def _transform(
        self, size: int, share: tuple[float, float], blur: float, solarise: float
    ) -> Callable[[Image], Tensor]:
        from torchvision import transforms

        chosen, channels = self.settings, self.preprocessing.channels
        mode = transforms.InterpolationMode(self.preprocessing.interpolation)
        strength = chosen.colours
        jitter = transforms.ColorJitter(0.4 * strength, 0.4 * strength, 0.2 * strength, 0.1 * strength)
        return transforms.Compose(
            [
                transforms.RandomResizedCrop(size, scale=share, interpolation=mode),
                transforms.RandomHorizontalFlip(chosen.flip),
                transforms.RandomApply([jitter], p=0.8 if strength else 0.0),
                transforms.RandomGrayscale(0.2 * strength if channels == 3 else 0.0),
                transforms.RandomApply([_Blur(chosen.blur * self.preprocessing.image_size / _BLUR_SIZE)], p=blur),
                transforms.RandomSolarize(threshold=128, p=solarise * strength),
                transforms.ToTensor(),
                transforms.Normalize(self.preprocessing.mean, self.preprocessing.std),
            ]
        )


class _Blur:
    """Blurs a picture with a Gaussian of random radius; a class, since workers receive it pickled."""

    def __init__(self, strength: float) -> None:
        self.strength = strength

    def __call__(self, image: Image) -> Image:
        from PIL import ImageFilter

        radius = torch.empty(()).uniform_(*_BLUR_RADIUS).item() * self.strength
        return image.filter(ImageFilter.GaussianBlur(radius)) if self.strength else image
