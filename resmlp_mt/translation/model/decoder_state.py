"""What a decoder remembers between two steps of a search."""

from __future__ import annotations

import torch
from torch import Tensor

FIRST_CAPACITY = 16  # steps for which room is made at first; doubled whenever it is full


class DecoderState:
    """The memory of a step-by-step decoding of several rows (the beams of several sentences).

    What the mixing layers have seen is written once, into one buffer per layer, and never moved. Reordering the beams
    only permutes `ancestors`, a table of integers that all layers share. Keys and values exist once per sentence; the
    rows of a sentence stand side by side and are its queries.

    Attributes:
        length: number of steps taken.
        keys, values: per layer, (sentences, num_heads, src_len, head_dim).
        source_mask: True where a source position may be attended to, (sentences, 1, 1, src_len).
        columns: see `EncoderOutput`, (sentences, src_len).
        sentence_of_row: (rows,), sorted so that the rows of a sentence are neighbours, each sentence with as many.
        ancestors: for each row and step, the place of its input in the flattened history, (rows, length).
    """

    def __init__(
        self,
        keys: list[Tensor],
        values: list[Tensor],
        source_mask: Tensor,
        columns: Tensor,
        sentence_of_row: Tensor,
        most_rows: int | None = None,
    ) -> None:
        self.length = 0
        self.keys, self.values, self.source_mask, self.columns = keys, values, source_mask, columns
        self.sentence_of_row = torch.arange(columns.size(0), device=columns.device)
        self._slots = most_rows or sentence_of_row.size(0)
        self._histories: list[Tensor] = []
        self.ancestors = sentence_of_row.new_empty(sentence_of_row.size(0), 0)
        self._regroup(sentence_of_row)

    @property
    def rows(self) -> int:
        return self.ancestors.size(0)

    def advance(self) -> None:
        """Makes room for the inputs of one more step."""
        slots = torch.arange(self.rows, device=self.ancestors.device) + self.length * self._slots
        self.ancestors = torch.cat([self.ancestors, slots[:, None]], dim=1)
        self.length += 1

    def remember(self, layer: int, x: Tensor) -> Tensor:
        """Writes the newest input of a layer, (rows, dim).

        Returns:
            All inputs of the layer so far, flattened: (steps * slots, dim).
        """
        if len(self._histories) <= layer:
            self._histories.append(x.new_empty(FIRST_CAPACITY, self._slots, x.size(1)))
        history = self._histories[layer]
        if self.length > history.size(0):
            history = torch.cat([history, torch.empty_like(history)])
            self._histories[layer] = history
        history[self.length - 1, : x.size(0)] = x
        return history[: self.length].flatten(0, 1)

    def reorder(self, origins: Tensor) -> None:
        """Row r goes on from what row `origins[r]` was.

        Args:
            origins: (rows after,), at most `most_rows`. Rows may vanish, be copied, or change places.
        """
        self.ancestors = self.ancestors.index_select(0, origins)
        self._regroup(self.sentence_of_row.index_select(0, origins))

    def _regroup(self, sentence_of_row: Tensor) -> None:
        """Makes keys and values fit rows that belong to the sentences given, copying only when sentences come or go."""
        if torch.equal(sentence_of_row, self.sentence_of_row):
            return
        sentences, counts = torch.unique_consecutive(sentence_of_row, return_counts=True)
        if not bool((counts == counts[0]).all()):
            sentences = sentence_of_row  # uneven groups: every row gets its own copy
        group = sentence_of_row.size(0) // sentences.size(0)
        if not torch.equal(sentences, torch.arange(self.columns.size(0), device=sentences.device)):
            self.keys = [keys.index_select(0, sentences) for keys in self.keys]
            self.values = [values.index_select(0, sentences) for values in self.values]
            self.source_mask = self.source_mask.index_select(0, sentences)
            self.columns = self.columns.index_select(0, sentences)
        self.sentence_of_row = torch.arange(sentences.size(0), device=sentences.device).repeat_interleave(group)
