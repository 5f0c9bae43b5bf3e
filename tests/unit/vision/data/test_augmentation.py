"""Seeded randomness, mixup and cutmix, repeated augmentation."""

import random

import numpy as np
import pytest
import torch
from PIL import Image

from resmlp_mt.common.errors import ResMLPError
from resmlp_mt.vision.data.augmentation import Augmentation, mix, repeated_order, seeded_generators
from resmlp_mt.vision.data.preprocessing import Preprocessing


def draws():
    return random.random(), float(np.random.rand()), float(torch.rand(1))


def test_seeded_generators_are_reproducible():
    with seeded_generators(1, 2, 3):
        first = draws()
    with seeded_generators(1, 2, 3):
        assert draws() == first
    for numbers in ((2, 2, 3), (1, 3, 3), (1, 2, 4)):
        with seeded_generators(*numbers):
            assert all(a != b for a, b in zip(draws(), first, strict=True))


def test_outer_random_state_is_restored():
    def seed_all():
        random.seed(1)
        np.random.seed(1)
        torch.manual_seed(1)

    seed_all()
    expected = draws()
    seed_all()
    with seeded_generators(5):
        draws()
    with pytest.raises(ResMLPError), seeded_generators(5):
        Augmentation(mixup=-draws()[0])
    assert draws() == expected


def test_augmentation_is_reproducible():
    everything = Augmentation(rand_augment="rand-m9-mstd0.5-inc1", random_erasing=0.5)
    transform = Preprocessing(19).training_transform(everything)
    image = Image.fromarray(np.random.default_rng(1).integers(0, 256, (23, 29, 3), dtype=np.uint8))
    tensors = []
    for epoch in (1, 2, 1, 2):
        with seeded_generators(7, epoch, 11):
            tensors.append(transform(image))
    assert torch.equal(tensors[0], tensors[2])
    assert torch.equal(tensors[1], tensors[3])
    assert not torch.equal(tensors[0], tensors[1])


@pytest.mark.parametrize("count", [1, 2, 6, 7])
@pytest.mark.parametrize("kind", [{"mixup": 0.8}, {"cutmix": 1.0}, {"mixup": 0.8, "cutmix": 1.0}])
def test_mixed_targets_are_pixel_fractions(count, kind):
    # image i is 1 in channel i, so its fraction after mixing is the mean of channel i
    originals = torch.zeros(count, 7, 13, 11)
    for i in range(count):
        originals[i, i] = 1.0
    for number in range(20):
        with seeded_generators(number):
            images, targets = mix(originals.clone(), torch.arange(count), 7, Augmentation(**kind))
        torch.testing.assert_close(targets.sum(dim=1), torch.ones(count))
        torch.testing.assert_close(images.mean(dim=(2, 3)), targets, atol=1e-5, rtol=0)


def test_mixup_pairs_first_and_last_image():
    originals = torch.eye(5)[:, :, None, None].expand(5, 5, 9, 9).clone()
    with seeded_generators(2):
        _, targets = mix(originals, torch.arange(5), 5, Augmentation(mixup=0.8))
    assert 0 < targets[0, 0] < 1
    assert targets[0, 0] + targets[0, 4] == pytest.approx(1)
    assert targets[2].tolist() == [0, 0, 1, 0, 0]  # the middle image is paired with itself


def test_mixup_and_cutmix_alternate():
    kinds = set()
    for number in range(20):
        originals = torch.eye(2)[:, :, None, None].expand(2, 2, 9, 9).clone()
        with seeded_generators(number):
            images, _ = mix(originals, torch.arange(2), 2, Augmentation(mixup=0.8, cutmix=1.0))
        kinds.add("cut" if set(images.unique().tolist()) <= {0.0, 1.0} else "mixed")
    assert kinds == {"cut", "mixed"}


@pytest.mark.parametrize(("count", "repetitions"), [(23, 3), (29, 1), (24, 3), (2, 5)])
def test_repeated_augmentation_keeps_epoch_length(count, repetitions):
    order = repeated_order(count, repetitions, seed=3, epoch=1)
    assert len(order) == count
    assert len(set(order.tolist())) == count  # every repetition has its own number, which seeds its randomness
    originals = order % count
    for start in range(0, count, repetitions):
        assert len(set(originals[start : start + repetitions].tolist())) == 1
    assert len(set(originals.tolist())) == -(-count // repetitions)


def test_order_depends_on_seed_and_epoch():
    orders = [repeated_order(97, 3, seed, epoch).tolist() for seed, epoch in ((1, 1), (1, 2), (2, 1))]
    assert len({tuple(order) for order in orders}) == 3
    assert repeated_order(97, 3, 1, 2).tolist() == orders[1]


def test_repeated_augmentation_equals_deit():
    from timm.data.distributed_sampler import RepeatAugSampler

    shares = [list(RepeatAugSampler(range(512), num_replicas=2, rank=rank, num_repeats=3)) for rank in (0, 1)]
    ours = (repeated_order(512, 3, 1, 1) % 512).tolist()
    theirs = shares[0] + shares[1]
    assert len(ours) == len(theirs) == 512
    assert sorted(np.unique(ours, return_counts=True)[1]) == sorted(np.unique(theirs, return_counts=True)[1])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"repetitions": 0}, "repeated augmentation must be at least 1"),
        ({"random_erasing": 1.1}, "random erasing is a probability and must be between 0 and 1"),
        ({"flip": -0.1}, "flip is a probability and must be between 0 and 1"),
        ({"mixup": -1.0}, "mixup must be at least 0"),
        ({"crop_scale": 0.0}, "crop scale must be above 0"),
        ({"rand_augment": "m9"}, "'m9' is not a RandAugment policy of timm"),
        ({"rand_augment": "rand-x9"}, "'rand-x9' is not a RandAugment policy"),
    ],
)
def test_invalid_settings_are_refused(settings, message):
    with pytest.raises(ResMLPError, match=message):
        Augmentation(**settings)
