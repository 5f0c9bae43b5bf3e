"""Losses of a classifier with hard and soft targets, and its top-k accuracy."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor


def cross_entropy(logits: Tensor, target: Tensor, label_smoothing: float = 0.0) -> Tensor:
    r"""$-\sum_k q_k \log p_k$ with $q = (1 - \epsilon) t + \epsilon / K$, summed over the batch.

    Source: Szegedy et al. 2016, section 7 (label smoothing); arXiv:1710.09412 (soft targets).

    Args:
        logits: (batch, num_classes).
        target: labels (batch,), or probabilities (batch, num_classes).
        label_smoothing: epsilon.

    Returns:
        A scalar in nats, float32 whatever the precision of the logits.
    """
    target = target.float() if target.dim() == 2 else target
    return F.cross_entropy(logits.float(), target, label_smoothing=label_smoothing, reduction="sum")


def soft_distillation(logits: Tensor, teacher_logits: Tensor, temperature: float) -> Tensor:
    r"""$T^2 \, \mathrm{KL}(\mathrm{softmax}(t / T) \| \mathrm{softmax}(s / T))$, summed over the batch.

    Source: Hinton et al. 2015, section 2; arXiv:2012.12877, equation 2.

    Note: DeiT's code divides the sum over classes by their number as well; here, as in its equation, it does not.

    Args:
        logits: logits of the student, (batch, num_classes).
        teacher_logits: (batch, num_classes).
        temperature: T.

    Returns:
        A scalar in nats, float32 whatever the precision of the logits.
    """
    student = F.log_softmax(logits.float() / temperature, dim=1)
    teacher = F.log_softmax(teacher_logits.float() / temperature, dim=1)
    return temperature**2 * F.kl_div(student, teacher, reduction="sum", log_target=True)


def count_correct(logits: Tensor, target: Tensor, top_k: int) -> Tensor:
    """Counts the images with a correct class among the top k.

    Args:
        logits: (batch, num_classes).
        target: labels (batch,), or (batch, num_classes) where each class above 0 is correct.
        top_k: number of highest logits to look at.

    Returns:
        The count, a scalar.
    """
    indices = logits.topk(min(top_k, logits.size(1)), dim=1).indices  # (batch, top_k)
    correct = (target.gather(1, indices) > 0) if target.dim() == 2 else (indices == target[:, None])
    return correct.any(dim=1).sum()
