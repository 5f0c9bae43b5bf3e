"""Token embeddings, the same for the encoder and the decoder."""

from __future__ import annotations

import math

import torch.nn.functional as F
from torch import Tensor, nn

from resmlp_mt.nn.positions import PositionalEmbedding


def build_token_embedding(vocab_size: int, dim: int, padding_index: int) -> nn.Embedding:
    """Makes an embedding table, initialised as in fairseq's Transformer: normal with std dim ** -0.5, zero at padding.

    Args:
        vocab_size: number of tokens.
        dim: model dim.
        padding_index: the padding token.
    """
    embedding = nn.Embedding(vocab_size, dim, padding_index)
    nn.init.normal_(embedding.weight, std=dim**-0.5)
    nn.init.zeros_(embedding.weight[padding_index])
    return embedding


class TokenEmbedding(nn.Module):
    r"""Embeds tokens: $x_t = \sqrt{d}\,E_{w_t} + p_t$, with dropout.

    Source: Vaswani et al. 2017, sections 3.4 and 3.5.

    Args:
        tokens: E, the embedding table, possibly shared with other modules.
        positions: positional embeddings p, one of `resmlp_mt.nn.positions.POSITIONAL_EMBEDDINGS`.
        max_len: number of positions.
        scale: whether to multiply by the square root of dim d.
        dropout: probability of dropping a feature of an embedding.
    """

    def __init__(self, tokens: nn.Embedding, positions: str, max_len: int, scale: bool, dropout: float) -> None:
        super().__init__()
        self.tokens = tokens
        self.positions = None if positions == "none" else PositionalEmbedding(positions, max_len, tokens.embedding_dim)
        self.scale = math.sqrt(tokens.embedding_dim) if scale else 1.0
        self.dropout = dropout

    def forward(self, tokens: Tensor, start: int = 0) -> Tensor:
        """Maps tokens (batch, len), where `start` is the first position, to (len, batch, dim)."""
        x = self.tokens(tokens.t()) * self.scale
        if self.positions is not None:
            x = self.positions(x, start)
        return F.dropout(x, self.dropout, self.training)
