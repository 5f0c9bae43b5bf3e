"""Student and teacher: moving average, centre over batches and processes, gradients, small crops."""

import copy
from typing import Any

import pytest
import torch
from toy_classifiers import mixing_matrices

from resmlp_mt.common.errors import ResMLPError
from resmlp_mt.vision.model.classifier import ClassifierModel
from resmlp_mt.vision.model.config import ClassifierConfig
from resmlp_mt.vision.model.interpolation import interpolate_mixing
from resmlp_mt.vision.training.dino import DinoHead
from resmlp_mt.vision.training.self_distillation import SelfDistillation

SIZE, SMALL, CHANNELS, DIM, BATCH, OUT = 15, 9, 2, 7, 5, 11


def make_pair(**changes: object) -> SelfDistillation:
    torch.manual_seed(1)
    chosen = {"dim": DIM, "depth": 2, "hidden_ratio": 2.0, "num_classes": 0, **changes}
    return SelfDistillation(ClassifierModel(ClassifierConfig(SIZE, 3, CHANNELS, **chosen)), DinoHead(DIM, OUT, 13, 3))


def large_and_small() -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(2)
    return torch.randn(2, BATCH, CHANNELS, SIZE, SIZE), torch.randn(3, BATCH, CHANNELS, SMALL, SMALL)


def step(pair: SelfDistillation) -> None:
    """Changes the student's parameters, as an update does."""
    with torch.no_grad():
        for parameter in (*pair.student.parameters(), *pair.student_head.parameters()):
            parameter.add_(torch.randn_like(parameter))


def test_student_sees_all_crops_and_teacher_large_ones():
    views = make_pair()(*large_and_small())
    assert views.student.shape == (2 + 3, BATCH, OUT)
    assert views.teacher.shape == (2, BATCH, OUT)
    assert torch.allclose(views.student[:2], views.teacher, atol=1e-6)  # initially they are the same network


def test_crop_and_image_order_is_kept():
    pair = make_pair().eval()
    large, small = large_and_small()
    views = pair(large, small)
    alone = pair(large[1:, 3:4], small[2:, 3:4]).student
    assert torch.allclose(views.student[1, 3], alone[0, 0], atol=1e-6)
    assert torch.allclose(views.student[4, 3], alone[1, 0], atol=1e-6)


def test_teacher_is_the_exponential_moving_average():
    pair, momenta = make_pair(), (0.9, 0.5, 0.97)
    expected: dict[str, Any] = copy.deepcopy(dict(pair.core.named_parameters()))
    for momentum in momenta:
        step(pair)
        pair.update_teacher(momentum)
        newest = dict(pair.student.named_parameters())
        expected = {name: momentum * value + (1 - momentum) * newest[name] for name, value in expected.items()}
    for name, value in pair.core.named_parameters():
        assert torch.allclose(value, expected[name], atol=1e-6), name
    head = make_pair().teacher_head
    assert not torch.equal(head.directions, pair.teacher_head.directions)


def test_momentum_one_and_zero():
    pair = make_pair()
    before = copy.deepcopy(pair.core.state_dict())
    step(pair)
    pair.update_teacher(1.0)
    assert all(torch.equal(value, before[name]) for name, value in pair.core.state_dict().items())
    pair.update_teacher(0.0)
    assert all(torch.allclose(a, b) for a, b in zip(pair.core.parameters(), pair.student.parameters(), strict=True))


def test_only_the_student_gets_gradients():
    pair = make_pair(norm="layernorm", layer_scale=1.0)
    pair(*large_and_small()).student.mul(torch.randn(OUT)).sum().backward()
    assert all(
        p.grad is None and not p.requires_grad for p in (*pair.core.parameters(), *pair.teacher_head.parameters())
    )
    for name, parameter in (*pair.student.named_parameters(), *pair.student_head.named_parameters()):
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


def test_small_crops_train_all_rows_and_columns_of_mixing():
    pair = make_pair(layer_scale=1.0)
    small = large_and_small()[1]
    pair.student_head(pair.student.features_at_any_size(small[0])).pow(3).sum().backward()
    for layer in pair.student.layers:
        gradient = layer.mixing.sublayer.weight.grad
        assert gradient.shape == (25, 25)
        assert gradient.abs().sum(0).gt(0).all()
        assert gradient.abs().sum(1).gt(0).all()


def test_small_crops_use_interpolated_matrices():
    pair = make_pair().eval()
    with torch.no_grad():
        small = large_and_small()[1][0]
        resized = pair.student.at_image_size(SMALL)
        assert torch.allclose(pair.student.features_at_any_size(small), resized.features(small), atol=1e-6)
        own, moved = mixing_matrices(pair.student)[0], mixing_matrices(resized)[0]
    assert moved.shape == (9, 9)
    assert torch.allclose(moved, interpolate_mixing(own, None, (5, 5), (3, 3))[0])
    # Row sums are kept: a constant matrix has row sums 25 * 0.5.
    even = torch.full((25, 25), 0.5)
    assert torch.allclose(interpolate_mixing(even, None, (5, 5), (3, 3))[0].sum(1), torch.full((9,), 12.5), atol=1e-4)


def test_stochastic_depth_in_the_student_only():
    pair = make_pair(drop_path=0.5, layer_scale=1.0)
    crops = large_and_small()
    first, second = (pair(*crops) for _ in range(2))
    assert not torch.equal(first.student, second.student)
    assert torch.equal(first.teacher, second.teacher)
    assert not pair.core.training


def test_teacher_gets_batch_norm_statistics():
    pair = make_pair(norm="batchnorm")
    pair(*large_and_small())
    pair.update_teacher(0.9)
    for name, value in pair.student.named_buffers():
        assert torch.equal(value, pair.core.get_buffer(name)), name
    assert any(value.abs().sum() > 0 for name, value in pair.core.named_buffers() if name.endswith("running_mean"))


def test_centre_is_the_moving_average_of_outputs():
    pair = make_pair()
    pair.accumulate_centre(torch.full((2, 3, OUT), 4.0))
    pair.update_centre(0.75)
    assert torch.equal(pair.centre, torch.full((OUT,), 1.0))
    pair.accumulate_centre(torch.full((1, 1, OUT), 9.0))
    pair.update_centre(0.75)
    assert torch.equal(pair.centre, torch.full((OUT,), 0.75 * 1.0 + 0.25 * 9.0))


def test_centre_is_invariant_to_batch_splits():
    outputs = torch.randn(2, 7, OUT)
    whole, parts = make_pair(), make_pair()
    whole.accumulate_centre(outputs)
    for part in (outputs[:, :3], outputs[:, 3:4], outputs[:, 4:]):
        parts.accumulate_centre(part)
    for pair in (whole, parts):
        pair.update_centre(0.9)
        pair.update_centre(0.9)  # without new outputs, nothing changes
    assert torch.allclose(whole.centre, parts.centre, atol=1e-6)
    assert torch.allclose(whole.centre, 0.1 * outputs.mean((0, 1)), atol=1e-6)


def _one_of_two(rank: int, meeting: str, outputs: torch.Tensor, folder: str) -> None:
    torch.distributed.init_process_group("gloo", init_method=f"file://{meeting}", rank=rank, world_size=2)
    pair = make_pair()
    pair.accumulate_centre(outputs[:, :2] if rank == 0 else outputs[:, 2:])  # uneven shares
    pair.update_centre(0.9)
    torch.save(pair.centre, f"{folder}/{rank}.pt")
    torch.distributed.destroy_process_group()


@pytest.mark.slow
def test_centre_of_two_processes_equals_one(tmp_path):
    outputs = torch.randn(2, 7, OUT)
    alone = make_pair()
    alone.accumulate_centre(outputs)
    alone.update_centre(0.9)
    torch.multiprocessing.spawn(_one_of_two, (str(tmp_path / "meeting"), outputs, str(tmp_path)), nprocs=2)  # type: ignore[attr-defined]  # torch's stubs lack it
    first, second = (torch.load(tmp_path / f"{rank}.pt") for rank in range(2))
    assert torch.equal(first, second)
    assert torch.allclose(first, alone.centre, atol=1e-6)


def test_state_dict_contents():
    """The state holds all that resuming needs, and nothing else."""
    names = make_pair().state_dict()
    assert {name.split(".")[0] for name in names} == {"core", "student", "teacher_head", "student_head", "centre"}


def test_16_bit_parameters_are_refused():
    """In 16 bits, the small steps of the moving average would be rounded away."""
    pair = make_pair().to(torch.bfloat16)
    with pytest.raises(ResMLPError, match="--amp"):
        pair.update_teacher(0.996)


def test_student_with_head_is_refused():
    with pytest.raises(ResMLPError, match="num_classes must be 0"):
        make_pair(num_classes=3)
