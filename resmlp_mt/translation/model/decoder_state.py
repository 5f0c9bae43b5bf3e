"""What a decoder remembers between the steps of a search."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from resmlp_mt.nn.mixing_cache import BeamHistory, MixingCache


@dataclass
class DecoderLayerState:
    """What one layer remembers.

    Attributes:
        cache: inputs of the causal mixing.
        keys, values: of the cross-attention, (sentences, num_heads, src_len, head_dim).
        source_mask: True where a source position may be attended to, (sentences, 1, 1, src_len).
    """

    cache: MixingCache
    keys: Tensor
    values: Tensor
    source_mask: Tensor


class DecoderState:
    """What all layers remember of several rows (the beams of several sentences).

    Inputs of the mixing layers are never moved: `reorder` only permutes the backpointers in `beams`. Keys and values
    exist once per sentence; the rows of a sentence are neighbours, and are its queries.

    Args:
        projected: keys and values of each layer, see `DecoderLayerState`.
        source_mask: see `DecoderLayerState`.
        source_positions: see `EncoderOutput`, (sentences, src_len).
        sentence_of_row: the sentence that each row translates, sorted, (rows,).
        most_rows: most rows that there will be; by default as many as at the beginning.

    Attributes:
        layers: the state of each layer.
        beams: steps and backpointers, shared by all layers.
        source_mask: of all layers.
        source_positions: of the sentences that are left.
        sentence_of_row: (rows,), sorted; every sentence has the same number of rows.
    """

    def __init__(
        self,
        projected: list[tuple[Tensor, Tensor]],
        source_mask: Tensor,
        source_positions: Tensor,
        sentence_of_row: Tensor,
        most_rows: int | None = None,
    ) -> None:
        rows = sentence_of_row.size(0)
        self.beams = BeamHistory(rows, most_rows or rows, sentence_of_row.device)
        self.layers = [
            DecoderLayerState(MixingCache(self.beams), keys, values, source_mask) for keys, values in projected
        ]
        self.source_mask = source_mask
        self.source_positions = source_positions
        self.sentence_of_row = torch.arange(source_positions.size(0), device=source_positions.device)
        self._regroup(sentence_of_row)

    @property
    def length(self) -> int:
        """Number of steps taken."""
        return self.beams.length

    def reorder(self, new_order: Tensor) -> None:
        """Row r continues what row `new_order[r]` was.

        Args:
            new_order: (new rows,), at most `most_rows`. Rows may be dropped, copied, or change places.
        """
        self.beams.reorder(new_order)
        self._regroup(self.sentence_of_row.index_select(0, new_order))

    def _regroup(self, sentence_of_row: Tensor) -> None:
        """Makes keys and values fit these rows; copies them only if sentences are dropped, copied or moved."""
        if torch.equal(sentence_of_row, self.sentence_of_row):
            return
        sentences, counts = torch.unique_consecutive(sentence_of_row, return_counts=True)
        if not bool((counts == counts[0]).all()):
            sentences = sentence_of_row  # groups of different sizes: every row gets its own copy
        group = sentence_of_row.size(0) // sentences.size(0)
        if not torch.equal(sentences, torch.arange(self.source_positions.size(0), device=sentences.device)):
            self._select(sentences)
        self.sentence_of_row = torch.arange(sentences.size(0), device=sentences.device).repeat_interleave(group)

    def _select(self, sentences: Tensor) -> None:
        self.source_mask = self.source_mask.index_select(0, sentences)
        self.source_positions = self.source_positions.index_select(0, sentences)
        for layer in self.layers:
            layer.keys = layer.keys.index_select(0, sentences)
            layer.values = layer.values.index_select(0, sentences)
            layer.source_mask = self.source_mask
