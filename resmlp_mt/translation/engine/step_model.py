"""The step interface between a search and a model. Engines are exchanged behind it."""

from __future__ import annotations

from typing import Protocol, TypeVar

import torch
from torch import Tensor, nn

from resmlp_mt.translation.model.decoder import Decoder
from resmlp_mt.translation.model.decoder_state import DecoderState
from resmlp_mt.translation.model.encoder import Encoder


class StepState(Protocol):
    """The decoding state of a model. Its rows are the beams of all sentences."""

    def reorder(self, backpointers: Tensor) -> None:
        """Row r continues from what row `backpointers[r]` was: (new rows,)."""


StateT = TypeVar("StateT", bound=StepState)


class StepModel(Protocol[StateT]):
    """A model that predicts the next token of every row, one step at a time. `StateT` is its decoding state."""

    @property
    def max_source_len(self) -> int:
        """Maximum source length in sub-words, including the end of the sentence."""

    @property
    def max_target_len(self) -> int:
        """Maximum target length in sub-words, including the end of the sentence."""

    @property
    def vocab_size(self) -> int:
        """Size of the target vocabulary."""

    @property
    def device(self) -> torch.device:
        """The device of tokens and logits."""

    def start(self, source: Tensor, padding_mask: Tensor, beam_size: int) -> StateT:
        """Encodes source sentences.

        Args:
            source: tokens, (batch, src_len).
            padding_mask: True at padding, (batch, src_len).
            beam_size: maximum number of rows per sentence.

        Returns:
            A state with one row per sentence. After `reorder` a sentence may have up to `beam_size` adjacent rows.
        """

    def step(self, tokens: Tensor, state: StateT) -> Tensor:
        """Predicts the next tokens.

        Args:
            tokens: the newest token of every row, (rows,).
            state: from `start` of the same model; updated.

        Returns:
            Logits of the next token, (rows, vocab_size).
        """


class TranslationModel(nn.Module):
    """Encoder and decoder as a `StepModel`.

    Args:
        encoder: the encoder.
        decoder: the decoder.
    """

    def __init__(self, encoder: Encoder, decoder: Decoder) -> None:
        super().__init__()
        self.encoder = encoder
        self.decoder = decoder

    @property
    def max_source_len(self) -> int:
        """Maximum source length in sub-words, including the end of the sentence."""
        return self.encoder.max_len

    @property
    def max_target_len(self) -> int:
        """Maximum target length in sub-words, including the end of the sentence."""
        return self.decoder.max_len

    @property
    def vocab_size(self) -> int:
        """Size of the target vocabulary."""
        return self.decoder.output.out_features

    @property
    def device(self) -> torch.device:
        """The device of tokens and logits."""
        return self.decoder.output.weight.device

    def start(self, source: Tensor, padding_mask: Tensor, beam_size: int) -> DecoderState:
        """See `StepModel`."""
        memory = self.encoder(source, padding_mask)
        rows = torch.arange(source.size(0), device=source.device)
        return self.decoder.start(memory, rows, most_rows=beam_size * source.size(0))

    def step(self, tokens: Tensor, state: DecoderState) -> Tensor:
        """See `StepModel`."""
        return self.decoder.step(tokens, state)[0]

    def optimize_for_inference(self) -> None:
        """Switches to evaluation, folds the Affine layers, and packs the linear layers for the processor."""
        self.eval()
        self.encoder.optimize_for_inference()
        self.decoder.optimize_for_inference()
