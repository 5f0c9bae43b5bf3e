"""Patches of fairseq's layers, which the baselines use."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from fairseq.modules import dynamic_convolution

from resmlp_mt.fairseq_plugin.patches.patching import wrap_function


def keep_unused_biases_out_of_training() -> None:
    """Zeroes and freezes the unused bias of DynamicConv's convolutions.

    Defect: with `conv_bias=False`, `DynamicConv_scripatable.__init__` (`fairseq.modules.dynamic_convolution`) still
        creates the parameter `conv_bias`, but never initializes or uses it. Checkpoints contain uninitialized memory,
        even NaN, and torch's DistributedDataParallel waits for a gradient that never comes.
    Patch: sets the parameter to zero and turns its gradient off. The parameter is kept, since checkpoints contain it.
    Upstream: no issue; found in the source of 0.12.3.1.
    """

    def make_layer(original: Callable[..., None], layer: Any, *args: Any, **kwargs: Any) -> None:
        original(layer, *args, **kwargs)
        if not layer.has_conv_bias:
            torch.nn.init.zeros_(layer.conv_bias)
            layer.conv_bias.requires_grad_(False)

    wrap_function(dynamic_convolution.DynamicConv_scripatable, "__init__", make_layer)
