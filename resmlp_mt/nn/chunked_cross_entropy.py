"""The label-smoothed cross-entropy computed from features, without the logits of a whole batch.

A batch of 30 sentences of 30 tokens has 29 million logits over a vocabulary of 32,000. The usual implementation writes
them, their log-softmax, and several gradients of that size, for padding too. Here projection, loss and gradient are
computed for one chunk of positions after the other, in one buffer, and padding is left out.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import torch
from torch import Tensor

from resmlp_mt.nn.kernels.matmul import matmul_nt, matmul_tn

# Most positions per chunk on a CPU: enough for efficient matmuls, and 8 MiB of float32 logits over 8,000 tokens.
CHUNK_ROWS = 256
CHUNK_ELEMENTS = 2**24  # most logits per chunk on a GPU, where each chunk costs a few kernel launches


class CrossEntropy(NamedTuple):
    """Sums over all positions but padding, in float32 or better.

    Attributes:
        loss: with label smoothing, ().
        nll: the negative log-likelihood, (); no gradient flows through it.
    """

    loss: Tensor
    nll: Tensor


def chunked_cross_entropy(
    features: Tensor, weight: Tensor, target: Tensor, smoothing: float, padding_index: int
) -> CrossEntropy:
    r"""The label-smoothed cross-entropy of the logits $z = W x$.

    With a vocabulary of V tokens, the smoothing $\epsilon$ and $\epsilon_i = \epsilon / (V - 1)$, the loss of a target
    t is

    $$-(1 - \epsilon - \epsilon_i) \log p_t - \epsilon_i \sum_v \log p_v$$

    and its gradient with respect to z is $\mathrm{softmax}(z) - (1 - \epsilon - \epsilon_i) [v = t] - \epsilon_i$.
    Source: Szegedy et al. 2016, section 7, with fairseq's $\epsilon_i$.

    Args:
        features: inputs of the output projection, (..., dim).
        weight: W, (vocab_size, dim).
        target: tokens, (...).
        smoothing: epsilon, from 0 to 1.
        padding_index: targets to ignore.
    """
    counted = target.reshape(-1).ne(padding_index).nonzero().squeeze(1)
    rows = features.reshape(-1, features.size(-1)).index_select(0, counted)
    loss, nll = _ChunkedCrossEntropy.apply(rows, weight, target.reshape(-1).index_select(0, counted), smoothing)
    return CrossEntropy(loss, nll)


class _ChunkedCrossEntropy(torch.autograd.Function):
    """Computes the gradients in the forward pass, where the logits are, up to the factor from the backward pass."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, weight: Tensor, target: Tensor, smoothing: float) -> tuple[Tensor, Tensor]:
        vocab_size = weight.size(0)
        spread = smoothing / (vocab_size - 1)
        peak = 1.0 - smoothing - spread
        dtype = torch.promote_types(rows.dtype, torch.float32)
        needs_rows, needs_weight = ctx.needs_input_grad[:2]
        rows_gradient = torch.empty_like(rows) if needs_rows else None
        weight_gradient_t = weight.new_zeros(weight.size(1), vocab_size, dtype=dtype) if needs_weight else None
        loss = rows.new_zeros((), dtype=dtype)
        nll = loss.clone()
        size = _chunk_size(rows, vocab_size)
        for start in range(0, rows.size(0), size):
            chunk, correct = rows[start : start + size], target[start : start + size, None]
            log_probs = matmul_nt(chunk, weight).to(dtype).log_softmax(1)  # (chunk, vocab_size)
            log_likelihood = log_probs.gather(1, correct).sum()
            nll -= log_likelihood
            loss -= peak * log_likelihood + spread * log_probs.sum()
            if not (needs_rows or needs_weight):
                continue
            gradient = log_probs.exp_().sub_(spread)
            gradient.scatter_add_(1, correct, gradient.new_full((1, 1), -peak).expand_as(correct))
            gradient = gradient.to(rows.dtype)
            if rows_gradient is not None:
                rows_gradient[start : start + size] = matmul_nt(gradient, weight.t())
            if weight_gradient_t is not None:  # transposed, because oneDNN is faster so
                weight_gradient_t += matmul_tn(chunk, gradient)
        weight_gradient = None if weight_gradient_t is None else weight_gradient_t.t().contiguous()
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


def _chunk_size(rows: Tensor, vocab_size: int) -> int:
    """Positions per chunk, such that all chunks are equally large: fewer shapes of matmuls."""
    most = CHUNK_ROWS if rows.device.type == "cpu" else max(1, CHUNK_ELEMENTS // vocab_size)
    chunks = max(1, math.ceil(rows.size(0) / most))
    return max(1, math.ceil(rows.size(0) / chunks))
