"""Attention from target positions to source positions, the only attention of the model."""

from __future__ import annotations

import math

import torch.nn.functional as F
from torch import Tensor, nn

from resmlp_mt.common.errors import ResMLPError
from resmlp_mt.nn.affine import Affine
from resmlp_mt.nn.kernels.folding import fold_input_, fold_output_
from resmlp_mt.nn.kernels.linear import Linear


class CrossAttention(nn.Module):
    r"""Multi-head attention whose keys and values come from the encoder.

    $$\mathrm{head}_i = \mathrm{softmax}(q_i k_i^\top / \sqrt{d_{head}})\, v_i$$

    Keys and values are projected once per source sentence (`project_memory`). In a beam search the beams of a sentence
    are its queries, so that no key or value is copied per beam.
    Source: Vaswani et al. 2017, section 3.2; kept in the decoder by arXiv:2105.03404, section 2, "Sequence-to-sequence
    ResMLP".

    Args:
        dim: model dim of the decoder; divisible by `num_heads`.
        num_heads: number of heads. Note: the paper does not say; 8 as in Vaswani et al.
        memory_dim: model dim of the encoder.
        dropout: probability of dropping an attention weight.

    Raises:
        ResMLPError: if `dim` is not divisible by `num_heads`.
    """

    def __init__(self, dim: int, num_heads: int, memory_dim: int, dropout: float = 0.0) -> None:
        super().__init__()
        if dim % num_heads:
            raise ResMLPError(
                f"the decoder's model dim {dim} is not divisible by its {num_heads} cross-attention heads; "
                "change one of the two"
            )
        self.num_heads = num_heads
        self.dropout = dropout
        self.q_proj = Linear(dim, dim)
        self.k_proj = Linear(memory_dim, dim)
        self.v_proj = Linear(memory_dim, dim)
        self.out_proj = Linear(dim, dim)
        for layer in (self.q_proj, self.k_proj, self.v_proj):
            nn.init.xavier_uniform_(layer.weight, gain=1 / math.sqrt(2))
        nn.init.xavier_uniform_(self.out_proj.weight)
        for layer in (self.q_proj, self.k_proj, self.v_proj, self.out_proj):
            nn.init.zeros_(layer.bias)

    def project_memory(self, memory: Tensor) -> tuple[Tensor, Tensor]:
        """Maps the encoder's output (src_len, batch, memory_dim) to keys and values.

        Returns:
            Two tensors (batch, num_heads, src_len, head_dim).
        """
        return self._split_sequence(self.k_proj(memory)), self._split_sequence(self.v_proj(memory))

    def forward(self, x: Tensor, keys: Tensor, values: Tensor, source_mask: Tensor) -> Tensor:
        """Attends from every target position.

        Args:
            x: (tgt_len, batch, dim).
            keys: from `project_memory`, (batch, num_heads, src_len, head_dim).
            values: from `project_memory`, of the same shape.
            source_mask: True where a source position may be attended to, (batch, 1, 1, src_len).

        Returns:
            (tgt_len, batch, dim).
        """
        dropout = self.dropout if self.training else 0.0
        query = self._split_sequence(self.q_proj(x))
        heads = F.scaled_dot_product_attention(query, keys, values, attn_mask=source_mask, dropout_p=dropout)
        return self.out_proj(heads.permute(2, 0, 1, 3).reshape_as(x))

    def step(self, x: Tensor, keys: Tensor, values: Tensor, source_mask: Tensor) -> Tensor:
        """Attends from the newest position of every row; row r belongs to sentence r // (rows / batch).

        Args:
            x: (rows, dim), where rows is a multiple of the batch.
            keys: from `project_memory`, (batch, num_heads, src_len, head_dim).
            values: from `project_memory`, of the same shape.
            source_mask: as in `forward`.

        Returns:
            (rows, dim).
        """
        query = self._split_rows(self.q_proj(x), keys.size(0))
        heads = F.scaled_dot_product_attention(query, keys, values, attn_mask=source_mask)
        return self.out_proj(heads.transpose(1, 2).reshape_as(x))

    def weights(self, x: Tensor, keys: Tensor, source_mask: Tensor) -> Tensor:
        """The attention weights of `forward`, averaged over heads: (batch, tgt_len, src_len)."""
        return self._average_weights(self._split_sequence(self.q_proj(x)), keys, source_mask)

    def step_weights(self, x: Tensor, keys: Tensor, source_mask: Tensor) -> Tensor:
        """The attention weights of `step`, averaged over heads: (rows, src_len)."""
        query = self._split_rows(self.q_proj(x), keys.size(0))
        return self._average_weights(query, keys, source_mask).flatten(0, 1)

    @staticmethod
    def _average_weights(query: Tensor, keys: Tensor, source_mask: Tensor) -> Tensor:
        scores = query @ keys.transpose(2, 3) / math.sqrt(query.size(-1))
        scores = scores.masked_fill(~source_mask, -math.inf)
        return scores.float().softmax(-1).mean(1)

    def _split_sequence(self, x: Tensor) -> Tensor:
        """(len, batch, dim) to (batch, num_heads, len, head_dim)."""
        length, batch, _ = x.shape
        return x.view(length, batch, self.num_heads, -1).permute(1, 2, 0, 3)

    def _split_rows(self, x: Tensor, batch: int) -> Tensor:
        """(rows, dim) to (batch, num_heads, rows / batch, head_dim)."""
        return x.view(batch, x.size(0) // batch, self.num_heads, -1).transpose(1, 2)

    def fold_affine_(self, pre: Affine | None, post: Affine) -> bool:
        """See `Sublayer`."""
        fold_output_(self.out_proj, *post.coefficients())
        if pre is not None:
            fold_input_(self.q_proj, *pre.coefficients())
        return True
