"""Multi-crop: shapes, area fractions, augmentation switched off, reproducibility."""

import numpy as np
import pytest
import torch
from PIL import Image

from resmlp_mt.common.errors import ResMLPError
from resmlp_mt.vision.data.augmentation import seeded_generators
from resmlp_mt.vision.data.multi_crop import MultiCrop, MultiCropSettings
from resmlp_mt.vision.data.preprocessing import Preprocessing

LARGE, SMALL, CROPS = 17, 7, 3


def plain(channels: int = 3) -> Preprocessing:
    return Preprocessing(LARGE, channels, (0.0,) * channels, (1.0,) * channels, interpolation="nearest")


def random_image(channels: int = 3) -> Image.Image:
    """40 by 53 pixels of noise."""
    shape = (40, 53, 3) if channels == 3 else (40, 53)
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8))


def coordinates() -> Image.Image:
    """An image of 200 by 200 pixels with red = column and green = row, so that a crop's position can be read."""
    row, column = np.meshgrid(np.arange(200), np.arange(200), indexing="ij")
    return Image.fromarray(np.stack((column, row, np.zeros_like(row)), axis=2).astype(np.uint8))


@pytest.mark.parametrize("channels", [1, 3])
def test_crop_shapes(channels):
    crops = MultiCrop(MultiCropSettings(CROPS, SMALL), plain(channels))(random_image(channels))
    assert crops.large.shape == (2, channels, LARGE, LARGE)
    assert crops.small.shape == (CROPS, channels, SMALL, SMALL)


def test_zero_small_crops():
    assert MultiCrop(MultiCropSettings(0, SMALL), plain())(random_image()).small.shape == (0, 3, SMALL, SMALL)


def covered(crop: torch.Tensor) -> float:
    """The fraction of `coordinates` that a crop covers."""
    size = crop.size(-1)
    spans = [(crop[c].max() - crop[c].min()).item() * 255 / 200 * size / (size - 1) for c in (0, 1)]
    return spans[0] * spans[1]


def test_crop_area_fractions():
    settings = MultiCropSettings(CROPS, SMALL, split=0.4, smallest=0.1, colours=0.0, blur=0.0)
    make = MultiCrop(settings, plain())
    with seeded_generators(3):
        all_crops = [make(coordinates()) for _ in range(20)]
    large = [covered(crop) for crops in all_crops for crop in crops.large]
    small = [covered(crop) for crops in all_crops for crop in crops.small]
    assert min(large) > 0.4 - 0.05  # a pixel or two are lost at the edges
    assert 0.1 - 0.05 < min(small) < 0.25
    assert max(small) < 0.4 + 0.05


def test_crops_without_augmentation_keep_pixels():
    settings = MultiCropSettings(CROPS, SMALL, flip=0.0, colours=0.0, blur=0.0)
    crops = MultiCrop(settings, plain())(coordinates())
    for crop in (*crops.large, *crops.small):
        assert (crop[0].diff(dim=1) >= 0).all()  # never mirrored
        assert (crop[0].diff(dim=0) == 0).all()  # columns are columns
        assert (crop[2] == 0).all()


def test_flip_probability_one_mirrors_every_crop():
    settings = MultiCropSettings(CROPS, SMALL, flip=1.0, colours=0.0, blur=0.0)
    assert all((crop[0].diff(dim=1) <= 0).all() for crop in MultiCrop(settings, plain())(coordinates()).large)


def test_blur_and_colour_jitter_change_pixels():
    image, sharp = random_image(), MultiCropSettings(0, flip=0.0, split=1.0, smallest=1.0, colours=0.0, blur=0.0)

    def first(settings: MultiCropSettings) -> torch.Tensor:
        large = Preprocessing(224, 3, (0.0,) * 3, (1.0,) * 3)
        with seeded_generators(5):
            return MultiCrop(settings, large)(image).large[0]

    blurred = first(MultiCropSettings(0, flip=0.0, split=1.0, smallest=1.0, colours=0.0, blur=1.0))
    assert blurred.std() < first(sharp).std()
    coloured = [first(MultiCropSettings(0, flip=0.0, split=1.0, smallest=1.0, colours=c, blur=0.0)) for c in (0.0, 1.0)]
    assert torch.equal(coloured[0], first(sharp))
    assert not torch.equal(coloured[1], first(sharp))


def test_crops_are_reproducible():
    make = MultiCrop(MultiCropSettings(CROPS, SMALL), plain())

    def draw(*numbers: int) -> torch.Tensor:
        with seeded_generators(*numbers):
            return make(random_image()).large

    assert torch.equal(draw(1, 2, 3), draw(1, 2, 3))
    assert not torch.equal(draw(1, 2, 3), draw(1, 3, 3))


def test_large_crops_are_independent():
    large = MultiCrop(MultiCropSettings(CROPS, SMALL), plain())(random_image()).large
    assert not torch.equal(large[0], large[1])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"local_crops": -1}, "local crops must be at least 0"),
        ({"split": 0.01}, "the crop fractions"),
        ({"flip": 1.5}, "flip is a probability and must be between 0 and 1"),
        ({"blur": -0.1}, "blur must be between 0 \\(off\\) and 1"),
    ],
)
def test_settings_out_of_range_are_refused(changes, message):
    with pytest.raises(ResMLPError, match=message):
        MultiCropSettings(**changes)
