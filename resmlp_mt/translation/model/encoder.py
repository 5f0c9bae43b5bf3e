"""The encoder: mixing over positions, MLP over channels, many times.

Source: arXiv:2105.03404, section 2, "Sequence-to-sequence ResMLP": the encoder of Vaswani et al. with every
self-attention sublayer replaced by the mixing sublayer.
"""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor, nn

from resmlp_mt.nn.affine import build_norm
from resmlp_mt.nn.mixing import TokenMixing
from resmlp_mt.nn.padding import left_align
from resmlp_mt.translation.model.config import StackConfig
from resmlp_mt.translation.model.parts import channel_mlp, residual_block, token_embedding


class EncoderOutput(NamedTuple):
    """What the encoder tells of a batch of sentences, all of them at the left edge.

    Attributes:
        hidden: (src_len, batch, dim).
        padding_mask: True at padding, (batch, src_len).
        columns: the column of the encoder's input from which each position came, (batch, src_len).
    """

    hidden: Tensor
    padding_mask: Tensor
    columns: Tensor


class EncoderLayer(nn.Module):
    """One mixing and one channel block: (len, batch, dim) to (len, batch, dim)."""

    def __init__(self, config: StackConfig) -> None:
        super().__init__()
        mixing = TokenMixing(config.max_len, not config.model.no_mixing_bias, config.model.mixing_init_std)
        self.mixing = residual_block(mixing, config)
        self.channels = residual_block(channel_mlp(config), config)

    def forward(self, x: Tensor, padding_mask: Tensor) -> Tensor:
        return self.channels(self.mixing(x, padding_mask))


class Encoder(nn.Module):
    """Turns source tokens into one vector a position.

    A sentence's output depends neither on its batch, nor on the side of its padding, nor on its longest neighbour.

    Args:
        embedding_table: vectors of the source vocabulary, possibly shared.
        config: of the encoder.
    """

    def __init__(self, embedding_table: nn.Embedding, config: StackConfig) -> None:
        super().__init__()
        self.max_len = config.max_len
        self.embedding = token_embedding(embedding_table, config)
        self.layers = nn.ModuleList(EncoderLayer(config) for _ in range(config.num_layers))
        self.norm = build_norm(config.model.norm, config.dim)

    def forward(self, tokens: Tensor, padding_mask: Tensor) -> EncoderOutput:
        """Encodes a batch.

        Args:
            tokens: (batch, src_len).
            padding_mask: True at padding, on whichever side, (batch, src_len).

        Raises:
            ResMLPError: if src_len is more than the positions of the mixing matrices.
        """
        tokens, padding_mask, columns = left_align(tokens, padding_mask)
        x = self.embedding(tokens)  # (src_len, batch, dim)
        for layer in self.layers:
            x = layer(x, padding_mask)
        return EncoderOutput(self.norm(x), padding_mask, columns)

    def fold(self) -> None:
        """Folds what can be folded, for inference. The mixing keeps its Affine: the padding's zeros come between."""
        for layer in self.layers:
            layer.channels.fold()
