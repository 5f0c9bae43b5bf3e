"""DINO's student and teacher: two classifiers without head, their projection heads, and the centre.

Source: Caron et al. 2021, arXiv:2104.14294, section 3.1 and algorithm 1.
"""

from __future__ import annotations

import copy
from typing import NamedTuple

import torch
from torch import Tensor, nn

from resmlp_mt.common.errors import ResMLPError
from resmlp_mt.vision.model.classifier import ClassifierModel
from resmlp_mt.vision.training.dino import DinoHead

STUDENT = "student."  # prefix of the student's parameter names in a checkpoint; the teacher's is `bundle.CORE`


class Views(NamedTuple):
    """Logits of the crops of a batch.

    Attributes:
        student: logits of all crops, global crops first, (crops, batch, out_dim).
        teacher: logits of the global crops, (global_crops, batch, out_dim).
    """

    student: Tensor
    teacher: Tensor


class SelfDistillation(nn.Module):
    r"""A student, and a teacher that is its exponential moving average.

    $\theta_t \leftarrow m \theta_t + (1 - m) \theta_s$ after each update. The teacher has no gradients and is always in
    evaluation mode, so that only the student has stochastic depth.

    The state dict contains both networks and the centre, so that a resumed training continues exactly. The teacher's
    parameter names have the prefix of all classifier checkpoints, so that reading a checkpoint returns the teacher.

    Args:
        student: the classifier to train, without head.
        head: the projection of the student's features.

    Raises:
        ResMLPError: if the student has a head.
    """

    centre: Tensor
    _output_sum: Tensor
    _output_count: Tensor

    def __init__(self, student: ClassifierModel, head: DinoHead) -> None:
        super().__init__()
        if student.settings.num_classes:
            raise ResMLPError(
                "num_classes must be 0 for self-supervision, which trains without a head, but is "
                f"{student.settings.num_classes}; leave it out"
            )
        self.student, self.student_head = student, head
        self.core = copy.deepcopy(student).requires_grad_(False)
        self.teacher_head = copy.deepcopy(head).requires_grad_(False)
        out_dim = head.directions.size(0)
        self.register_buffer("centre", torch.zeros(out_dim))
        # Sums of the teacher's outputs since the last update; the centre uses the mean over processes and batches.
        self.register_buffer("_output_sum", torch.zeros(out_dim), persistent=False)
        self.register_buffer("_output_count", torch.zeros(()), persistent=False)
        self.train()

    @property
    def teacher(self) -> ClassifierModel:
        """The moving average of the student."""
        return self.core

    def train(self, mode: bool = True) -> SelfDistillation:
        """Sets the student's mode; the teacher stays in evaluation mode."""
        super().train(mode)
        self.teacher.eval()
        self.teacher_head.eval()
        return self

    def forward(self, global_crops: Tensor, local_crops: Tensor | None = None) -> Views:
        """Computes the student's logits of all crops and the teacher's logits of the global crops.

        Local crops have a smaller grid, so the student processes them with interpolated mixing matrices, see
        `features_at_any_size`.

        Note: the paper does not specify how ResMLP processes local crops. Interpolation treats a local crop as a
        coarser image on the whole grid, as DINO does with positional embeddings. With a sub-sampled matrix, most
        weights would get no gradient from local crops, and the row sums, hence the scale of the next layer's input,
        would change.

        Args:
            global_crops: (global_crops, batch, channels, height, width).
            local_crops: (local_crops, batch, channels, height, width) of another size, or None.
        """
        with torch.no_grad():
            teacher = self._logits(self.teacher, self.teacher_head, global_crops)
        student = [self._logits(self.student, self.student_head, global_crops)]
        if local_crops is not None:
            student.append(self._logits(self.student, self.student_head, local_crops))
        return Views(torch.cat(student), teacher)

    @staticmethod
    def _logits(network: ClassifierModel, head: DinoHead, crops: Tensor) -> Tensor:
        logits = head(network.features_at_any_size(crops.flatten(0, 1)))  # (crops * batch, out_dim)
        return logits.unflatten(0, crops.shape[:2])

    @torch.no_grad()
    def accumulate_centre(self, teacher_logits: Tensor) -> None:
        """Adds the teacher's outputs (global_crops, batch, out_dim) to the mean of the next `update_centre`."""
        self._output_sum += teacher_logits.float().sum((0, 1))
        self._output_count += teacher_logits.size(0) * teacher_logits.size(1)

    @torch.no_grad()
    def update_centre(self, momentum: float) -> None:
        r"""Updates the centre: $c \leftarrow m c + (1 - m)\,\mathrm{mean}(g_t)$.

        The mean is over the accumulated outputs of all processes and batches since the last call.

        Source: arXiv:2104.14294, equation 4.
        """
        totals = torch.cat((self._output_sum, self._output_count[None]))
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            torch.distributed.all_reduce(totals)
        if totals[-1] > 0:
            self.centre.lerp_(totals[:-1] / totals[-1], 1 - momentum)
        self._output_sum.zero_()
        self._output_count.zero_()

    @torch.no_grad()
    def update_teacher(self, momentum: float) -> None:
        """Updates the moving average; running statistics of batch norms are copied.

        Raises:
            ResMLPError: if the parameters are stored in 16 bits, where the small steps of the average vanish.
        """
        parts = ((self.teacher, self.student), (self.teacher_head, self.student_head))
        for teacher, student in parts:
            for average, newest in zip(teacher.parameters(), student.parameters(), strict=True):
                if average.dtype not in (torch.float32, torch.float64):
                    raise ResMLPError(
                        f"the teacher's moving average requires float32 parameters, but they are {average.dtype}; "
                        "train with --amp instead of --fp16 or --bf16"
                    )
                average.lerp_(newest, 1 - momentum)
            for kept, running in zip(teacher.buffers(), student.buffers(), strict=True):
                kept.copy_(running)
