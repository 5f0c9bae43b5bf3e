"""Parts of DINO: schedules, centring and sharpening, loss, head, entropy."""

import math

import pytest
import torch
import torch.nn.functional as F

from resmlp_mt.common.errors import ResMLPError
from resmlp_mt.vision.training.dino import (
    DinoHead,
    cosine_schedule,
    dino_loss,
    entropy,
    linear_warmup,
    teacher_probabilities,
)

BATCH, OUT, CROPS = 5, 7, 3


def one_hot(*numbers: int) -> torch.Tensor:
    return F.one_hot(torch.tensor(numbers), OUT).float()


def test_cosine_schedule():
    assert cosine_schedule(0.996, 1.0, 0, 100) == pytest.approx(0.996)
    assert cosine_schedule(0.996, 1.0, 50, 100) == pytest.approx(0.998)
    assert cosine_schedule(0.996, 1.0, 25, 100) == pytest.approx(1 - 0.004 * (1 + math.cos(math.pi / 4)) / 2)
    assert cosine_schedule(0.996, 1.0, 100, 100) == cosine_schedule(0.996, 1.0, 170, 100) == 1.0


def test_linear_warmup():
    assert [linear_warmup(0.04, 0.07, step, 3) for step in range(5)] == pytest.approx([0.04, 0.05, 0.06, 0.07, 0.07])
    assert linear_warmup(0.04, 0.07, 0, 0) == 0.07


def test_centring_and_sharpening():
    # (2 - 1, 0 - 0) / 0.5 = (2, 0), so that the first has e^2 / (e^2 + 1)
    probabilities = teacher_probabilities(torch.tensor([2.0, 0.0]), torch.tensor([1.0, 0.0]), 0.5)
    first = math.exp(2) / (math.exp(2) + 1)
    assert torch.allclose(probabilities, torch.tensor([first, 1 - first]))


def test_centre_equal_to_output_gives_uniform_distribution():
    logits = torch.randn(OUT)
    assert torch.allclose(teacher_probabilities(logits, logits, 0.04), torch.full((OUT,), 1 / OUT))


def test_loss_is_zero_for_equal_one_hot_outputs():
    teacher = torch.stack([one_hot(1, 4, 2, 2, 6)] * 2)
    sure = 1e3 * torch.stack([teacher[0]] * CROPS)
    assert torch.equal(dino_loss(sure, teacher, 0.1), torch.zeros(BATCH))
    other = sure.clone()
    other[2, 3] = 1e3 * one_hot(5)
    loss = dino_loss(other, teacher, 0.1)
    assert loss[3] > 1
    assert loss[[0, 1, 2, 4]].eq(0).all()


def test_teacher_distribution_minimises_the_loss():
    torch.manual_seed(0)
    teacher = torch.randn(1, BATCH, OUT).softmax(-1).expand(2, -1, -1)
    equal = (0.1 * teacher[0].log()).expand(CROPS, -1, -1)
    assert torch.allclose(dino_loss(equal, teacher, 0.1), entropy(teacher[0]))
    for _ in range(20):
        moved = equal + 0.02 * torch.randn(CROPS, BATCH, OUT)
        assert (dino_loss(moved, teacher, 0.1) > entropy(teacher[0])).all()


def test_loss_is_the_mean_over_pairs_of_different_crops():
    torch.manual_seed(1)
    student, teacher = torch.randn(CROPS, BATCH, OUT), torch.randn(2, BATCH, OUT).softmax(-1)
    expected = torch.zeros(BATCH)
    for t, s in [(0, 1), (0, 2), (1, 0), (1, 2)]:
        expected += -(teacher[t] * (student[s] / 0.1).log_softmax(-1)).sum(-1) / 4
    assert torch.allclose(dino_loss(student, teacher, 0.1), expected, atol=1e-5)


def test_crop_is_not_compared_with_itself():
    student = torch.randn(2, BATCH, OUT)
    teacher = torch.stack([one_hot(1, 1, 1, 1, 1), one_hot(2, 2, 2, 2, 2)])
    student[0] = 1e3 * teacher[1]
    student[1] = 1e3 * teacher[0]
    assert dino_loss(student, teacher, 0.1).eq(0).all()


def test_single_crop_is_refused():
    with pytest.raises(ResMLPError, match="different crops of an image and requires at least 2, but got 1"):
        dino_loss(torch.randn(1, BATCH, OUT), torch.rand(1, BATCH, OUT), 0.1)


def test_head_logits_are_cosine_similarities():
    torch.manual_seed(0)
    head = DinoHead(11, OUT, 13, 3)
    features = torch.randn(BATCH, 11)
    logits = head(features)
    assert logits.shape == (BATCH, OUT)
    assert logits.abs().max() <= 1 + 1e-6
    bottleneck = head.mlp(features)
    assert torch.allclose(logits[2, 4], F.cosine_similarity(bottleneck[2], head.directions[4], dim=0), atol=1e-6)
    with torch.no_grad():
        head.directions.mul_(torch.rand(OUT, 1) + 0.5)
    assert torch.allclose(head(features), logits, atol=1e-6)


def test_entropy_of_one_hot_and_uniform():
    assert entropy(one_hot(3)).item() == 0
    assert entropy(torch.full((OUT,), 1 / OUT)).item() == pytest.approx(math.log(OUT))
