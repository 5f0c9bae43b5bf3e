"""The chunked loss as a fairseq criterion: `--criterion resmlp_label_smoothed_cross_entropy`."""

# No `from __future__ import annotations` here: fairseq reads the types of configuration fields.
import inspect
from dataclasses import dataclass
from typing import Any, Optional

import torch
from fairseq.criterions import CRITERION_REGISTRY, register_criterion
from fairseq.criterions.label_smoothed_cross_entropy import (
    LabelSmoothedCrossEntropyCriterion,
    LabelSmoothedCrossEntropyCriterionConfig,
)
from torch import Tensor, nn

from resmlp_mt.fairseq_plugin.registration import assert_registered
from resmlp_mt.nn.chunked_cross_entropy import chunked_cross_entropy

NAME = "resmlp_label_smoothed_cross_entropy"


@dataclass
class ResMLPLabelSmoothedCrossEntropyConfig(LabelSmoothedCrossEntropyCriterionConfig):
    """fairseq's settings of the label-smoothed cross-entropy."""


@register_criterion(NAME, dataclass=ResMLPLabelSmoothedCrossEntropyConfig)
class ResMLPLabelSmoothedCrossEntropy(LabelSmoothedCrossEntropyCriterion):
    """fairseq's label-smoothed cross-entropy, the same number in less time and memory.

    It is computed from features, see `resmlp_mt.nn.chunked_cross_entropy`, for models with a plain output projection:
    ResMLP and fairseq's Transformer. It is fairseq's own code with float16 (whose gradients would vanish before the
    loss scale reaches them), with autocast, and for what else that offers (accuracy, prefixes, losses by sentence).
    """

    def forward(self, model, sample: dict[str, Any], reduce: bool = True):
        """Computes the loss of a batch; returns it, the number that it is divided by, and what is logged."""
        weight = output_weight(model)
        if weight is None or not self._is_fast(weight) or not reduce:
            return super().forward(model, sample, reduce)
        features = model(**sample["net_input"], features_only=True)[0]
        loss, nll = chunked_cross_entropy(features, weight, sample["target"], self.eps, self.padding_idx)
        sample_size = sample["target"].size(0) if self.sentence_avg else sample["ntokens"]
        logged = {
            "loss": loss.data,
            "nll_loss": nll.data,
            "ntokens": sample["ntokens"],
            "nsentences": sample["target"].size(0),
            "sample_size": sample_size,
        }
        return loss, sample_size, logged

    def _is_fast(self, weight: Tensor) -> bool:
        plain = not self.report_accuracy and self.ignore_prefix_size == 0
        return plain and weight.dtype != torch.float16 and not torch.is_autocast_enabled(weight.device.type)


def output_weight(model: nn.Module) -> Optional[Tensor]:
    """The matrix of a model's output projection, (vocab_size, dim), or None where the model cannot do without it.

    It can when the projection is a plain one and the decoder takes `features_only`, which LightConv's does not.
    """
    decoder = getattr(model, "decoder", None)
    if decoder is None or "features_only" not in inspect.signature(decoder.forward).parameters:
        return None
    core = getattr(decoder, "core", None)
    projection = getattr(decoder, "output_projection", None) if core is None else core.output
    if not isinstance(projection, nn.Linear) or projection.bias is not None:
        return None
    return projection.weight if getattr(decoder, "adaptive_softmax", None) is None else None


assert_registered(CRITERION_REGISTRY, NAME, ResMLPLabelSmoothedCrossEntropy)
