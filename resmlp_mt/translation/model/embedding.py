"""Tokens to vectors, the same for the encoder and the decoder."""

from __future__ import annotations

import math

import torch.nn.functional as F
from torch import Tensor, nn

from resmlp_mt.nn.positions import PositionalEmbedding


def build_token_embedding(vocab_size: int, dim: int, padding_index: int) -> nn.Embedding:
    """Makes a table, normal with deviation dim ** -0.5 and zero at `padding_index`, as fairseq's Transformer has."""
    embedding = nn.Embedding(vocab_size, dim, padding_index)
    nn.init.normal_(embedding.weight, std=dim**-0.5)
    nn.init.zeros_(embedding.weight[padding_index])
    return embedding


class TokenEmbedding(nn.Module):
    """Looks tokens up, scales them by the square root of dim, adds positions where wanted, and drops some channels.

    Args:
        tokens: the embedding table, possibly shared with other modules.
        positions: "none", "learned" or "sinusoidal".
        max_len: number of positions.
        scale: whether vectors are multiplied by the square root of dim (Vaswani et al. 2017, section 3.4).
        dropout: probability of dropping a channel of an embedding.
    """

    def __init__(self, tokens: nn.Embedding, positions: str, max_len: int, scale: bool, dropout: float) -> None:
        super().__init__()
        self.tokens = tokens
        self.positions = None if positions == "none" else PositionalEmbedding(positions, max_len, tokens.embedding_dim)
        self.scale = math.sqrt(tokens.embedding_dim) if scale else 1.0
        self.dropout = dropout

    def forward(self, tokens: Tensor, start: int = 0) -> Tensor:
        """Maps tokens (batch, len), whose first position is `start`, to (len, batch, dim)."""
        x = self.tokens(tokens.t()) * self.scale
        if self.positions is not None:
            x = self.positions(x, start)
        return F.dropout(x, self.dropout, self.training)
