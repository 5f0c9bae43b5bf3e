"""The state of causal mixing between the steps of a search: its inputs, and the beams that they belong to."""

from __future__ import annotations

import torch
from torch import Tensor

INITIAL_CAPACITY = 16  # steps; doubled whenever it is full


class BeamHistory:
    """The steps that every row (a beam of a sentence) has taken, shared by the caches of all layers.

    Inputs are written once and never moved. Reordering the beams only permutes the table of backpointers.

    Attributes:
        length: number of steps taken.
        slots: maximum number of rows per step.
        backpointers: index of the input of each row and step in the flattened cache, (rows, length).
    """

    def __init__(self, rows: int, slots: int, device: torch.device) -> None:
        self.length = 0
        self.slots = slots
        self.backpointers = torch.empty(rows, 0, dtype=torch.long, device=device)

    def advance(self) -> None:
        """Begins the next step: the newest input of row r will be in slot r."""
        rows = self.backpointers.size(0)
        newest = torch.arange(rows, device=self.backpointers.device) + self.length * self.slots
        self.backpointers = torch.cat([self.backpointers, newest[:, None]], dim=1)
        self.length += 1

    def reorder(self, new_order: Tensor) -> None:
        """Row r continues from the previous row `new_order[r]`; (new rows,), at most `slots`."""
        self.backpointers = self.backpointers.index_select(0, new_order)


class MixingCache:
    """The inputs of one mixing layer at all steps so far.

    Args:
        beams: of the search.
    """

    def __init__(self, beams: BeamHistory) -> None:
        self.beams = beams
        self._inputs: Tensor | None = None  # (capacity, slots, dim)

    def append(self, x: Tensor) -> Tensor:
        """Stores the inputs of the newest step, for which `beams` has advanced.

        Args:
            x: (rows, dim).

        Returns:
            The inputs of all steps, to be indexed by the backpointers: (length * slots, dim).
        """
        inputs, length = self._inputs, self.beams.length
        if inputs is None:
            inputs = self._inputs = x.new_empty(INITIAL_CAPACITY, self.beams.slots, x.size(1))
        elif length > inputs.size(0):
            inputs = self._inputs = torch.cat([inputs, torch.empty_like(inputs)])
        inputs[length - 1, : x.size(0)] = x
        return inputs[:length].flatten(0, 1)
