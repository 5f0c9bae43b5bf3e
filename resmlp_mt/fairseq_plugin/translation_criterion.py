"""Chunked cross-entropy as a fairseq criterion: `--criterion resmlp_label_smoothed_cross_entropy`."""

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
    """fairseq's options of the label-smoothed cross-entropy."""


@register_criterion(NAME, dataclass=ResMLPLabelSmoothedCrossEntropyConfig)
class ResMLPLabelSmoothedCrossEntropy(LabelSmoothedCrossEntropyCriterion):
    """fairseq's label-smoothed cross-entropy in less time and memory.

    The loss is computed from the features, see `resmlp_mt.nn.chunked_cross_entropy`, for models with a linear output
    projection without bias: ResMLP and fairseq's Transformer. fairseq's own code is used with float16 (where gradients
    would underflow before the loss scale is applied), with autocast, and for fairseq's further options (accuracy,
    ignored prefixes, unreduced losses).
    """

    def forward(
        self, model: nn.Module, sample: dict[str, Any], reduce: bool = True
    ) -> tuple[Tensor, int, dict[str, Any]]:
        """Computes the loss of a batch.

        Args:
            model: a translation model of fairseq.
            sample: a batch from the task.
            reduce: whether to sum the losses.

        Returns:
            The loss, the sample size by which the trainer divides it, and the values to log.
        """
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
    """Returns the weight of a model's output projection, (vocab_size, dim), or None if chunking is not supported.

    It is supported if the projection is linear without bias and the decoder accepts `features_only`, which LightConv's
    decoder does not.
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
