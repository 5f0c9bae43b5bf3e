"""The decoder: causal mixing over positions, attention to the source, MLP over channels, many times.

Source: arXiv:2105.03404, section 2, "Sequence-to-sequence ResMLP": the decoder of Vaswani et al. with every
self-attention sublayer replaced by the mixing sublayer, whose matrix is triangular.
"""

from __future__ import annotations

from torch import Tensor, nn

from resmlp_mt.common.errors import require
from resmlp_mt.nn.affine import build_norm
from resmlp_mt.nn.cross_attention import CrossAttention
from resmlp_mt.nn.kernels.linear import Linear, pack_linears
from resmlp_mt.nn.mixing import CausalTokenMixing
from resmlp_mt.nn.padding import restore_columns
from resmlp_mt.translation.model.config import StackConfig
from resmlp_mt.translation.model.decoder_state import DecoderState
from resmlp_mt.translation.model.encoder import EncoderOutput
from resmlp_mt.translation.model.parts import channel_mlp, residual_block, token_embedding


class DecoderLayer(nn.Module):
    """One causal mixing, one cross-attention and one channel block."""

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


class Decoder(nn.Module):
    """Predicts each target token from the source and the target tokens before it.

    Has two forms that give the same: `forward` for whole target sentences, and `start`, `step` and the state's
    `reorder` for a search. `step` wants new tokens alone; which beams they continue is told to the state.

    Args:
        embedding_table: vectors of the target vocabulary, possibly shared.
        config: of the decoder.
        tie_output: whether the output projection is the embedding table.
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
            need_attention: whether the last layer's attention is wanted.

        Returns:
            Features for `output`, (batch, tgt_len, dim), and the attention weights averaged over heads in the columns
            of the encoder's input, (batch, tgt_len, src_len), or None.

        Raises:
            ResMLPError: if tgt_len is more than the positions of the mixing matrices.
        """
        x = self.embedding(tokens)  # (tgt_len, batch, dim)
        source_mask = ~memory.padding_mask[:, None, None]
        attention = None
        for layer in self.layers:
            x = layer.mixing(x)
            keys, values = layer.project_memory(memory.hidden)
            if need_attention and layer is self.layers[-1]:
                block = layer.cross_attention
                weights = block.sublayer.weights(block.pre(x), keys, source_mask)
                attention = restore_columns(weights, memory.columns[:, None])
            x = layer.cross_attention(x, keys, values, source_mask)
            x = layer.channels(x)
        return self.norm(x).transpose(0, 1), attention

    def start(self, memory: EncoderOutput, sentence_of_row: Tensor, most_rows: int | None = None) -> DecoderState:
        """Begins a search.

        Args:
            memory: from the encoder.
            sentence_of_row: the sentence of the batch that each row translates, (rows,).
            most_rows: to which the rows may grow; as many as there are at first unless given.
        """
        projected = [layer.project_memory(memory.hidden) for layer in self.layers]
        return DecoderState(
            keys=[keys.contiguous() for keys, _ in projected],
            values=[values.contiguous() for _, values in projected],
            source_mask=~memory.padding_mask[:, None, None],
            columns=memory.columns,
            sentence_of_row=sentence_of_row,
            most_rows=most_rows,
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
        require(
            state.length < self.max_len,
            "target length",
            f"at most {self.max_len}, the number of positions of the mixing matrices",
            state.length + 1,
            "lower the maximal length of the search",
        )
        x = self.embedding(tokens[:, None], start=state.length).squeeze(0)  # (rows, dim)
        state.advance()
        attention = None
        for index, layer in enumerate(self.layers):
            mixing = layer.mixing
            history = state.remember(index, mixing.pre(x))
            x = x + mixing.post(mixing.sublayer.step(history, state.ancestors))
            keys, values = state.keys[index], state.values[index]
            if need_attention and layer is self.layers[-1]:
                block = layer.cross_attention
                weights = block.sublayer.step_weights(block.pre(x), keys, state.source_mask)
                attention = restore_columns(weights, state.columns.index_select(0, state.sentence_of_row))
            x = layer.cross_attention.step(x, keys, values, state.source_mask)
            x = layer.channels(x)
        return self.output(self.norm(x)), attention

    def fold(self) -> None:
        """Folds every Affine around a sublayer into it, for inference: the outputs stay, the work shrinks."""
        for layer in self.layers:
            layer.mixing.fold()
            layer.cross_attention.fold()
            layer.channels.fold()

    def pack(self) -> None:
        """Packs the linear layers for this processor, see `PackedLinear`."""
        pack_linears(self)
