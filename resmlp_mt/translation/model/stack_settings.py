"""What an encoder and a decoder are made of, in terms of the layers; no toolkit's configuration reaches below this."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from resmlp_mt.nn.channel_mlp import ChannelMLP
from resmlp_mt.nn.residual import ResidualBlock
from resmlp_mt.translation.model.embedding import TokenEmbedding


@dataclass(frozen=True)
class StackSettings:
    """One stack of layers. Every value is given by whoever builds the model: there are no defaults here.

    Attributes:
        dim: channels.
        hidden_dim: channels inside the channel MLP.
        num_layers: depth.
        max_len: positions of the mixing matrices.
        norm: what stands before each sublayer and before the output, see `resmlp_mt.nn.affine.build_norm`.
        activation: of the channel MLP, see `resmlp_mt.nn.channel_mlp.ACTIVATIONS`.
        layer_scale: start of each post-Affine.
        post_bias: whether each post-Affine has a bias.
        mixing_bias: whether each mixing has a bias per position.
        mixing_init_std: deviation of the mixing matrices' start.
        positions: positional embeddings, see `resmlp_mt.nn.positions`.
        scale_embedding: whether embeddings are multiplied by the square root of dim.
        dropout, embedding_dropout, activation_dropout, attention_dropout, drop_path: probabilities.
        num_heads: heads of the cross-attention (decoder only).
        memory_dim: channels of the encoder (decoder only).
    """

    dim: int
    hidden_dim: int
    num_layers: int
    max_len: int
    norm: str
    activation: str
    layer_scale: float
    post_bias: bool
    mixing_bias: bool
    mixing_init_std: float
    positions: str
    scale_embedding: bool
    dropout: float
    embedding_dropout: float
    activation_dropout: float
    attention_dropout: float
    drop_path: float
    num_heads: int
    memory_dim: int

    def block(self, sublayer: nn.Module) -> ResidualBlock:
        """Puts the residual block around a sublayer."""
        return ResidualBlock(
            sublayer, self.dim, self.norm, self.layer_scale, self.post_bias, self.dropout, self.drop_path
        )

    def channel_mlp(self) -> ChannelMLP:
        return ChannelMLP(self.dim, self.hidden_dim, self.activation, self.activation_dropout)

    def token_embedding(self, table: nn.Embedding) -> TokenEmbedding:
        return TokenEmbedding(table, self.positions, self.max_len, self.scale_embedding, self.embedding_dropout)
