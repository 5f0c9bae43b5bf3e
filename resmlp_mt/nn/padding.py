"""Moving sentences to the left edge, since a mixing matrix is indexed by absolute position."""

from __future__ import annotations

from torch import Tensor


def left_align(tokens: Tensor, padding_mask: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Moves the tokens of every sentence to the left edge, in their order, wherever the padding was.

    Args:
        tokens: (batch, len).
        padding_mask: True at padding, (batch, len).

    Returns:
        The moved tokens and their padding mask, both (batch, len), and `columns`: the column of `tokens` from which
        each moved token came, (batch, len).
    """
    columns = padding_mask.byte().argsort(dim=1, stable=True)
    return tokens.gather(1, columns), padding_mask.gather(1, columns), columns


def restore_columns(values: Tensor, columns: Tensor) -> Tensor:
    """Undoes `left_align` for values of positions, (..., len), with `columns` of the same shape or expandable."""
    columns = columns.expand_as(values)
    return values.new_zeros(values.shape).scatter(-1, columns, values)
