"""Losses of a classifier against hard and soft targets, and how many of its answers are right. torch only."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor


def cross_entropy(logits: Tensor, target: Tensor, label_smoothing: float = 0.0) -> Tensor:
    r"""$-\sum_k q_k \log p_k$ with $q = (1 - \epsilon) t + \epsilon / K$, summed over the batch.

    Source: Szegedy et al. 2016, section 7 (label smoothing); arXiv:1710.09412 (soft targets).

    Args:
        logits: (batch, num_classes).
        target: labels (batch,), or shares (batch, num_classes) that sum to 1.
        label_smoothing: epsilon.

    Returns:
        A number, in nats, in 32 bits whatever the logits' precision.
    """
    target = target.float() if target.dim() == 2 else target
    return F.cross_entropy(logits.float(), target, label_smoothing=label_smoothing, reduction="sum")


def soft_distillation(logits: Tensor, teacher_logits: Tensor, temperature: float) -> Tensor:
    r"""$T^2 \, \mathrm{KL}(\mathrm{softmax}(t / T) \| \mathrm{softmax}(s / T))$, summed over the batch.

    Source: Hinton et al. 2015, section 2; arXiv:2012.12877, equation 2.

    Note: DeiT's code divides the sum over classes by their number as well; here, as in its equation, it does not.

    Args:
        logits: of the student, (batch, num_classes).
        teacher_logits: (batch, num_classes).
        temperature: T.

    Returns:
        A number, in nats, in 32 bits whatever the logits' precision.
    """
    student = F.log_softmax(logits.float() / temperature, dim=1)
    teacher = F.log_softmax(teacher_logits.float() / temperature, dim=1)
    return temperature**2 * F.kl_div(student, teacher, reduction="sum", log_target=True)


def count_right(logits: Tensor, target: Tensor, best: int) -> Tensor:
    """How often one of the best classes is right.

    Args:
        logits: (batch, num_classes).
        target: labels (batch,), or (batch, num_classes) where each class above 0 is right.
        best: how many of the highest logits may hold a right one.

    Returns:
        A count.
    """
    found = logits.topk(min(best, logits.size(1)), dim=1).indices  # (batch, best)
    right = (target.gather(1, found) > 0) if target.dim() == 2 else (found == target[:, None])
    return right.any(dim=1).sum()
