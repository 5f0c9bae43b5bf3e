"""The label-smoothed cross-entropy straight from features, without the logits of a whole batch.

A batch of 30 sentences of 30 words has 29 million logits over a vocabulary of 32,000. The plain way writes them, their
log-softmax, and several gradients of that size, and works them out for padding too. Here a block of positions goes
through projection, loss and gradient at a time, in one buffer, and padding is left out.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import torch
from torch import Tensor

from resmlp_mt.nn.kernels.matmul import product_over_rows, transposed_product

# Most positions at a time on a CPU: enough for full matrix products, and 8 MiB of logits over 8,000 words in float32.
BLOCK_ROWS = 256
BLOCK_ELEMENTS = 2**24  # most logits at a time on a GPU, where each block costs a few launches of kernels


class SmoothedLoss(NamedTuple):
    """Sums over all positions but padding, in float32 at least.

    Attributes:
        loss: with label smoothing.
        nll: the plain negative log-likelihood; no gradient flows through it.
    """

    loss: Tensor
    nll: Tensor


def smoothed_cross_entropy(
    features: Tensor, weight: Tensor, target: Tensor, smoothing: float, padding_index: int
) -> SmoothedLoss:
    r"""The label-smoothed cross-entropy of $z = W x$.

    With V words, the smoothing $\epsilon$ and $\epsilon_i = \epsilon / (V - 1)$ it is, for the target t,

    $$-(1 - \epsilon - \epsilon_i) \log p_t - \epsilon_i \sum_v \log p_v$$

    whose gradient for z is $\mathrm{softmax}(z) - (1 - \epsilon - \epsilon_i) [v = t] - \epsilon_i$.
    Source: Szegedy et al. 2016, section 7, with fairseq's $\epsilon_i$.

    Args:
        features: before the output projection, (..., dim).
        weight: W, (vocab_size, dim).
        target: tokens, (...).
        smoothing: epsilon, from 0 to 1.
        padding_index: of targets that do not count.
    """
    counted = target.reshape(-1).ne(padding_index).nonzero().squeeze(1)
    rows = features.reshape(-1, features.size(-1)).index_select(0, counted)
    loss, nll = _SmoothedCrossEntropy.apply(rows, weight, target.reshape(-1).index_select(0, counted), smoothing)
    return SmoothedLoss(loss, nll)


class _SmoothedCrossEntropy(torch.autograd.Function):
    """Works the gradients out in the forward pass, where the logits are, up to the factor that comes from behind."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, weight: Tensor, target: Tensor, smoothing: float) -> tuple[Tensor, Tensor]:
        words = weight.size(0)
        spread = smoothing / (words - 1)
        hit = 1.0 - smoothing - spread
        exact = torch.promote_types(rows.dtype, torch.float32)
        wants_rows, wants_weight = ctx.needs_input_grad[:2]
        rows_gradient = torch.empty_like(rows) if wants_rows else None
        transposed = weight.new_zeros(weight.size(1), words, dtype=exact) if wants_weight else None
        loss = rows.new_zeros((), dtype=exact)
        nll = loss.clone()
        most = BLOCK_ROWS if rows.device.type == "cpu" else max(1, BLOCK_ELEMENTS // words)
        size = math.ceil(rows.size(0) / max(1, math.ceil(rows.size(0) / most)))  # equal blocks: fewer shapes
        for start in range(0, rows.size(0), max(1, size)):
            block, right = rows[start : start + size], target[start : start + size, None]
            log_probabilities = transposed_product(block, weight).to(exact).log_softmax(1)  # (block, vocab_size)
            hits = log_probabilities.gather(1, right).sum()
            nll -= hits
            loss -= hit * hits + spread * log_probabilities.sum()
            if not (wants_rows or wants_weight):
                continue
            gradient = log_probabilities.exp_().sub_(spread)
            gradient.scatter_add_(1, right, gradient.new_full((1, 1), -hit).expand_as(right))
            gradient = gradient.to(rows.dtype)
            if rows_gradient is not None:
                rows_gradient[start : start + size] = transposed_product(gradient, weight.t())
            if transposed is not None:  # the way round that oneDNN is faster in
                transposed += product_over_rows(block, gradient)
        weight_gradient = None if transposed is None else transposed.t().contiguous()
        ctx.save_for_backward(rows_gradient, weight_gradient)
        ctx.dtype = weight.dtype
        ctx.mark_non_differentiable(nll)
        return loss, nll

    @staticmethod
    def backward(ctx: Any, gradient: Tensor, _: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
        rows, weight = ctx.saved_tensors
        rows = None if rows is None else rows * gradient.to(rows.dtype)
        weight = None if weight is None else (weight * gradient).to(ctx.dtype)
        return rows, weight, None, None
