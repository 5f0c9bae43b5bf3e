"""Cross-entropy and distillation of image classifiers as fairseq criterions, with top-1 and top-5."""

# No `from __future__ import annotations` here: fairseq reads the types of configuration fields.
from dataclasses import dataclass, field
from typing import Any, Optional

from fairseq import metrics
from fairseq.criterions import CRITERION_REGISTRY, FairseqCriterion, register_criterion
from fairseq.dataclass import ChoiceEnum, FairseqDataclass
from torch import Tensor

from resmlp_mt.common.errors import ResMLPError
from resmlp_mt.fairseq_plugin.registration import assert_registered
from resmlp_mt.vision.training.distillation import Teacher, load_teacher
from resmlp_mt.vision.training.losses import count_correct, cross_entropy, soft_distillation

CROSS_ENTROPY = "resmlp_image_cross_entropy"
DISTILLATION = "resmlp_image_distillation"
AVERAGED = "ema_"  # prefix of the metrics of the averaged weights


@dataclass
class ImageCrossEntropyConfig(FairseqDataclass):
    """Options of the cross-entropy of images."""

    label_smoothing: float = field(
        default=0.1, metadata={"help": "label smoothing epsilon, in training only (DeiT: 0.1)"}
    )


@register_criterion(CROSS_ENTROPY, dataclass=ImageCrossEntropyConfig)
class ImageCrossEntropy(FairseqCriterion):
    """Cross-entropy in nats per image, with labels or soft targets; label smoothing only in training.

    Logs the accuracy "top1" and "top5" in percent; in training only for hard labels, since mixed images have no single
    correct class.

    Args:
        task: an image task.
        label_smoothing: see `ImageCrossEntropyConfig`.

    Raises:
        ResMLPError: if label smoothing is outside [0, 1).
    """

    def __init__(self, task: Any, label_smoothing: float) -> None:
        super().__init__(task)
        if not 0 <= label_smoothing < 1:
            raise ResMLPError(f"--label-smoothing {label_smoothing} is outside [0, 1); DeiT uses 0.1")
        self.label_smoothing = label_smoothing

    def forward(
        self,
        model: Any,
        sample: dict[str, Any],
        reduce: bool = True,  # noqa: ARG002 - fairseq's signature
    ) -> tuple[Tensor, int, dict[str, Any]]:
        """Computes the loss of a batch.

        Args:
            model: maps images (batch, channels, height, width) to logits (batch, num_classes).
            sample: a batch from the task.
            reduce: ignored; losses are always summed.

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
        """Aggregates the logging outputs of all batches and processes."""
        count = sum(log["sample_size"] for log in logging_outputs)
        for name in ("loss", "top1", "top5", *(AVERAGED + k for k in ("loss", "top1", "top5"))):
            if count and any(name in log for log in logging_outputs):
                total = sum(log.get(name, 0) for log in logging_outputs)
                percent = 1 if name.endswith("loss") else 100
                metrics.log_scalar(name, percent * total / count, count, round=3)

    @staticmethod
    def logging_outputs_can_be_summed() -> bool:
        """Returns True: all values are sums and counts."""
        return True


@dataclass
class ImageDistillationConfig(ImageCrossEntropyConfig):
    """Options of distillation. "DeiT" is arXiv:2012.12877."""

    teacher: str = field(
        default="", metadata={"help": "a classifier's folder, a fairseq checkpoint, or the name of a timm model"}
    )
    teacher_weights: Optional[str] = field(
        default=None, metadata={"help": "file with a timm teacher's state dict (default: its published weights)"}
    )
    distillation: ChoiceEnum(("hard", "soft")) = field(
        default="hard", metadata={"help": "target: the teacher's best class, or its distribution (paper: hard)"}
    )
    distillation_weight: float = field(
        default=0.5, metadata={"help": "weight of the teacher's loss (DeiT, hard: 0.5; soft: 0.1)"}
    )
    distillation_temperature: float = field(
        default=3.0, metadata={"help": "temperature of soft distillation (DeiT: 3)"}
    )


@register_criterion(DISTILLATION, dataclass=ImageDistillationConfig)
class ImageDistillation(ImageCrossEntropy):
    r"""Cross-entropy with the labels and with a teacher's output in training; plain cross-entropy in validation.

    $L = (1 - w) \mathrm{CE}(s, y) + w \mathrm{CE}(s, \arg\max t)$, or soft, with `soft_distillation` as second term.

    Source: arXiv:2012.12877, equations 2 and 3; arXiv:2105.03404, section 3.1, takes the hard form.

    Note: DeiT's student has one head per loss. ResMLP has a single head, and neither the paper nor the code shows how
    the two losses are combined; here the head is trained with both, each with weight 0.5. The teacher gets the
    student's augmented images, and its label is the best class of the mixed image, without smoothing.

    The teacher is loaded with the first training batch, is frozen, and is not saved in checkpoints.

    Args:
        task: an image task.
        label_smoothing, teacher, teacher_weights, distillation, distillation_weight, distillation_temperature: see
            `ImageDistillationConfig`.

    Raises:
        ResMLPError: if no teacher is given, or an option is out of range.
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
        if not teacher:
            raise ResMLPError("distillation requires --teacher; give a checkpoint or the name of a timm model")
        if not 0 <= distillation_weight <= 1:
            raise ResMLPError(f"--distillation-weight {distillation_weight} is outside [0, 1]; DeiT uses 0.5")
        if not distillation_temperature > 0:
            raise ResMLPError(
                f"--distillation-temperature must be above 0, but is {distillation_temperature}; DeiT uses 3"
            )
        self._source = (teacher, teacher_weights)
        self._teacher: Optional[Teacher] = None  # not a submodule, so it is not trained, converted or saved
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
            teacher_loss = cross_entropy(logits, teacher_logits.argmax(dim=1))
        else:
            teacher_loss = soft_distillation(logits, teacher_logits, self.temperature)
        return (1 - self.weight) * plain + self.weight * teacher_loss


assert_registered(CRITERION_REGISTRY, CROSS_ENTROPY, ImageCrossEntropy)
assert_registered(CRITERION_REGISTRY, DISTILLATION, ImageDistillation)
