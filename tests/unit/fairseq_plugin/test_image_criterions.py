"""Losses of classifiers and what validation counts; teachers are asked and never trained."""

import copy
from types import SimpleNamespace

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
    """The smallest classifier; it notes whether it was evaluated."""

    def __init__(self):
        super().__init__()
        self.head = nn.Linear(3 * SIZE * SIZE, CLASSES)
        self.was_training = None

    def forward(self, images):
        self.was_training = self.training
        return self.head(images.flatten(1))


class TestLosses:
    def test_soft_targets_of_one_class_are_that_label(self):
        logits, labels = torch.randn(BATCH, CLASSES), sample()["target"]
        for smoothing in (0.0, 0.1):
            soft = cross_entropy(logits, F.one_hot(labels, CLASSES).float(), smoothing)
            torch.testing.assert_close(soft, cross_entropy(logits, labels, smoothing))

    def test_mixed_targets_are_those_of_timm(self):
        from timm.data.mixup import mixup_target
        from timm.loss import SoftTargetCrossEntropy

        logits, labels = torch.randn(BATCH, CLASSES), sample()["target"]
        expected = SoftTargetCrossEntropy()(logits, mixup_target(labels, CLASSES, 0.3, smoothing=0.1))
        ours = cross_entropy(logits, mixup_target(labels, CLASSES, 0.3, smoothing=0.0), 0.1)
        torch.testing.assert_close(ours / BATCH, expected)

    def test_a_student_that_agrees_with_its_teacher_has_nothing_to_learn(self):
        logits = torch.randn(BATCH, CLASSES)
        assert float(soft_distillation(logits, logits + 3.0, 3.0)) == pytest.approx(0, abs=1e-5)

    def test_soft_distillation_is_the_equation(self):
        student, teacher, temperature = torch.randn(BATCH, CLASSES), torch.randn(BATCH, CLASSES), 3.0
        t, s = (teacher / temperature).softmax(1), (student / temperature).softmax(1)
        expected = temperature**2 * (t * (t / s).log()).sum()
        torch.testing.assert_close(soft_distillation(student, teacher, temperature), expected)

    def test_losses_of_half_precision_are_summed_in_single(self):
        logits, labels = torch.randn(BATCH, CLASSES).half(), sample()["target"]
        assert cross_entropy(logits, labels).dtype == torch.float32
        assert cross_entropy(logits, F.one_hot(labels, CLASSES).half()).dtype == torch.float32
        assert soft_distillation(logits, logits, 3.0).dtype == torch.float32

    def test_right_answers_are_counted_among_the_best(self):
        logits = torch.tensor([[5.0, 4.0, 3.0, 2.0], [5.0, 4.0, 3.0, 2.0], [1.0, 2.0, 3.0, 4.0]])
        labels = torch.tensor([0, 2, 0])
        assert [int(count_correct(logits, labels, best)) for best in (1, 2, 3, 4, 5)] == [1, 1, 2, 3, 3]

    def test_any_of_several_labels_is_right(self):
        logits = torch.tensor([[5.0, 4.0, 3.0], [5.0, 4.0, 3.0]])
        target = torch.tensor([[0.5, 0.0, 0.5], [0.0, 0.0, 1.0]])
        assert [int(count_correct(logits, target, best)) for best in (1, 2, 3)] == [1, 1, 2]


class TestCrossEntropy:
    def test_the_loss_is_a_sum_of_nats_over_the_batch(self):
        model, batch = Linear(), sample()
        loss, count, logged = ImageCrossEntropy(TASK, 0.0)(model, batch)
        logits = model(batch["net_input"]["images"])
        torch.testing.assert_close(loss, F.cross_entropy(logits, batch["target"], reduction="sum"))
        assert count == logged["sample_size"] == logged["nsentences"] == BATCH
        assert int(logged["top1"]) == int((logits.argmax(1) == batch["target"]).sum())

    def test_labels_are_smoothed_in_training_and_never_in_validation(self):
        model, batch = Linear(), sample()
        smooth, plain = ImageCrossEntropy(TASK, 0.1), ImageCrossEntropy(TASK, 0.0)
        assert float(smooth.train()(model, batch)[0]) != pytest.approx(float(plain.train()(model, batch)[0]))
        torch.testing.assert_close(smooth.eval()(model, batch)[0], plain.eval()(model, batch)[0])

    def test_mixed_images_have_no_right_answer_to_count(self):
        criterion = ImageCrossEntropy(TASK, 0.1)
        assert "top1" not in criterion.train()(Linear(), sample(soft=True))[2]
        assert "top1" in criterion.eval()(Linear(), sample(soft=True))[2]

    def test_a_small_last_batch_counts_by_its_images(self):
        logs = [
            {"loss": 8.0, "top1": 4, "top5": 4, "sample_size": 4},
            {"loss": 1.0, "top1": 0, "top5": 1, "sample_size": 1},
        ]
        with metrics.aggregate(new_root=True) as gathered:
            for log in logs:  # one update a batch, as fairseq's trainer does
                ImageCrossEntropy.reduce_metrics([log])
        assert gathered.get_smoothed_values() == {"loss": 1.8, "top1": 80.0, "top5": 100.0}
        with metrics.aggregate(new_root=True) as gathered:
            ImageCrossEntropy.reduce_metrics(logs)  # all at once, as fairseq-validate does
        assert gathered.get_smoothed_values() == {"loss": 1.8, "top1": 80.0, "top5": 100.0}

    def test_label_smoothing_is_a_share(self):
        with pytest.raises(ResMLPError, match="--label-smoothing .* is outside"):
            ImageCrossEntropy(TASK, 1.0)


def distilled(teacher, kind="hard", weight=0.5, smoothing=0.1):
    criterion = ImageDistillation(TASK, smoothing, "somewhere", None, kind, weight, 3.0)
    criterion._teacher = Teacher(teacher, (PREPROCESSING.mean, PREPROCESSING.std))
    return criterion.train()


class TestDistillation:
    @pytest.mark.parametrize("soft_labels", [False, True])
    @pytest.mark.parametrize("weight", [0.0, 0.3, 1.0])
    def test_hard_distillation_averages_the_losses_of_both_labels(self, weight, soft_labels):
        student, teacher, batch = Linear(), Linear(), sample(soft_labels)
        images = batch["net_input"]["images"]
        own = cross_entropy(student(images), batch["target"], 0.1)
        taught = F.cross_entropy(student(images), teacher(images).argmax(1), reduction="sum")
        loss = distilled(teacher, weight=weight)(student, batch)[0]
        torch.testing.assert_close(loss, (1 - weight) * own + weight * taught)

    def test_soft_distillation_averages_with_the_teachers_distribution(self):
        student, teacher, batch = Linear(), Linear(), sample()
        images = batch["net_input"]["images"]
        expected = 0.5 * cross_entropy(student(images), batch["target"], 0.1)
        expected += 0.5 * soft_distillation(student(images), teacher(images), 3.0)
        torch.testing.assert_close(distilled(teacher, "soft")(student, batch)[0], expected)

    def test_the_teacher_is_evaluated_gets_no_gradient_and_stays_out_of_checkpoints(self):
        student, teacher = Linear(), Linear()
        before = copy.deepcopy(teacher.state_dict())
        criterion = distilled(teacher)
        loss, _, _ = criterion(student, sample())
        loss.backward()
        assert teacher.was_training is False
        assert all(p.grad is None and not p.requires_grad for p in teacher.parameters())
        assert all(p.grad is not None for p in student.parameters())
        assert list(criterion.parameters()) == []
        assert criterion.state_dict() == {}
        assert all(torch.equal(before[name], value) for name, value in teacher.state_dict().items())

    def test_validation_is_plain_cross_entropy_and_asks_no_teacher(self):
        model, batch = Linear(), sample()
        criterion = ImageDistillation(TASK, 0.1, "no such teacher", None, "hard", 0.5, 3.0).eval()
        torch.testing.assert_close(criterion(model, batch)[0], ImageCrossEntropy(TASK, 0.1).eval()(model, batch)[0])

    @pytest.mark.parametrize(
        ("words", "said"),
        [
            (("", None, "hard", 0.5, 3.0), "distillation requires --teacher"),
            (("x", None, "hard", 1.5, 3.0), "--distillation-weight 1.5 is outside"),
            (("x", None, "soft", 0.5, 0.0), "--distillation-temperature must be above 0"),
        ],
    )
    def test_settings_out_of_range_are_named(self, words, said):
        with pytest.raises(ResMLPError, match=said):
            ImageDistillation(TASK, 0.1, *words)


class TestTeachers:
    def test_images_are_normalised_as_the_teacher_knows_them(self):
        pixels = torch.rand(BATCH, 3, SIZE, SIZE)
        ours, theirs = ((0.1, 0.2, 0.3), (0.5, 0.6, 0.7)), ((0.5, 0.5, 0.5), (0.2, 0.2, 0.2))

        def normalise(pixels, values):
            mean, std = (torch.tensor(v)[:, None, None] for v in values)
            return (pixels - mean) / std

        torch.testing.assert_close(
            renormalise(normalise(pixels, ours), ours, theirs), normalise(pixels, theirs), atol=1e-5, rtol=0
        )

    def test_a_timm_model_with_weights_from_a_file_teaches(self, tmp_path):
        import timm

        model = timm.create_model(TIMM, num_classes=CLASSES, in_chans=1)
        torch.save(model.state_dict(), tmp_path / "weights.pt")
        grey = Preprocessing(32).with_channels(1)
        teacher = load_teacher(TIMM, str(tmp_path / "weights.pt"), grey, TASK.classes)
        images = torch.randn(2, 1, 32, 32)
        torch.testing.assert_close(teacher.logits(images, grey), model.eval()(images))

    def test_a_file_that_would_run_something_is_refused(self, tmp_path):
        class Trap:
            def __reduce__(self):
                return (open, (str(tmp_path / "ran"), "w"))

        torch.save({"head": Trap()}, tmp_path / "trap.pt")
        with pytest.raises(ResMLPError, match=r"trap\.pt cannot be loaded as the weights"):
            load_teacher(TIMM, str(tmp_path / "trap.pt"), PREPROCESSING, TASK.classes)
        assert not (tmp_path / "ran").exists()

    def test_an_unknown_teacher_is_told_what_there_is(self):
        with pytest.raises(
            ResMLPError, match="'resnet5O' is neither .* nor a timm model; similar names in timm: resnet50"
        ):
            load_teacher("resnet5O", None, PREPROCESSING, TASK.classes)

    def test_published_weights_that_cannot_be_fetched_are_told_in_one_line(self, monkeypatch):
        import timm

        def fail(*words, **options):
            raise OSError("Network is\nunreachable")

        monkeypatch.setattr(timm, "create_model", fail)
        with pytest.raises(ResMLPError, match="published weights of teacher resnet50 .*--teacher-weights") as error:
            load_teacher("resnet50", None, PREPROCESSING, TASK.classes)
        assert len(str(error.value).splitlines()) == 1

    def test_a_published_teacher_gets_its_own_normalisation_and_must_know_as_many_classes(self, monkeypatch):
        import timm

        def published(name, pretrained, in_chans):
            assert pretrained
            model = Linear()
            model.num_classes, model.pretrained_cfg = CLASSES, {"mean": (0.5,) * 3, "std": (0.25,) * 3}
            return model

        monkeypatch.setattr(timm, "create_model", published)
        assert load_teacher("resnet50", None, PREPROCESSING, TASK.classes).normalization == ((0.5,) * 3, (0.25,) * 3)
        with pytest.raises(ResMLPError, match="teacher resnet50 and the data differ in number of classes \(7 and 2\)"):
            load_teacher("resnet50", None, PREPROCESSING, ["a", "b"])
