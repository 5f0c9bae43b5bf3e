"""The decoder: layers of causal mixing over positions, attention to the source, and an MLP over features.

Source: arXiv:2105.03404, section 2, "Sequence-to-sequence ResMLP": the decoder of Vaswani et al. with every
self-attention sublayer replaced by the mixing sublayer, whose matrix is triangular.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import cast

from torch import Tensor, nn

from resmlp_mt.common.errors import ResMLPError
from resmlp_mt.nn.affine import build_norm
from resmlp_mt.nn.cross_attention import CrossAttention
from resmlp_mt.nn.kernels.linear import Linear, pack_linears_
from resmlp_mt.nn.mixing import CausalTokenMixing
from resmlp_mt.nn.padding import undo_left_align
from resmlp_mt.translation.model.config import StackConfig
from resmlp_mt.translation.model.decoder_state import DecoderLayerState, DecoderState
from resmlp_mt.translation.model.encoder import EncoderOutput
from resmlp_mt.translation.model.parts import channel_mlp, residual_block, token_embedding


class DecoderLayer(nn.Module):
    r"""One layer of the decoder: causal mixing, cross-attention, then the MLP, each in a `ResidualBlock`.

    $$z = x + \mathrm{Aff}(A\,\mathrm{Aff}(x)), \quad u = z + \mathrm{Aff}(\mathrm{Attention}(\mathrm{Aff}(z))), \quad
    y = u + \mathrm{Aff}(\mathrm{MLP}(\mathrm{Aff}(u)))$$

    with a lower triangular A. `forward`, for whole sentences, and `step`, for one new token of every row, compute the
    same.
    Source: arXiv:2105.03404, section 2, "Sequence-to-sequence ResMLP", with equations 2 and 3.

    Args:
        config: of the decoder.
    """

    def __init__(self, config: StackConfig) -> None:
        super().__init__()
        model = config.model
        mixing = CausalTokenMixing(config.max_len, not model.no_mixing_bias, model.mixing_init_std)
        attention = CrossAttention(
            config.dim, model.cross_attention_heads, model.encoder_embed_dim, model.attention_dropout
        )
        self.mixing = residual_block(mixing, config)
        self.cross_attention = residual_block(attention, config)
        self.channels = residual_block(channel_mlp(config), config)

    def project_memory(self, memory: Tensor) -> tuple[Tensor, Tensor]:
        """See `CrossAttention.project_memory`."""
        return self.cross_attention.sublayer.project_memory(memory)

    def forward(
        self, x: Tensor, memory: Tensor, source_mask: Tensor, need_attention: bool = False
    ) -> tuple[Tensor, Tensor | None]:
        """Runs over whole target sentences.

        Args:
            x: (tgt_len, batch, dim).
            memory: the encoder's output, (src_len, batch, memory_dim).
            source_mask: True where a source position may be attended to, (batch, 1, 1, src_len).
            need_attention: whether to compute the attention weights.

        Returns:
            (tgt_len, batch, dim), and the attention weights averaged over heads, (batch, tgt_len, src_len), or None.
        """
        x = self.mixing(x)
        keys, values = self.project_memory(memory)
        attention = None
        if need_attention:
            block = self.cross_attention
            attention = block.sublayer.weights(block.pre(x), keys, source_mask)
        x = self.cross_attention(x, keys, values, source_mask)
        return self.channels(x), attention

    def step(self, x: Tensor, state: DecoderLayerState, need_attention: bool = False) -> tuple[Tensor, Tensor | None]:
        """Runs over one new token of every row.

        Args:
            x: (rows, dim).
            state: of this layer, changed by this call.
            need_attention: whether to compute the attention weights.

        Returns:
            (rows, dim), and the attention weights averaged over heads, (rows, src_len), or None.
        """
        x = self.mixing.step(x, state.cache)
        attention = None
        if need_attention:
            block = self.cross_attention
            attention = block.sublayer.step_weights(block.pre(x), state.keys, state.source_mask)
        x = self.cross_attention.step(x, state.keys, state.values, state.source_mask)
        return self.channels.step(x), attention

    def fold_affine_(self) -> None:
        """See `ResidualBlock.fold_affine_`."""
        self.mixing.fold_affine_()
        self.cross_attention.fold_affine_()
        self.channels.fold_affine_()


class Decoder(nn.Module):
    """Predicts each target token from the source and the target tokens before it.

    `forward`, for whole target sentences, and `start`, `step` and `DecoderState.reorder`, for a search, compute the
    same. `step` takes the newest tokens only; the state knows which beams they continue.

    Args:
        embedding_table: of the target vocabulary, possibly shared.
        config: of the decoder.
        tie_output: whether the output projection shares the embedding table.
    """

    def __init__(self, embedding_table: nn.Embedding, config: StackConfig, tie_output: bool) -> None:
        super().__init__()
        self.max_len = config.max_len
        self.embedding = token_embedding(embedding_table, config)
        self.layers = nn.ModuleList(DecoderLayer(config) for _ in range(config.num_layers))
        self.norm = build_norm(config.model.norm, config.dim)
        self.output: nn.Linear = Linear(config.dim, embedding_table.num_embeddings, bias=False)
        if tie_output:
            self.output.weight = embedding_table.weight
        else:
            nn.init.normal_(self.output.weight, std=config.dim**-0.5)

    def forward(
        self, tokens: Tensor, memory: EncoderOutput, need_attention: bool = False
    ) -> tuple[Tensor, Tensor | None]:
        """Runs over whole target sentences, whose padding, if any, is at the right.

        Args:
            tokens: the target shifted by one, (batch, tgt_len).
            memory: from the encoder.
            need_attention: whether to compute the attention weights of the last layer.

        Returns:
            Features for `output`, (batch, tgt_len, dim), and the attention weights averaged over heads, at the
            positions of the encoder's input, (batch, tgt_len, src_len), or None.

        Raises:
            ResMLPError: if tgt_len is more than the positions of the mixing matrices.
        """
        x = self.embedding(tokens)  # (tgt_len, batch, dim)
        source_mask = ~memory.padding_mask[:, None, None]
        last = len(self.layers) - 1
        attention = None
        for index, layer in enumerate(self.layers):
            x, attention = layer(x, memory.hidden, source_mask, need_attention and index == last)
        if attention is not None:
            attention = undo_left_align(attention, memory.source_positions[:, None])
        return self.norm(x).transpose(0, 1), attention

    def _decoder_layers(self) -> Iterable[DecoderLayer]:
        return cast("Iterable[DecoderLayer]", self.layers)

    def start(self, memory: EncoderOutput, sentence_of_row: Tensor, most_rows: int | None = None) -> DecoderState:
        """Begins a search.

        Args:
            memory: from the encoder.
            sentence_of_row: the sentence of the batch that each row translates, (rows,).
            most_rows: most rows that there will be; by default as many as at the beginning.
        """
        projected = [layer.project_memory(memory.hidden) for layer in self._decoder_layers()]
        return DecoderState(
            [(keys.contiguous(), values.contiguous()) for keys, values in projected],
            ~memory.padding_mask[:, None, None],
            memory.source_positions,
            sentence_of_row,
            most_rows,
        )

    def step(self, tokens: Tensor, state: DecoderState, need_attention: bool = False) -> tuple[Tensor, Tensor | None]:
        """Takes one step of a search.

        Args:
            tokens: the newest token of every row, (rows,).
            state: from `start`, changed by this call.
            need_attention: as in `forward`.

        Returns:
            Logits of the next token, (rows, vocab_size), and the attention weights (rows, src_len) or None.

        Raises:
            ResMLPError: if there are no more positions.
        """
        beams = state.beams
        if beams.length == self.max_len:
            raise ResMLPError(
                f"a target of {self.max_len + 1} tokens is longer than the {self.max_len} positions of the mixing "
                "matrices; lower the maximum length of the search"
            )
        x = self.embedding(tokens[:, None], start=beams.length).squeeze(0)  # (rows, dim)
        beams.advance()
        last = len(self.layers) - 1
        attention = None
        for index, (layer, layer_state) in enumerate(zip(self._decoder_layers(), state.layers, strict=True)):
            x, attention = layer.step(x, layer_state, need_attention and index == last)
        if attention is not None:
            attention = undo_left_align(attention, state.source_positions.index_select(0, state.sentence_of_row))
        return self.output(self.norm(x)), attention

    def optimize_for_inference(self) -> None:
        """Folds Affine transformations into weights and packs the linear layers; the outputs stay."""
        self.eval()
        for layer in self._decoder_layers():
            layer.fold_affine_()
        pack_linears_(self)
