"""Operations of a training by formula, and the hours that they take. Nothing is measured here.

A multiply-add is two operations. `resmlp_mt.experiments.estimate_cost` counts the operations on the models themselves;
a test compares both.
"""

from __future__ import annotations

import math

# The share of a CPU's peak that a training reaches, by model dim. From docs/results.md, AMD EPYC (Zen 5) with a peak of
# 474 GFLOP/s with two threads: 8,094 tokens/s at dim 128 with one thread, and 930 at dim 512 with two.
_EFFICIENCY = {128: 0.42, 512: 0.57}
GPU_EFFICIENCY = 0.17  # between the 10 and 30 percent that models of this size reach
_VALIDATION = 1.1  # training, validation and saving, over training alone


def training_operations(
    dim: int, hidden: int, layers: int, vocab_size: int, length: int, is_transformer: bool = False
) -> int:
    """Operations of the matmuls per target token of an update, forward and backward.

    Args:
        dim: model dim.
        hidden: FFN dim.
        layers: number of encoder layers and of decoder layers.
        vocab_size: size of the target vocabulary.
        length: tokens per sentence, the same for source and target.
        is_transformer: whether the model has self-attention instead of ResMLP's mixing.
    """
    attention = 2 * length * dim  # scores and weighted sum
    mixing = 4 * dim**2 + attention if is_transformer else length * dim
    ffn = 2 * dim * hidden
    encoder = layers * (mixing + ffn)
    decoder = layers * (mixing + 4 * dim**2 + attention + ffn) + vocab_size * dim
    return 2 * 3 * (encoder + decoder)  # backward: once for the inputs, once for the weights


def efficiency(dim: int) -> float:
    """The share of a CPU's peak that a training of this model dim reaches, interpolated in the logarithm of dim."""
    (low, least), (high, most) = _EFFICIENCY.items()
    weight = math.log(min(max(dim, low), high) / low) / math.log(high / low)
    return least + weight * (most - least)


def training_hours(operations: float, gflops: float, reached: float) -> float:
    """Hours of a training, including validations.

    Args:
        operations: operations of its updates.
        gflops: peak of the device in GFLOP/s.
        reached: share of the peak that the training reaches.
    """
    return _VALIDATION * operations / (gflops * 1e9 * reached) / 3600
