"""Patches of fairseq's layers, which our baselines are made of."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from fairseq.modules import dynamic_convolution

from resmlp_mt.fairseq_plugin.patches.patching import wrap_function


def keep_unused_biases_out_of_training() -> None:
    """Sets the unused bias of DynamicConv's convolutions to zero and takes it out of training.

    Symptom: a DynamicConv's checkpoints hold random memory, even NaN; torch's DistributedDataParallel waits in vain for
    the parameter's gradient.
    Cause: without `conv_bias` the layer makes the parameter nevertheless, and neither sets nor uses it. The parameter
    stays, since checkpoints have it. No upstream issue; read in `DynamicConv_scripatable` of 0.12.3.1.
    """

    def make_layer(original: Callable[..., None], layer: Any, *args: Any, **kwargs: Any) -> None:
        original(layer, *args, **kwargs)
        if not layer.has_conv_bias:
            torch.nn.init.zeros_(layer.conv_bias)
            layer.conv_bias.requires_grad_(False)

    wrap_function(dynamic_convolution.DynamicConv_scripatable, "__init__", make_layer)
