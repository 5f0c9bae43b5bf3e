"""DINO: schedules, projection head, loss, and the entropy that shows a collapse.

Source: Caron et al. 2021, "Emerging properties in self-supervised vision transformers", arXiv:2104.14294, with the
settings of the authors' code (`main_dino.py`, `vision_transformer.py` of facebookresearch/dino). ResMLP trained with
DINO: arXiv:2105.03404, table 4.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from resmlp_mt.common.errors import ResMLPError


def cosine_schedule(start: float, end: float, step: int, steps: int) -> float:
    r"""Returns a half cosine at `step`: $end + (start - end)\,(1 + \cos(\pi\, step / steps)) / 2$; then `end`.

    Source: arXiv:2104.14294, section 3.1 (the teacher's momentum, 0.996 to 1) and appendix C (weight decay).
    """
    return end + (start - end) * (1 + math.cos(math.pi * min(step / steps, 1.0))) / 2


def linear_warmup(start: float, end: float, step: int, steps: int) -> float:
    """Returns the value at `step` of a linear warm-up from `start` to `end` over `steps` steps; `end` if `steps` is 0.

    Source: arXiv:2104.14294, appendix C, for the teacher's temperature.
    """
    return end if step >= steps else start + (end - start) * step / steps


class DinoHead(nn.Module):
    r"""Projects features to the logits of student and teacher.

    $$\mathrm{logits} = \hat V \frac{\mathrm{MLP}(x)}{\lVert \mathrm{MLP}(x) \rVert_2},
    \qquad \hat V_k = V_k / \lVert V_k \rVert_2$$

    Source: arXiv:2104.14294, section 3.1 "Network architecture": three layers with GELU, a bottleneck, l2
    normalisation, and a weight-normalised last layer. Note: the magnitude of the weight normalisation is fixed to 1, as
    with the authors' default `norm_last_layer`, so it is not a parameter.

    Args:
        dim: dim of the features.
        out_dim: number of logits K (paper: 65536).
        hidden_dim: hidden dim of the three layers (paper: 2048).
        bottleneck_dim: input dim of the last layer (paper: 256).
    """

    def __init__(self, dim: int, out_dim: int, hidden_dim: int, bottleneck_dim: int) -> None:
        super().__init__()
        self.mlp = nn.Sequential(
            nn.Linear(dim, hidden_dim),
            nn.GELU(),
            nn.Linear(hidden_dim, hidden_dim),
            nn.GELU(),
            nn.Linear(hidden_dim, bottleneck_dim),
        )
        for layer in self.mlp:
            if isinstance(layer, nn.Linear):
                nn.init.trunc_normal_(layer.weight, std=0.02)
                nn.init.zeros_(layer.bias)
        self.directions = nn.Parameter(torch.empty(out_dim, bottleneck_dim))
        nn.init.kaiming_uniform_(self.directions, a=math.sqrt(5))  # as nn.Linear; only the direction matters

    def forward(self, features: Tensor) -> Tensor:
        """Maps (..., dim) to (..., out_dim), each the cosine between the projection and a direction."""
        bottleneck = F.normalize(self.mlp(features), dim=-1)
        return F.linear(bottleneck, F.normalize(self.directions, dim=-1))


def teacher_probabilities(logits: Tensor, centre: Tensor, temperature: float) -> Tensor:
    r"""Centring and sharpening: $P_t = \mathrm{softmax}((g_t - c) / \tau_t)$.

    Source: arXiv:2104.14294, section 3.1 "Avoiding collapse": centring prevents one dimension from dominating, a low
    temperature prevents uniform outputs.

    Args:
        logits: logits of the teacher, (..., out_dim).
        centre: c, (out_dim,).
        temperature: tau_t (paper: 0.04 to 0.07).
    """
    return F.softmax((logits.float() - centre) / temperature, dim=-1)


def dino_loss(student_logits: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    r"""Returns the cross-entropy of teacher and student, averaged over the pairs of different crops of an image.

    $$\frac{1}{|\{(t, s): t \ne s\}|} \sum_{t} \sum_{s \ne t} H(P_t, P_s), \qquad
    H(P_t, P_s) = -\sum_k P_t^{(k)} \log P_s^{(k)}, \quad P_s = \mathrm{softmax}(g_s / \tau_s)$$

    Source: arXiv:2104.14294, equations 1 to 3.

    Args:
        student_logits: logits of all crops, global crops first in the teacher's order, (crops, batch, out_dim).
        teacher: probabilities of the global crops, see `teacher_probabilities`, (global_crops, batch, out_dim).
        temperature: tau_s (paper: 0.1).

    Returns:
        One loss per image, (batch,).

    Raises:
        ResMLPError: if there is no pair of different crops.
    """
    crops, global_crops = student_logits.size(0), teacher.size(0)
    if crops < 2:
        raise ResMLPError(f"DINO compares different crops of an image and requires at least 2, but got {crops}")
    log_student = F.log_softmax(student_logits.float() / temperature, dim=-1)
    pairs = -torch.einsum("tbk,sbk->tsb", teacher, log_student)
    same = torch.eye(global_crops, crops, dtype=torch.bool, device=pairs.device)
    return pairs.masked_fill(same[:, :, None], 0.0).sum((0, 1)) / (global_crops * (crops - 1))


def entropy(probabilities: Tensor) -> Tensor:
    """Returns the entropy in nats over the last dimension: (..., out_dim) to (...)."""
    return torch.special.entr(probabilities).sum(-1)
