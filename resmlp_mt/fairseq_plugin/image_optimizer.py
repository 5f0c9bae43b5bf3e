"""LAMB, AdamW and SGD as fairseq optimizers, without weight decay on vectors."""

# No `from __future__ import annotations` here: fairseq reads the types of configuration fields.
from dataclasses import dataclass
from typing import Any

import torch
from fairseq.dataclass import FairseqDataclass
from fairseq.optim import OPTIMIZER_REGISTRY, FairseqOptimizer, register_optimizer
from omegaconf import II
from torch import Tensor

from resmlp_mt.fairseq_plugin.registration import assert_registered, option


def decay_groups(parameters: list[Tensor], weight_decay: float) -> list[dict[str, Any]]:
    """Splits parameters into matrices and kernels, which decay, and vectors, which do not.

    Vectors (at most one dimension longer than 1) are the alphas and betas of Affine and LayerScale, biases, norms, and
    the class embedding.

    Source: facebookresearch/deit, README_resmlp.md; timm's rule by the number of dimensions.

    Args:
        parameters: the parameters of a model.
        weight_decay: weight decay of matrices.

    Returns:
        Parameter groups for torch; empty groups are left out.
    """
    vectors = [p for p in parameters if sum(size > 1 for size in p.shape) <= 1]
    vector_ids = {id(p) for p in vectors}
    matrices = [p for p in parameters if id(p) not in vector_ids]
    groups = [
        {"params": matrices, "weight_decay": weight_decay},
        {"params": vectors, "weight_decay": 0.0},
    ]
    return [group for group in groups if group["params"]]


@dataclass
class ResMLPOptimizerConfig(FairseqDataclass):
    """Options of all optimizers."""

    weight_decay: float = option(0.2, "weight decay of matrices and kernels; none on vectors (paper: 0.2)")
    lr: list[float] = II("optimization.lr")  # noqa: RUF009


class ResMLPOptimizer(FairseqOptimizer):
    """Base class of optimizers with `decay_groups`.

    With --fp16, add --fp16-no-flatten-grads: otherwise fairseq flattens all parameters into one vector, and they cannot
    be split into groups.

    Args:
        cfg: options of the optimizer.
        params: parameters of the model.
    """

    def __init__(self, cfg: Any, params: Any) -> None:
        super().__init__(cfg)
        self._optimizer = self.build(decay_groups(list(params), cfg.weight_decay), self.optimizer_config["lr"])

    def build(self, groups: list[dict[str, Any]], lr: float) -> torch.optim.Optimizer:
        """Builds the torch optimizer."""
        raise NotImplementedError

    @property
    def optimizer_config(self) -> dict[str, Any]:
        """Options that override those of a checkpoint when a training resumes."""
        return {"lr": float(self.cfg.lr[0])}


@dataclass
class ResMLPLambConfig(ResMLPOptimizerConfig):
    """Options of LAMB. The paper (section 3.1) uses learning rate 5e-3 and weight decay 0.2; the rest is DeiT's."""

    beta1: float = option(0.9, "decay rate of the moving average of the gradient")
    beta2: float = option(0.999, "decay rate of the moving average of the squared gradient")
    eps: float = option(1e-8, "added to the denominator (DeiT: 1e-8)")


class ResMLPLamb(ResMLPOptimizer):
    """timm's LAMB (arXiv:1904.00962), which clips the gradient norm to 1 itself, as NVIDIA's does."""

    def build(self, groups: list[dict[str, Any]], lr: float) -> torch.optim.Optimizer:
        """Builds the torch optimizer."""
        from timm.optim import Lamb

        return Lamb(groups, lr=lr, betas=(self.cfg.beta1, self.cfg.beta2), eps=self.cfg.eps)


@dataclass
class ResMLPAdamWConfig(ResMLPOptimizerConfig):
    """Options of AdamW."""

    weight_decay: float = option(0.05, "weight decay of matrices and kernels; none on vectors (DeiT: 0.05)")
    beta1: float = option(0.9, "decay rate of the moving average of the gradient")
    beta2: float = option(0.999, "decay rate of the moving average of the squared gradient")
    eps: float = option(1e-8, "added to the denominator (DeiT: 1e-8)")


class ResMLPAdamW(ResMLPOptimizer):
    """torch's AdamW."""

    def build(self, groups: list[dict[str, Any]], lr: float) -> torch.optim.Optimizer:
        """Builds the torch optimizer."""
        return torch.optim.AdamW(groups, lr=lr, betas=(self.cfg.beta1, self.cfg.beta2), eps=self.cfg.eps)


@dataclass
class ResMLPSGDConfig(ResMLPOptimizerConfig):
    """Options of SGD with momentum, for the paper's "old-fashioned" training."""

    weight_decay: float = option(1e-4, "weight decay of matrices and kernels; none on vectors (He et al. 2016: 1e-4)")
    momentum: float = option(0.9, "momentum (He et al. 2016: 0.9)")


class ResMLPSGD(ResMLPOptimizer):
    """torch's SGD."""

    def build(self, groups: list[dict[str, Any]], lr: float) -> torch.optim.Optimizer:
        """Builds the torch optimizer."""
        return torch.optim.SGD(groups, lr=lr, momentum=self.cfg.momentum)


for _name, _class, _config in (
    ("resmlp_lamb", ResMLPLamb, ResMLPLambConfig),
    ("resmlp_adamw", ResMLPAdamW, ResMLPAdamWConfig),
    ("resmlp_sgd", ResMLPSGD, ResMLPSGDConfig),
):
    register_optimizer(_name, dataclass=_config)(_class)
    assert_registered(OPTIMIZER_REGISTRY, _name, _class)
