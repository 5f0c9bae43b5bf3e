"""Cross-entropy and distillation of image classifiers as fairseq criterions, with top-1 and top-5."""

# No `from __future__ import annotations` here: fairseq reads the types of configuration fields.
from dataclasses import dataclass, field
from typing import Any, Optional

from fairseq import metrics
from fairseq.criterions import CRITERION_REGISTRY, FairseqCriterion, register_criterion
from fairseq.dataclass import ChoiceEnum, FairseqDataclass
from torch import Tensor

from resmlp_mt.common.errors import require
from resmlp_mt.fairseq_plugin.registration import assert_registered
from resmlp_mt.vision.training.distillation import Teacher, load_teacher
from resmlp_mt.vision.training.losses import count_correct, cross_entropy, soft_distillation

CROSS_ENTROPY = "resmlp_image_cross_entropy"
DISTILLATION = "resmlp_image_distillation"
AVERAGED = "ema_"  # before the name of what the averaged weights score


@dataclass
class ImageCrossEntropyConfig(FairseqDataclass):
    """Settings of the cross-entropy of images."""

    label_smoothing: float = field(
        default=0.1, metadata={"help": "share of the target that all classes get, in training (DeiT: 0.1)"}
    )


@register_criterion(CROSS_ENTROPY, dataclass=ImageCrossEntropyConfig)
class ImageCrossEntropy(FairseqCriterion):
    """Cross-entropy in nats an image, against labels or soft targets; smoothed only in training.

    It counts how often the best class is right, or one of the best five: "top1" and "top5", in percent; in training
    only where targets are labels, since mixed images have no right answer.

    Args:
        task: an image task.
        label_smoothing: see `ImageCrossEntropyConfig`.

    Raises:
        ResMLPError: label smoothing is no share.
    """

    def __init__(self, task: Any, label_smoothing: float) -> None:
        super().__init__(task)
        require(0 <= label_smoothing < 1, "--label-smoothing", "at least 0 and below 1", label_smoothing, "DeiT: 0.1")
        self.label_smoothing = label_smoothing

    def forward(self, model: Any, sample: dict[str, Any], reduce: bool = True) -> tuple[Tensor, int, dict[str, Any]]:
        """Computes the loss of a batch.

        Args:
            model: (batch, channels, height, width) to logits (batch, num_classes).
            sample: from the task.
            reduce: not read; losses are always summed.

        Returns:
            The loss summed over the batch, the number of images, and what to log.
        """
        logits, target = model(**sample["net_input"]), sample["target"]
        loss = self.loss(logits, sample)
        count = target.size(0)
        logged = {"loss": loss.detach(), "sample_size": count, "nsentences": count, "ntokens": count}
        if target.dim() == 1 or not self.training:
            logged |= {f"top{k}": count_correct(logits.detach(), target, k) for k in (1, 5)}
        return loss, count, logged

    def loss(self, logits: Tensor, sample: dict[str, Any]) -> Tensor:
        """The loss of logits (batch, num_classes), summed over the batch."""
        return cross_entropy(logits, sample["target"], self.label_smoothing if self.training else 0.0)

    @staticmethod
    def reduce_metrics(logging_outputs: list[dict[str, Any]]) -> None:
        """Adds up what the batches of all processes logged."""
        count = sum(log["sample_size"] for log in logging_outputs)
        for name in ("loss", "top1", "top5", *(AVERAGED + k for k in ("loss", "top1", "top5"))):
            if count and any(name in log for log in logging_outputs):
                total = sum(log.get(name, 0) for log in logging_outputs)
                percent = 1 if name.endswith("loss") else 100
                metrics.log_scalar(name, percent * total / count, count, round=3)

    @staticmethod
    def logging_outputs_can_be_summed() -> bool:
        """They can: sums and counts."""
        return True


@dataclass
class ImageDistillationConfig(ImageCrossEntropyConfig):
    """Settings of distillation. "DeiT" is arXiv:2012.12877."""

    teacher: str = field(
        default="", metadata={"help": "a classifier's folder, a fairseq checkpoint, or the name of a timm model"}
    )
    teacher_weights: Optional[str] = field(
        default=None, metadata={"help": "file with a timm teacher's state dict; its published weights unless given"}
    )
    distillation: ChoiceEnum(("hard", "soft")) = field(
        default="hard", metadata={"help": "learn the teacher's best class, or its distribution (the paper: hard)"}
    )
    distillation_weight: float = field(
        default=0.5, metadata={"help": "share of the teacher's loss (DeiT, hard: 0.5; soft: 0.1)"}
    )
    distillation_temperature: float = field(
        default=3.0, metadata={"help": "that soft distillation divides logits by (DeiT: 3)"}
    )


@register_criterion(DISTILLATION, dataclass=ImageDistillationConfig)
class ImageDistillation(ImageCrossEntropy):
    r"""Cross-entropy with the data's labels and with a teacher's, in training; in validation plain cross-entropy.

    $L = (1 - w) \mathrm{CE}(s, y) + w \mathrm{CE}(s, \arg\max t)$, or soft, with `soft_distillation` as second term.

    Source: arXiv:2012.12877, equations 2 and 3; arXiv:2105.03404, section 3.1, takes the hard form.

    Note: DeiT's student has two heads, one a loss. ResMLP's has one, and neither paper nor code say how the two labels
    come together: here that head learns from both losses, each with half the weight. The teacher sees the student's
    images, mixed and erased as they are, and its label is the best class of the mixed image, never smoothed.

    The teacher is loaded with the first training batch, is frozen, and is no part of checkpoints.

    Args:
        task: an image task.
        label_smoothing, teacher, teacher_weights, distillation, distillation_weight, distillation_temperature: see
            `ImageDistillationConfig`.

    Raises:
        ResMLPError: no teacher is given, or a setting is out of range.
    """

    def __init__(
        self,
        task: Any,
        label_smoothing: float,
        teacher: str,
        teacher_weights: Optional[str],
        distillation: str,
        distillation_weight: float,
        distillation_temperature: float,
    ) -> None:
        super().__init__(task, label_smoothing)
        require(bool(teacher), "--teacher", "given for distillation", "missing", "name a checkpoint or a timm model")
        require(
            0 <= distillation_weight <= 1,
            "--distillation-weight",
            "between 0 and 1",
            distillation_weight,
            "DeiT's is 0.5",
        )
        require(
            distillation_temperature > 0,
            "--distillation-temperature",
            "above 0",
            distillation_temperature,
            "DeiT's is 3",
        )
        self._source = (teacher, teacher_weights)
        self._teacher: Optional[Teacher] = None  # no module: no parameter of it is trained, converted, or saved
        self.is_hard = str(distillation) == "hard"
        self.weight = distillation_weight
        self.temperature = distillation_temperature

    def loss(self, logits: Tensor, sample: dict[str, Any]) -> Tensor:
        """The loss of logits (batch, num_classes), summed over the batch."""
        plain = super().loss(logits, sample)
        if not self.training:
            return plain
        if self._teacher is None:
            self._teacher = load_teacher(*self._source, self.task.preprocessing, self.task.classes)
        teacher_logits = self._teacher.logits(sample["net_input"]["images"], self.task.preprocessing)
        if self.is_hard:
            taught = cross_entropy(logits, teacher_logits.argmax(dim=1))
        else:
            taught = soft_distillation(logits, teacher_logits, self.temperature)
        return (1 - self.weight) * plain + self.weight * taught


assert_registered(CRITERION_REGISTRY, CROSS_ENTROPY, ImageCrossEntropy)
assert_registered(CRITERION_REGISTRY, DISTILLATION, ImageDistillation)
