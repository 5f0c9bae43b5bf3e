"""The small interface between a search and a model, behind which one engine can be exchanged for another."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor, nn

from resmlp_mt.nn.linear import pack_linears
from resmlp_mt.translation.model.decoder import Decoder
from resmlp_mt.translation.model.decoder_state import DecoderState
from resmlp_mt.translation.model.encoder import Encoder


class StepState(Protocol):
    """What a model remembers of the rows (the beams of all sentences) between two steps."""

    def reorder(self, backpointers: Tensor) -> None:
        """Row r continues from what row `backpointers[r]` was: (new rows,)."""


class StepModel(Protocol):
    """A model that predicts one token of every row at a time."""

    @property
    def max_source_len(self) -> int:
        """Longest source in sub-words, end of sentence included."""

    @property
    def max_target_len(self) -> int:
        """Longest target in sub-words, end of sentence included."""

    @property
    def vocab_size(self) -> int:
        """Number of target tokens."""

    @property
    def device(self) -> torch.device:
        """Where tokens are expected."""

    def start(self, source: Tensor, padding_mask: Tensor, beam_size: int) -> StepState:
        """Encodes sources (batch, src_len). Each begins as one row and may later have `beam_size` neighbouring ones."""

    def step(self, tokens: Tensor, state: StepState) -> Tensor:
        """Maps the newest token of every row, (rows,), to logits of the next, (rows, vocab_size). Changes `state`."""


class TranslationModel(nn.Module):
    """The encoder and decoder as a `StepModel`.

    Args:
        encoder: of the source.
        decoder: of the target.
    """

    def __init__(self, encoder: Encoder, decoder: Decoder) -> None:
        super().__init__()
        self.encoder = encoder
        self.decoder = decoder

    @property
    def max_source_len(self) -> int:
        return self.encoder.max_len

    @property
    def max_target_len(self) -> int:
        return self.decoder.max_len

    @property
    def vocab_size(self) -> int:
        return self.decoder.output.out_features

    @property
    def device(self) -> torch.device:
        return self.decoder.output.weight.device

    def start(self, source: Tensor, padding_mask: Tensor, beam_size: int) -> DecoderState:
        """See `StepModel`."""
        memory = self.encoder(source, padding_mask)
        rows = torch.arange(source.size(0), device=source.device)
        return self.decoder.start(memory, rows, most_rows=beam_size * source.size(0))

    def step(self, tokens: Tensor, state: DecoderState) -> Tensor:
        """See `StepModel`."""
        return self.decoder.step(tokens, state)[0]

    def make_fast(self) -> None:
        """Folds and packs the weights for inference; the outputs stay."""
        self.eval()
        self.encoder.fold()
        self.decoder.fold()
        pack_linears(self)
