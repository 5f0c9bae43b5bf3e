"""LAMB, AdamW and SGD as fairseq optimizers, without weight decay for vectors."""

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
    """Parts parameters into those that decay, matrices and kernels, and those that do not, vectors.

    Vectors (at most one axis longer than 1) are the alphas and betas of Affine and LayerScale, biases, norms, and the
    class embedding.

    Source: facebookresearch/deit, README_resmlp.md, and timm's rule, which goes by the number of axes.

    Args:
        parameters: of a model.
        weight_decay: of matrices.

    Returns:
        torch's groups of parameters; an empty one is left out.
    """
    vectors = [p for p in parameters if sum(size > 1 for size in p.shape) <= 1]
    known = {id(p) for p in vectors}
    matrices = [p for p in parameters if id(p) not in known]
    groups = [
        {"params": matrices, "weight_decay": weight_decay},
        {"params": vectors, "weight_decay": 0.0},
    ]
    return [group for group in groups if group["params"]]


@dataclass
class ResMLPOptimizerConfig(FairseqDataclass):
    """Settings that all have."""

    weight_decay: float = option(0.2, "of matrices and kernels; vectors have none (paper: 0.2)")
    lr: list[float] = II("optimization.lr")  # noqa: RUF009


class ResMLPOptimizer(FairseqOptimizer):
    """An optimiser with `decay_groups`.

    With --fp16, add --fp16-no-flatten-grads: flattened into one vector, parameters could not be told apart.

    Args:
        cfg: its settings.
        params: of the model.
    """

    def __init__(self, cfg: Any, params: Any) -> None:
        super().__init__(cfg)
        self._optimizer = self.build(decay_groups(list(params), cfg.weight_decay), self.optimizer_config["lr"])

    def build(self, groups: list[dict[str, Any]], lr: float) -> torch.optim.Optimizer:
        """Makes torch's optimiser."""
        raise NotImplementedError

    @property
    def optimizer_config(self) -> dict[str, Any]:
        """What may differ from a checkpoint's settings when a training goes on."""
        return {"lr": float(self.cfg.lr[0])}


@dataclass
class ResMLPLambConfig(ResMLPOptimizerConfig):
    """LAMB; learning rate 5e-3 and weight decay 0.2 in the paper, section 3.1, the rest DeiT's."""

    beta1: float = option(0.9, "decay of the gradient's average")
    beta2: float = option(0.999, "decay of the squared gradient's average")
    eps: float = option(1e-8, "added to the denominator (DeiT: 1e-8)")


class ResMLPLamb(ResMLPOptimizer):
    """timm's LAMB (arXiv:1904.00962), which limits the gradient's norm to 1 itself, as NVIDIA's does."""

    def build(self, groups: list[dict[str, Any]], lr: float) -> torch.optim.Optimizer:
        """Makes the optimiser."""
        from timm.optim import Lamb

        return Lamb(groups, lr=lr, betas=(self.cfg.beta1, self.cfg.beta2), eps=self.cfg.eps)


@dataclass
class ResMLPAdamWConfig(ResMLPOptimizerConfig):
    """AdamW."""

    weight_decay: float = option(0.05, "of matrices and kernels; vectors have none (DeiT: 0.05)")
    beta1: float = option(0.9, "decay of the gradient's average")
    beta2: float = option(0.999, "decay of the squared gradient's average")
    eps: float = option(1e-8, "added to the denominator (DeiT: 1e-8)")


class ResMLPAdamW(ResMLPOptimizer):
    """torch's AdamW."""

    def build(self, groups: list[dict[str, Any]], lr: float) -> torch.optim.Optimizer:
        """Makes the optimiser."""
        return torch.optim.AdamW(groups, lr=lr, betas=(self.cfg.beta1, self.cfg.beta2), eps=self.cfg.eps)


@dataclass
class ResMLPSGDConfig(ResMLPOptimizerConfig):
    """SGD with momentum, of the paper's "old-fashioned" training."""

    weight_decay: float = option(1e-4, "of matrices and kernels; vectors have none (He et al. 2016: 1e-4)")
    momentum: float = option(0.9, "of the gradient (He et al. 2016: 0.9)")


class ResMLPSGD(ResMLPOptimizer):
    """torch's SGD."""

    def build(self, groups: list[dict[str, Any]], lr: float) -> torch.optim.Optimizer:
        """Makes the optimiser."""
        return torch.optim.SGD(groups, lr=lr, momentum=self.cfg.momentum)


for _name, _class, _config in (
    ("resmlp_lamb", ResMLPLamb, ResMLPLambConfig),
    ("resmlp_adamw", ResMLPAdamW, ResMLPAdamWConfig),
    ("resmlp_sgd", ResMLPSGD, ResMLPSGDConfig),
):
    register_optimizer(_name, dataclass=_config)(_class)
    assert_registered(OPTIMIZER_REGISTRY, _name, _class)
