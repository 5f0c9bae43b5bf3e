"""Criterions of image classifiers: losses, validation metrics, and distillation from a frozen teacher."""

import copy
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from fairseq import metrics
from torch import nn

from resmlp_mt.common.errors import ResMLPError
from resmlp_mt.fairseq_plugin.image_criterions import ImageCrossEntropy, ImageDistillation
from resmlp_mt.vision.data.preprocessing import Preprocessing
from resmlp_mt.vision.training.distillation import Teacher, load_teacher, renormalise
from resmlp_mt.vision.training.losses import count_correct, cross_entropy, soft_distillation

BATCH, CLASSES, SIZE = 5, 7, 3
PREPROCESSING = Preprocessing(SIZE)
TASK = SimpleNamespace(preprocessing=PREPROCESSING, classes=[f"class {i}" for i in range(CLASSES)])
TIMM = "test_convnext"  # 0.3 M parameters


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(1)


def sample(soft=False):
    images = torch.randn(BATCH, 3, SIZE, SIZE)
    target = torch.rand(BATCH, CLASSES).softmax(dim=1) if soft else torch.tensor([3, 0, 6, 6, 1])
    return {"net_input": {"images": images}, "target": target, "nsentences": BATCH, "ntokens": BATCH}


class Linear(nn.Module):
    """A minimal classifier that records whether it ran in training mode."""

    def __init__(self):
        super().__init__()
        self.head = nn.Linear(3 * SIZE * SIZE, CLASSES)
        self.was_training = None

    def forward(self, images):
        self.was_training = self.training
        return self.head(images.flatten(1))


class TestLosses:
    def test_one_hot_targets_equal_labels(self):
        logits, labels = torch.randn(BATCH, CLASSES), sample()["target"]
        for smoothing in (0.0, 0.1):
            soft = cross_entropy(logits, F.one_hot(labels, CLASSES).float(), smoothing)
            torch.testing.assert_close(soft, cross_entropy(logits, labels, smoothing))

    def test_mixed_targets_equal_timm(self):
        from timm.data.mixup import mixup_target
        from timm.loss.cross_entropy import SoftTargetCrossEntropy

        logits, labels = torch.randn(BATCH, CLASSES), sample()["target"]
        expected = SoftTargetCrossEntropy()(logits, mixup_target(labels, CLASSES, 0.3, smoothing=0.1))
        ours = cross_entropy(logits, mixup_target(labels, CLASSES, 0.3, smoothing=0.0), 0.1)
        torch.testing.assert_close(ours / BATCH, expected)

    def test_soft_distillation_of_equal_distributions_is_zero(self):
        logits = torch.randn(BATCH, CLASSES)
        assert float(soft_distillation(logits, logits + 3.0, 3.0)) == pytest.approx(0, abs=1e-5)

    def test_soft_distillation_equation(self):
        student, teacher, temperature = torch.randn(BATCH, CLASSES), torch.randn(BATCH, CLASSES), 3.0
        t, s = (teacher / temperature).softmax(1), (student / temperature).softmax(1)
        expected = temperature**2 * (t * (t / s).log()).sum()
        torch.testing.assert_close(soft_distillation(student, teacher, temperature), expected)

    def test_losses_of_half_precision_are_float32(self):
        logits, labels = torch.randn(BATCH, CLASSES).half(), sample()["target"]
        assert cross_entropy(logits, labels).dtype == torch.float32
        assert cross_entropy(logits, F.one_hot(labels, CLASSES).half()).dtype == torch.float32
        assert soft_distillation(logits, logits, 3.0).dtype == torch.float32

    def test_top_k_count(self):
        logits = torch.tensor([[5.0, 4.0, 3.0, 2.0], [5.0, 4.0, 3.0, 2.0], [1.0, 2.0, 3.0, 4.0]])
        labels = torch.tensor([0, 2, 0])
        assert [int(count_correct(logits, labels, k)) for k in (1, 2, 3, 4, 5)] == [1, 1, 2, 3, 3]

    def test_top_k_count_of_several_labels(self):
        logits = torch.tensor([[5.0, 4.0, 3.0], [5.0, 4.0, 3.0]])
        target = torch.tensor([[0.5, 0.0, 0.5], [0.0, 0.0, 1.0]])
        assert [int(count_correct(logits, target, k)) for k in (1, 2, 3)] == [1, 1, 2]


class TestCrossEntropy:
    def test_loss_is_sum_of_nats_over_batch(self):
        model, batch = Linear(), sample()
        loss, count, logged = ImageCrossEntropy(TASK, 0.0)(model, batch)
        logits = model(batch["net_input"]["images"])
        torch.testing.assert_close(loss, F.cross_entropy(logits, batch["target"], reduction="sum"))
        assert count == logged["sample_size"] == logged["nsentences"] == BATCH
        assert int(logged["top1"]) == int((logits.argmax(1) == batch["target"]).sum())

    def test_labels_are_smoothed_only_in_training(self):
        model, batch = Linear(), sample()
        smooth, plain = ImageCrossEntropy(TASK, 0.1), ImageCrossEntropy(TASK, 0.0)
        assert float(smooth.train()(model, batch)[0]) != pytest.approx(float(plain.train()(model, batch)[0]))
        torch.testing.assert_close(smooth.eval()(model, batch)[0], plain.eval()(model, batch)[0])

    def test_mixed_images_have_no_accuracy(self):
        criterion = ImageCrossEntropy(TASK, 0.1)
        assert "top1" not in criterion.train()(Linear(), sample(soft=True))[2]
        assert "top1" in criterion.eval()(Linear(), sample(soft=True))[2]

    def test_metrics_are_weighted_by_batch_size(self):
        logs = [
            {"loss": 8.0, "top1": 4, "top5": 4, "sample_size": 4},
            {"loss": 1.0, "top1": 0, "top5": 1, "sample_size": 1},
        ]
        with metrics.aggregate(new_root=True) as gathered:
            for log in logs:  # one update per batch, as in fairseq's trainer
                ImageCrossEntropy.reduce_metrics([log])
        assert gathered.get_smoothed_values() == {"loss": 1.8, "top1": 80.0, "top5": 100.0}
        with metrics.aggregate(new_root=True) as gathered:
            ImageCrossEntropy.reduce_metrics(logs)  # all at once, as in fairseq-validate
        assert gathered.get_smoothed_values() == {"loss": 1.8, "top1": 80.0, "top5": 100.0}

    def test_label_smoothing_out_of_range_is_refused(self):
        with pytest.raises(ResMLPError, match="--label-smoothing .* is outside"):
            ImageCrossEntropy(TASK, 1.0)


def distillation_criterion(teacher, kind="hard", weight=0.5, smoothing=0.1):
    criterion = ImageDistillation(TASK, smoothing, "somewhere", None, kind, weight, 3.0)
    criterion._teacher = Teacher(teacher, (PREPROCESSING.mean, PREPROCESSING.std))
    return criterion.train()


class TestDistillation:
    @pytest.mark.parametrize("soft_labels", [False, True])
    @pytest.mark.parametrize("weight", [0.0, 0.3, 1.0])
    def test_hard_distillation_averages_both_losses(self, weight, soft_labels):
        student, teacher, batch = Linear(), Linear(), sample(soft_labels)
        images = batch["net_input"]["images"]
        label_loss = cross_entropy(student(images), batch["target"], 0.1)
        teacher_loss = F.cross_entropy(student(images), teacher(images).argmax(1), reduction="sum")
        loss = distillation_criterion(teacher, weight=weight)(student, batch)[0]
        torch.testing.assert_close(loss, (1 - weight) * label_loss + weight * teacher_loss)

    def test_soft_distillation_averages_both_losses(self):
        student, teacher, batch = Linear(), Linear(), sample()
        images = batch["net_input"]["images"]
        expected = 0.5 * cross_entropy(student(images), batch["target"], 0.1)
        expected += 0.5 * soft_distillation(student(images), teacher(images), 3.0)
        torch.testing.assert_close(distillation_criterion(teacher, "soft")(student, batch)[0], expected)

    def test_teacher_is_frozen_and_not_in_state_dict(self):
        student, teacher = Linear(), Linear()
        before = copy.deepcopy(teacher.state_dict())
        criterion = distillation_criterion(teacher)
        loss, _, _ = criterion(student, sample())
        loss.backward()
        assert teacher.was_training is False
        assert all(p.grad is None and not p.requires_grad for p in teacher.parameters())
        assert all(p.grad is not None for p in student.parameters())
        assert list(criterion.parameters()) == []
        assert criterion.state_dict() == {}
        assert all(torch.equal(before[name], value) for name, value in teacher.state_dict().items())

    def test_validation_needs_no_teacher(self):
        model, batch = Linear(), sample()
        criterion = ImageDistillation(TASK, 0.1, "no such teacher", None, "hard", 0.5, 3.0).eval()
        torch.testing.assert_close(criterion(model, batch)[0], ImageCrossEntropy(TASK, 0.1).eval()(model, batch)[0])

    @pytest.mark.parametrize(
        ("args", "message"),
        [
            (("", None, "hard", 0.5, 3.0), "distillation requires --teacher"),
            (("x", None, "hard", 1.5, 3.0), "--distillation-weight 1.5 is outside"),
            (("x", None, "soft", 0.5, 0.0), "--distillation-temperature must be above 0"),
        ],
    )
    def test_invalid_settings_are_named(self, args, message):
        with pytest.raises(ResMLPError, match=message):
            ImageDistillation(TASK, 0.1, *args)


class TestTeachers:
    def test_images_are_normalized_for_teacher(self):
        pixels = torch.rand(BATCH, 3, SIZE, SIZE)
        ours, theirs = ((0.1, 0.2, 0.3), (0.5, 0.6, 0.7)), ((0.5, 0.5, 0.5), (0.2, 0.2, 0.2))

        def normalise(pixels, values):
            mean, std = (torch.tensor(v)[:, None, None] for v in values)
            return (pixels - mean) / std

        torch.testing.assert_close(
            renormalise(normalise(pixels, ours), ours, theirs), normalise(pixels, theirs), atol=1e-5, rtol=0
        )

    def test_timm_teacher_with_weights_from_file(self, tmp_path):
        import timm

        model = timm.create_model(TIMM, num_classes=CLASSES, in_chans=1)
        torch.save(model.state_dict(), tmp_path / "weights.pt")
        grey = Preprocessing(32).with_channels(1)
        teacher = load_teacher(TIMM, str(tmp_path / "weights.pt"), grey, TASK.classes)
        images = torch.randn(2, 1, 32, 32)
        torch.testing.assert_close(teacher.logits(images, grey), model.eval()(images))

    def test_weights_file_with_code_is_refused(self, tmp_path):
        class Trap:
            def __reduce__(self):
                return (open, (str(tmp_path / "ran"), "w"))

        torch.save({"head": Trap()}, tmp_path / "trap.pt")
        with pytest.raises(ResMLPError, match=r"trap\.pt cannot be loaded as the weights"):
            load_teacher(TIMM, str(tmp_path / "trap.pt"), PREPROCESSING, TASK.classes)
        assert not (tmp_path / "ran").exists()

    def test_unknown_teacher_lists_similar_names(self):
        with pytest.raises(
            ResMLPError, match="'resnet5O' is neither .* nor a timm model; similar names in timm: resnet50"
        ):
            load_teacher("resnet5O", None, PREPROCESSING, TASK.classes)

    def test_failed_download_of_weights_is_one_line(self, monkeypatch):
        import timm

        def fail(*_args, **_kwargs):
            raise OSError("Network is\nunreachable")

        monkeypatch.setattr(timm, "create_model", fail)
        with pytest.raises(ResMLPError, match="published weights of teacher resnet50 .*--teacher-weights") as error:
            load_teacher("resnet50", None, PREPROCESSING, TASK.classes)
        assert len(str(error.value).splitlines()) == 1

    def test_published_teacher_normalization_and_classes(self, monkeypatch):
        import timm

        def published(_name, pretrained, **_kwargs):
            assert pretrained
            model: Any = Linear()
            model.num_classes, model.pretrained_cfg = CLASSES, {"mean": (0.5,) * 3, "std": (0.25,) * 3}
            return model

        monkeypatch.setattr(timm, "create_model", published)
        assert load_teacher("resnet50", None, PREPROCESSING, TASK.classes).normalization == ((0.5,) * 3, (0.25,) * 3)
        with pytest.raises(ResMLPError, match="teacher resnet50 and the data differ in number of classes \(7 and 2\)"):
            load_teacher("resnet50", None, PREPROCESSING, ["a", "b"])
