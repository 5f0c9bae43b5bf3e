"""The DINO loss as a fairseq criterion; it also logs statistics that show a collapse."""

# No `from __future__ import annotations` here: fairseq reads the types of configuration fields.
from dataclasses import dataclass
from typing import Any

from fairseq.criterions import CRITERION_REGISTRY, FairseqCriterion, register_criterion
from fairseq.dataclass import FairseqDataclass
from fairseq.logging import metrics
from torch import Tensor

from resmlp_mt.common.errors import ResMLPError
from resmlp_mt.fairseq_plugin.registration import assert_registered, option
from resmlp_mt.vision.training.dino import dino_loss, entropy, linear_warmup, teacher_probabilities

NAME = "resmlp_dino"


@dataclass
class DinoCriterionConfig(FairseqDataclass):
    """Options of DINO's loss. "Paper" is arXiv:2104.14294, "authors" is its code, main_dino.py."""

    student_temperature: float = option(0.1, "temperature of the student's softmax (paper: 0.1)")
    teacher_temperature: float = option(0.04, "teacher's temperature after the warm-up (paper: 0.07; authors: 0.04)")
    teacher_temperature_start: float = option(0.04, "initial temperature of the teacher's softmax (paper: 0.04)")
    teacher_temperature_updates: int = option(
        0, "updates of the linear warm-up of the teacher's temperature (paper: 30 epochs)"
    )


@register_criterion(NAME, dataclass=DinoCriterionConfig)
class DinoCriterion(FairseqCriterion):
    """Cross-entropy between teacher and student over pairs of crops, in nats per image, see `dino_loss`.

    Logs two entropies that show a collapse, in nats: `teacher_entropy` of the teacher's output for an image, and
    `mean_entropy` of its mean over a batch. If both approach ln(out_dim), all outputs are uniform; if both approach 0,
    all images have the same output. In a healthy training the first is low and the second high.

    Args:
        task: `ResMLPDinoTask`.
        student_temperature, teacher_temperature, teacher_temperature_start, teacher_temperature_updates: see
            `DinoCriterionConfig`.

    Raises:
        ResMLPError: if a temperature is not above 0.
    """

    teacher_logits: Tensor  # the teacher's logits of the last batch, for the centre

    def __init__(
        self,
        task: Any,
        student_temperature: float,
        teacher_temperature: float,
        teacher_temperature_start: float,
        teacher_temperature_updates: int,
    ) -> None:
        super().__init__(task)
        lowest = min(student_temperature, teacher_temperature, teacher_temperature_start)
        if not lowest > 0:
            raise ResMLPError(f"temperatures must be above 0, but one is {lowest}; the paper uses 0.1 and 0.04 to 0.07")
        self.student_temperature = student_temperature
        self.teacher_temperature = (teacher_temperature_start, teacher_temperature)
        self.warmup = teacher_temperature_updates

    def forward(
        self,
        model: Any,
        sample: dict[str, Any],
        reduce: bool = True,  # noqa: ARG002 - fairseq's signature
    ) -> tuple[Tensor, int, dict[str, Any]]:
        """Computes the loss of a batch.

        Args:
            model: `ResMLPDinoModel`.
            sample: a batch from the task.
            reduce: ignored; losses are always summed.

        Returns:
            The loss summed over the batch, the number of images, and what to log.
        """
        views = model(**sample["net_input"])
        temperature = linear_warmup(*self.teacher_temperature, model.num_updates, self.warmup)
        teacher = teacher_probabilities(views.teacher, model.centre, temperature)
        loss = dino_loss(views.student, teacher, self.student_temperature).sum()
        self.teacher_logits = views.teacher
        count = teacher.size(1)
        logged = {
            "loss": loss.detach(),
            "teacher_entropy": entropy(teacher).mean() * count,
            "mean_entropy": entropy(teacher.mean((0, 1))) * count,
            "sample_size": count,
            "nsentences": count,
            "ntokens": count,
        }
        return loss, count, logged

    @staticmethod
    def reduce_metrics(logging_outputs: list[dict[str, Any]]) -> None:
        """Aggregates the logging outputs of all batches and processes."""
        count = sum(log["sample_size"] for log in logging_outputs)
        for name in ("loss", "teacher_entropy", "mean_entropy", "knn_top1"):
            if count and any(name in log for log in logging_outputs):
                total = sum(log.get(name, 0) for log in logging_outputs)
                metrics.log_scalar(name, (100 if name == "knn_top1" else 1) * total / count, count, round=3)

    @staticmethod
    def logging_outputs_can_be_summed() -> bool:
        """Returns True: all values are sums and counts."""
        return True


assert_registered(CRITERION_REGISTRY, NAME, DinoCriterion)
