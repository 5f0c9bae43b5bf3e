"""The laws of DINO's parts: schedules, head, centring and sharpening, loss, teacher, centre over processes."""

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


def test_the_momentum_begins_at_its_start_is_halfway_in_the_middle_and_ends_at_one():
    assert cosine_schedule(0.996, 1.0, 0, 100) == pytest.approx(0.996)
    assert cosine_schedule(0.996, 1.0, 50, 100) == pytest.approx(0.998)
    assert cosine_schedule(0.996, 1.0, 25, 100) == pytest.approx(1 - 0.004 * (1 + math.cos(math.pi / 4)) / 2)
    assert cosine_schedule(0.996, 1.0, 100, 100) == cosine_schedule(0.996, 1.0, 170, 100) == 1.0


def test_the_teachers_temperature_rises_on_a_line_and_then_stays():
    assert [linear_warmup(0.04, 0.07, step, 3) for step in range(5)] == pytest.approx([0.04, 0.05, 0.06, 0.07, 0.07])
    assert linear_warmup(0.04, 0.07, 0, 0) == 0.07


def test_centring_and_sharpening_by_hand():
    # (2 - 1, 0 - 0) / 0.5 = (2, 0), so that the first has e^2 / (e^2 + 1)
    found = teacher_probabilities(torch.tensor([2.0, 0.0]), torch.tensor([1.0, 0.0]), 0.5)
    first = math.exp(2) / (math.exp(2) + 1)
    assert torch.allclose(found, torch.tensor([first, 1 - first]))


def test_a_centre_equal_to_the_output_leaves_the_uniform_distribution():
    logits = torch.randn(OUT)
    assert torch.allclose(teacher_probabilities(logits, logits, 0.04), torch.full((OUT,), 1 / OUT))


def test_the_loss_is_zero_where_the_student_equals_a_one_hot_teacher_and_larger_elsewhere():
    teacher = torch.stack([one_hot(1, 4, 2, 2, 6)] * 2)
    sure = 1e3 * torch.stack([teacher[0]] * CROPS)
    assert torch.equal(dino_loss(sure, teacher, 0.1), torch.zeros(BATCH))
    other = sure.clone()
    other[2, 3] = 1e3 * one_hot(5)
    loss = dino_loss(other, teacher, 0.1)
    assert loss[3] > 1
    assert loss[[0, 1, 2, 4]].eq(0).all()


def test_no_student_has_a_lower_loss_than_the_teachers_own_distribution():
    torch.manual_seed(0)
    teacher = torch.randn(1, BATCH, OUT).softmax(-1).expand(2, -1, -1)
    equal = (0.1 * teacher[0].log()).expand(CROPS, -1, -1)
    assert torch.allclose(dino_loss(equal, teacher, 0.1), entropy(teacher[0]))
    for _ in range(20):
        moved = equal + 0.02 * torch.randn(CROPS, BATCH, OUT)
        assert (dino_loss(moved, teacher, 0.1) > entropy(teacher[0])).all()


def test_the_loss_is_the_mean_over_pairs_of_different_crops():
    torch.manual_seed(1)
    student, teacher = torch.randn(CROPS, BATCH, OUT), torch.randn(2, BATCH, OUT).softmax(-1)
    expected = torch.zeros(BATCH)
    for t, s in [(0, 1), (0, 2), (1, 0), (1, 2)]:
        expected += -(teacher[t] * (student[s] / 0.1).log_softmax(-1)).sum(-1) / 4
    assert torch.allclose(dino_loss(student, teacher, 0.1), expected, atol=1e-5)


def test_a_crop_is_never_compared_with_itself():
    student = torch.randn(2, BATCH, OUT)
    teacher = torch.stack([one_hot(1, 1, 1, 1, 1), one_hot(2, 2, 2, 2, 2)])
    student[0] = 1e3 * teacher[1]
    student[1] = 1e3 * teacher[0]
    assert dino_loss(student, teacher, 0.1).eq(0).all()


def test_a_single_crop_is_refused():
    with pytest.raises(ResMLPError, match="different crops of an image and requires at least 2, but got 1"):
        dino_loss(torch.randn(1, BATCH, OUT), torch.rand(1, BATCH, OUT), 0.1)


def test_the_heads_logits_are_cosines_and_know_nothing_of_the_lengths_of_directions():
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


def test_the_entropy_tells_a_collapse_to_one_output_from_a_collapse_to_all():
    assert entropy(one_hot(3)).item() == 0
    assert entropy(torch.full((OUT,), 1 / OUT)).item() == pytest.approx(math.log(OUT))
