"""Translation models for fairseq: configuration, registered architectures, encoder and decoder interfaces.

The computation is in `resmlp_mt.translation` and `resmlp_mt.nn`, which do not import fairseq.
"""

from typing import Any, Dict, List, Optional, Tuple

import torch
from fairseq.data import Dictionary
from fairseq.models import (
    FairseqEncoder,
    FairseqEncoderDecoderModel,
    FairseqIncrementalDecoder,
)
from torch import Tensor

from resmlp_mt.common.errors import ResMLPError
from resmlp_mt.fairseq_plugin.registration import option, own_config, plugin_config, register_architecture
from resmlp_mt.nn.padding import left_align, undo_left_align
from resmlp_mt.translation.model.architectures import ARCHITECTURES
from resmlp_mt.translation.model.build import build_core
from resmlp_mt.translation.model.compiling import compiled
from resmlp_mt.translation.model.config import ModelConfig
from resmlp_mt.translation.model.decoder import Decoder
from resmlp_mt.translation.model.encoder import Encoder, EncoderOutput

COMPILE = option(False, "train with torch.compile: slow to start, then fewer kernels on a GPU")
ResMLPConfig = plugin_config("ResMLPConfig", ModelConfig, compile_layers=(bool, COMPILE))


class ResMLPEncoder(FairseqEncoder):
    """fairseq's encoder interface around `Encoder`.

    Args:
        dictionary: dictionary of the source language.
        core: the encoder.
        compile_layers: whether training uses torch.compile.
    """

    def __init__(self, dictionary: Dictionary, core: Encoder, compile_layers: bool) -> None:
        super().__init__(dictionary)
        self.core = core
        self.compiled_core = compiled(core.forward) if compile_layers else None
        self.padding_index = dictionary.pad()

    def forward(
        self,
        src_tokens: Tensor,
        src_lengths: Optional[Tensor] = None,  # noqa: ARG002 - fairseq's signature
        **unused: Any,  # noqa: ARG002 - fairseq's signature
    ) -> Dict[str, List[Tensor]]:
        """Encodes source tokens (batch, src_len), padded on either side.

        Args:
            src_tokens: (batch, src_len).
            src_lengths: ignored; the padding is read from the tokens.
            **unused: further arguments of fairseq's interface; ignored.

        Returns:
            The fields of `EncoderOutput` in lists, as fairseq requires. `sentence_of_row` is empty until a search makes
            several rows per sentence; it then holds the index of each row's sentence, and the tensors are not copied.
        """
        core = self.compiled_core if self.compiled_core and self.training else self.core
        memory = core(src_tokens, src_tokens.eq(self.padding_index))
        return {
            "encoder_out": [memory.hidden],
            "encoder_padding_mask": [memory.padding_mask],
            "source_positions": [memory.source_positions],
            "sentence_of_row": [],
        }

    def reorder_encoder_out(self, encoder_out: Dict[str, List[Tensor]], new_order: Tensor) -> Dict[str, List[Tensor]]:
        """Moves row `new_order[r]` to row r; only the sentence indices of the rows change."""
        rows = encoder_out["sentence_of_row"]
        return {**encoder_out, "sentence_of_row": [rows[0].index_select(0, new_order) if rows else new_order]}

    def max_positions(self) -> int:
        """Returns the maximum length of a source in sub-words, including the end of sentence."""
        return self.core.max_len


class ResMLPDecoder(FairseqIncrementalDecoder):
    """fairseq's incremental decoder interface around `Decoder`.

    Args:
        dictionary: dictionary of the target language.
        core: the decoder.
        left_pad_target: whether the task pads targets on the left.
        compile_layers: whether training uses torch.compile.
    """

    STATE = "resmlp_decoder_state"

    def __init__(self, dictionary: Dictionary, core: Decoder, left_pad_target: bool, compile_layers: bool) -> None:
        super().__init__(dictionary)
        self.core = core
        self.compiled_core = compiled(core.forward) if compile_layers else None
        self.left_pad_target = left_pad_target
        self.padding_index = dictionary.pad()
        self.need_attention = True

    def forward(
        self,
        prev_output_tokens: Tensor,
        encoder_out: Optional[Dict[str, List[Tensor]]] = None,
        incremental_state: Optional[Dict[str, Any]] = None,
        features_only: bool = False,
        **unused: Any,  # noqa: ARG002 - fairseq's signature
    ) -> Tuple[Tensor, Dict[str, List[Optional[Tensor]]]]:
        """Predicts target tokens.

        Args:
            prev_output_tokens: the target shifted by one, (batch, tgt_len).
            encoder_out: output of `ResMLPEncoder`.
            incremental_state: state of a search; with it only the tokens since the last call are processed.
            features_only: whether to leave out the output projection.
            **unused: further arguments of fairseq's interface; ignored.

        Returns:
            Logits (batch, tgt_len, vocab_size), in a search (batch, 1, vocab_size) of the last token, and the attention
            weights under "attn", (batch, tgt_len, src_len), at the positions of the encoder's input.
        """
        memory, rows = _memory(encoder_out)
        if incremental_state is not None:
            return self._step(prev_output_tokens, memory, rows, incremental_state)
        if rows is not None:
            memory = EncoderOutput(memory.hidden[:, rows], memory.padding_mask[rows], memory.source_positions[rows])
        # Training does not use the attention weights, and they require a separate computation.
        need_attention = self.need_attention and not self.training
        features, attention = self._features(prev_output_tokens, memory, need_attention)
        return (features if features_only else self.core.output(features)), {"attn": [attention]}

    def _features(self, tokens: Tensor, memory: EncoderOutput, need_attention: bool) -> Tuple[Tensor, Optional[Tensor]]:
        core = self.compiled_core if self.compiled_core and self.training else self.core
        if not self.left_pad_target:
            return core(tokens, memory, need_attention)
        tokens, _, positions = left_align(tokens, tokens.eq(self.padding_index))
        features, attention = core(tokens, memory, need_attention)
        features = undo_left_align(features.transpose(1, 2), positions[:, None]).transpose(1, 2)
        if attention is not None:
            attention = undo_left_align(attention.transpose(1, 2), positions[:, None]).transpose(1, 2)
        return features, attention

    def _step(
        self, tokens: Tensor, memory: EncoderOutput, rows: Optional[Tensor], incremental_state: Dict[str, Any]
    ) -> Tuple[Tensor, Dict[str, List[Optional[Tensor]]]]:
        state = incremental_state.get(self.STATE)
        if state is None:
            rows = torch.arange(tokens.size(0), device=tokens.device) if rows is None else rows
            state = incremental_state[self.STATE] = self.core.start(memory, rows)
        for position in range(state.length, tokens.size(1)):
            logits, attention = self.core.step(tokens[:, position], state, self.need_attention)
        return logits[:, None], {"attn": [None if attention is None else attention[:, None]]}

    def reorder_incremental_state(self, incremental_state: Dict[str, Any], new_order: Tensor) -> None:
        """Moves the state of row `new_order[r]` to row r."""
        if self.STATE in incremental_state:
            incremental_state[self.STATE].reorder(new_order)

    def output_layer(self, features: Tensor) -> Tensor:
        """Maps features (..., dim) to logits (..., vocab_size)."""
        return self.core.output(features)

    def max_positions(self) -> int:
        """Returns the maximum length of a target in sub-words, including the end of sentence."""
        return self.core.max_len


def _memory(encoder_out: Optional[Dict[str, List[Tensor]]]) -> Tuple[EncoderOutput, Optional[Tensor]]:
    assert encoder_out is not None, "the decoder requires the encoder's output"
    memory = EncoderOutput(
        encoder_out["encoder_out"][0], encoder_out["encoder_padding_mask"][0], encoder_out["source_positions"][0]
    )
    rows = encoder_out["sentence_of_row"]
    return memory, rows[0] if rows else None


class ResMLPModel(FairseqEncoderDecoderModel):
    """A ResMLP encoder and decoder as a fairseq model. Each architecture is a subclass with a configuration."""

    @classmethod
    def build_model(cls, cfg: Any, task: Any) -> "ResMLPModel":
        """Builds the model of a `ResMLPConfig` for the dictionaries of a translation task.

        Raises:
            ResMLPError: if the options are inconsistent, or do not match the dictionaries.
        """
        source, target = task.source_dictionary, task.target_dictionary
        if cfg.share_all_embeddings and source != target:
            raise ResMLPError(
                "--share-all-embeddings requires one dictionary for both languages, but the source dictionary "
                f"({len(source)} entries) and the target dictionary ({len(target)}) differ; prepare the data with a "
                "joint vocabulary or leave the option out"
            )
        encoder, decoder = build_core(own_config(ModelConfig, cfg), len(source), len(target))
        left_pad_target = bool(getattr(getattr(task, "cfg", None), "left_pad_target", False))
        return cls(
            ResMLPEncoder(source, encoder, cfg.compile_layers),
            ResMLPDecoder(target, decoder, left_pad_target, cfg.compile_layers),
        )

    def prepare_for_inference_(self, cfg: Any) -> None:
        """Optimizes the model for inference; called by fairseq's commands before a search."""
        generation = cfg.generation
        needs_alignment = generation.print_alignment is not None or generation.replace_unk is not None
        self.make_generation_fast_(need_attn=needs_alignment)

    def make_generation_fast_(
        self,
        need_attn: bool = False,
        **unused: Any,  # noqa: ARG002 - fairseq's signature
    ) -> None:
        """Folds the Affine transformations into the linear layers and packs these for the CPU.

        Args:
            need_attn: whether the decoder returns attention weights.
            **unused: further arguments of fairseq's interface; ignored.
        """
        if self._is_generation_fast:
            return
        self._is_generation_fast = True
        self.decoder.need_attention = need_attn
        self.encoder.core.optimize_for_inference()
        self.decoder.core.optimize_for_inference()
        self.eval()


for _name, _changes in ARCHITECTURES.items():
    register_architecture(_name, ResMLPConfig, ResMLPModel, _changes)
