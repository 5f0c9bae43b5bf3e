"""Student and teacher of DINO: two classifiers without head, two projections, and the centre of the teacher's outputs.

Source: Caron et al. 2021, arXiv:2104.14294, section 3.1 and algorithm 1.
"""

from __future__ import annotations

import copy
from typing import NamedTuple

import torch
from torch import Tensor, nn

from resmlp_mt.common.errors import require
from resmlp_mt.vision.model.classifier import ClassifierModel
from resmlp_mt.vision.training.dino import DinoHead

STUDENT = (
    "student."  # what stands before the student's names in a checkpoint; before the teacher's stands `bundle.CORE`
)


class Views(NamedTuple):
    """What both networks say of the crops of a batch.

    Attributes:
        student: logits of all crops, global ones first, (crops, batch, out_dim).
        teacher: logits of the global crops, (global_crops, batch, out_dim).
    """

    student: Tensor
    teacher: Tensor


class SelfDistillation(nn.Module):
    r"""A student that learns, and a teacher that is the exponential moving average of it.

    $\theta_t \leftarrow m \theta_t + (1 - m) \theta_s$ after each update. The teacher has no gradients and is always in
    evaluation mode, so that stochastic depth makes noise in the student only.

    Both belong to the state, with the centre, so that a training which is resumed goes on as if never stopped. The
    teacher stands under the name that every checkpoint of a classifier has, so that it is what is read from one.

    Args:
        student: the classifier to train; its head is not used.
        head: the projection of the student's features.
    """

    centre: Tensor
    _output_sum: Tensor
    _output_count: Tensor

    def __init__(self, student: ClassifierModel, head: DinoHead) -> None:
        super().__init__()
        require(
            student.settings.num_classes == 0,
            "num_classes",
            "0 for self-supervision, whose network has no classes",
            student.settings.num_classes,
            "leave it out",
        )
        self.student, self.student_head = student, head
        self.core = copy.deepcopy(student).requires_grad_(False)
        self.teacher_head = copy.deepcopy(head).requires_grad_(False)
        out_dim = head.directions.size(0)
        self.register_buffer("centre", torch.zeros(out_dim))
        # Of the teacher's outputs since the last update: the mean of all processes and batches makes the centre.
        self.register_buffer("_output_sum", torch.zeros(out_dim), persistent=False)
        self.register_buffer("_output_count", torch.zeros(()), persistent=False)
        self.train()

    @property
    def teacher(self) -> ClassifierModel:
        """The average of the student."""
        return self.core

    def train(self, mode: bool = True) -> SelfDistillation:
        """Sets the student's mode; the teacher's stays evaluation."""
        super().train(mode)
        self.teacher.eval()
        self.teacher_head.eval()
        return self

    def forward(self, global_crops: Tensor, local_crops: Tensor | None = None) -> Views:
        """Shows all crops to the student and the global ones to the teacher.

        Local crops are smaller, and so is their grid: the student sees them through mixing matrices interpolated on
        both grids, see `features_at_any_size`. Note: the paper does not say how ResMLP saw its local crops.
        A local crop is a part of the picture spread over the whole grid, coarser; interpolation treats it so, as DINO
        does with positional embeddings. A sub-sampled matrix would drop most weights, which then had no gradient from
        local crops, and would change the sums of rows, thus the scale of what the next layer sees.

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
    def observe(self, teacher_logits: Tensor) -> None:
        """Takes note of the teacher's outputs (global_crops, batch, out_dim) for the next `update_centre`."""
        self._output_sum += teacher_logits.float().sum((0, 1))
        self._output_count += teacher_logits.size(0) * teacher_logits.size(1)

    @torch.no_grad()
    def update_centre(self, momentum: float) -> None:
        r"""Moves the centre: $c \leftarrow m c + (1 - m)\,\mathrm{mean}(g_t)$ over all that was observed.

        The mean is over the outputs of all processes, however many each had, and of all batches since the last call.

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
        """Moves the teacher towards the student; running statistics of a batch norm are taken over.

        Raises:
            ResMLPError: if the parameters are stored in 16 bits, where a step of a thousandth vanishes.
        """
        parts = ((self.teacher, self.student), (self.teacher_head, self.student_head))
        for teacher, student in parts:
            for average, newest in zip(teacher.parameters(), student.parameters(), strict=True):
                require(
                    average.dtype in (torch.float32, torch.float64),
                    "the teacher's parameters",
                    "of 32 bits, since 16 bits lose its small steps",
                    average.dtype,
                    "train with --amp instead of --fp16 or --bf16",
                )
                average.lerp_(newest, 1 - momentum)
            for kept, running in zip(teacher.buffers(), student.buffers(), strict=True):
                kept.copy_(running)
