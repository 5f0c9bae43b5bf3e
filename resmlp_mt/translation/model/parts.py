"""The parts that encoder and decoder layers share, made from a configuration."""

from __future__ import annotations

from typing import TypeVar

from torch import nn

from resmlp_mt.nn.channel_mlp import ChannelMLP
from resmlp_mt.nn.residual import ResidualBlock
from resmlp_mt.nn.sublayer import Sublayer
from resmlp_mt.translation.model.config import StackConfig
from resmlp_mt.translation.model.embedding import TokenEmbedding

SublayerT = TypeVar("SublayerT", bound=Sublayer)


def residual_block(sublayer: SublayerT, config: StackConfig) -> ResidualBlock[SublayerT]:
    """Puts the residual block of a configuration around a sublayer."""
    model = config.model
    return ResidualBlock(
        sublayer, config.dim, model.norm, model.layer_scale, not model.no_post_bias, model.dropout, model.drop_path
    )


def channel_mlp(config: StackConfig) -> ChannelMLP:
    """The MLP of a layer."""
    return ChannelMLP(config.dim, config.hidden_dim, config.model.activation_fn, config.model.activation_dropout)


def token_embedding(table: nn.Embedding, config: StackConfig) -> TokenEmbedding:
    """The embedding in front of the first layer, around a table that may be shared."""
    model = config.model
    dropout = model.dropout if model.embedding_dropout is None else model.embedding_dropout
    return TokenEmbedding(table, model.positional_embeddings, config.max_len, not model.no_scale_embedding, dropout)
