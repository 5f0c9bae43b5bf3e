"""The encoder: layers of mixing over positions and an MLP over features.

Source: arXiv:2105.03404, section 2, "Sequence-to-sequence ResMLP": the encoder of Vaswani et al. with every
self-attention sublayer replaced by the mixing sublayer.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple, cast

from torch import Tensor, nn

from resmlp_mt.nn.affine import build_norm
from resmlp_mt.nn.kernels.linear import pack_linears_
from resmlp_mt.nn.mixing import TokenMixing
from resmlp_mt.nn.padding import left_align
from resmlp_mt.translation.model.config import StackConfig
from resmlp_mt.translation.model.parts import channel_mlp, residual_block, token_embedding


class EncoderOutput(NamedTuple):
    """The encoded sentences of a batch, aligned to the left.

    Attributes:
        hidden: (src_len, batch, dim).
        padding_mask: True at padding, (batch, src_len).
        source_positions: where each position was in the encoder's input, (batch, src_len).
    """

    hidden: Tensor
    padding_mask: Tensor
    source_positions: Tensor


class EncoderLayer(nn.Module):
    r"""One layer of the encoder: token mixing, then the MLP, each in a `ResidualBlock`.

    $$z = x + \mathrm{Aff}(A\,\mathrm{Aff}(x)), \qquad y = z + \mathrm{Aff}(\mathrm{MLP}(\mathrm{Aff}(z)))$$

    Source: arXiv:2105.03404, equations 2 and 3.

    Args:
        config: of the encoder.
    """

    def __init__(self, config: StackConfig) -> None:
        super().__init__()
        mixing = TokenMixing(config.max_len, not config.model.no_mixing_bias, config.model.mixing_init_std)
        self.mixing = residual_block(mixing, config)
        self.channels = residual_block(channel_mlp(config), config)

    def forward(self, x: Tensor, padding_mask: Tensor) -> Tensor:
        """Maps (src_len, batch, dim) to (src_len, batch, dim).

        Args:
            x: (src_len, batch, dim).
            padding_mask: True at padding, (batch, src_len).
        """
        y: Tensor = self.channels(self.mixing(x, padding_mask))
        return y

    def fold_affine_(self) -> None:
        """See `ResidualBlock.fold_affine_`."""
        self.mixing.fold_affine_()
        self.channels.fold_affine_()


class Encoder(nn.Module):
    """Encodes source tokens, one vector per position.

    A sentence's output does not depend on its batch, on the side of its padding, or on the longest sentence beside it.

    Args:
        embedding_table: of the source vocabulary, possibly shared.
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
            padding_mask: True at padding, which may be on either side, (batch, src_len).

        Raises:
            ResMLPError: if src_len is more than the positions of the mixing matrices.
        """
        tokens, padding_mask, source_positions = left_align(tokens, padding_mask)
        x = self.embedding(tokens)  # (src_len, batch, dim)
        for layer in self.layers:
            x = layer(x, padding_mask)
        return EncoderOutput(self.norm(x), padding_mask, source_positions)

    def optimize_for_inference(self) -> None:
        """Folds Affine transformations into weights and packs the linear layers; the outputs stay."""
        self.eval()
        for layer in cast("Iterable[EncoderLayer]", self.layers):
            layer.fold_affine_()
        pack_linears_(self)
