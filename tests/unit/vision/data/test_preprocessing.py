"""Preprocessing of images as in the paper."""

import math

import numpy as np
import pytest
import torch
from PIL import Image

from resmlp_mt.common.errors import ResMLPError
from resmlp_mt.vision.data.augmentation import Augmentation, seeded_generators
from resmlp_mt.vision.data.preprocessing import IMAGENET_MEAN, IMAGENET_STD, Preprocessing

PLAIN = {"mean": (0.0,) * 3, "std": (1.0,) * 3}


def random_image(height, width, seed=1):
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8))


def test_evaluation_uses_the_centre_crop():
    # 97 / 0.97 = 100: the image is not resized, so the crop keeps its pixels
    pixels = np.asarray(random_image(100, 130))
    images = Preprocessing(97, crop=0.97, **PLAIN).evaluation_transform()(random_image(100, 130))
    expected = pixels[2:99, 16:113]  # round((100 - 97) / 2) = 2, round((130 - 97) / 2) = 16
    np.testing.assert_allclose(images.numpy(), expected.transpose(2, 0, 1) / 255, atol=1e-6)


@pytest.mark.parametrize("size", [(31, 47), (301, 203), (1, 1), (2, 199)])
def test_output_size_is_fixed(size):
    assert Preprocessing(29).evaluation_transform()(random_image(*size)).shape == (3, 29, 29)
    with seeded_generators(1):
        assert Preprocessing(29).training_transform(Augmentation())(random_image(*size)).shape == (3, 29, 29)


def test_shorter_side_is_resized_to_size_over_crop():
    # white stripes within the cropped-off margin vanish: floor(90 / 0.9) = 100, so 5 of 100 on each side
    pixels = np.zeros((200, 200, 3), dtype=np.uint8)
    pixels[:8] = pixels[-8:] = 255
    transform = Preprocessing(90, crop=0.9, interpolation="nearest", **PLAIN).evaluation_transform()
    assert transform(Image.fromarray(pixels)).max() == 0
    pixels[:12] = 255
    assert transform(Image.fromarray(pixels)).max() == 1


def test_normalisation_by_mean_and_std():
    for shift in (0, 1):
        colour = tuple(round(255 * (m + shift * s)) for m, s in zip(IMAGENET_MEAN, IMAGENET_STD, strict=True))
        images = Preprocessing(17).evaluation_transform()(Image.new("RGB", (23, 19), colour))
        torch.testing.assert_close(images, torch.full((3, 17, 17), float(shift)), atol=0.01, rtol=0)


def test_grey_and_rgb_images_fit_any_channel_count():
    for mode in ("L", "RGB"):
        image = random_image(20, 20).convert(mode)
        assert Preprocessing(13).evaluation_transform()(image).shape[0] == 3
        assert Preprocessing(13).with_channels(1).evaluation_transform()(image).shape[0] == 1


def test_with_channels_keeps_the_average():
    there = Preprocessing(13).with_channels(1)
    assert there.mean == (pytest.approx(sum(IMAGENET_MEAN) / 3),)  # type: ignore[comparison-overlap]  # pytest.approx
    back = there.with_channels(3)
    assert back.mean == pytest.approx((there.mean[0],) * 3)
    assert there.with_channels(1) is there


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"image_size": 0}, "image size must be a whole number from 1"),
        ({"channels": 2}, "channels must be 1"),
        ({"crop": 1.5}, "crop must be a number from 0 to 1"),
        ({"crop": math.nan}, "crop must be a number from 0 to 1"),
        ({"image_size": 2.5}, "image size must be a whole number"),
        ({"std": (0.1, math.nan, 0.1)}, "std must be a number"),
        ({"mean": (0.1, "x", 0.1)}, "mean must be a number"),
        ({"interpolation": "lanczos9"}, "nearest, bilinear, bicubic"),
        ({"mean": (0.5,)}, "mean must have 3 values"),
        ({"std": (0.1, 0.1, 0.0)}, "std must be above 0"),
    ],
)
def test_invalid_settings_are_refused(settings, message):
    with pytest.raises(ResMLPError, match=message):
        Preprocessing(**settings)


def test_training_without_augmentation_equals_evaluation():
    still = Augmentation(flip=0.0, crop_scale=1.0)
    image = random_image(21, 21)
    with seeded_generators(3):
        trained = Preprocessing(21, crop=1.0).training_transform(still)(image)
    torch.testing.assert_close(trained, Preprocessing(21, crop=1.0).evaluation_transform()(image))


def test_random_erasing_fills_a_rectangle():
    image = Image.new("RGB", (40, 40), "black")
    prepared = Preprocessing(40, **PLAIN)
    with seeded_generators(3):
        erased = prepared.training_transform(Augmentation(flip=0.0, crop_scale=1.0, random_erasing=1.0))(image)
    rows, columns = (erased != 0).any(dim=0).nonzero(as_tuple=True)
    area = (rows.max() - rows.min() + 1) * (columns.max() - columns.min() + 1)
    assert 0 < area < 40 * 40
    assert (erased != 0).all(dim=0).sum() == area


def test_randaugment_at_full_posterize_strength():
    # at full strength timm requests 0 bits, which Pillow refuses
    strong = Preprocessing(16).training_transform(Augmentation(rand_augment="rand-m10-n15-inc1"))
    image = random_image(16, 16)
    for number in range(40):
        with seeded_generators(number):
            assert torch.isfinite(strong(image)).all()
