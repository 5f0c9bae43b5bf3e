"""Left-aligned sentences: row t of a mixing matrix belongs to the t-th token, wherever the padding is."""

from __future__ import annotations

from torch import Tensor


def left_align(tokens: Tensor, padding_mask: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Moves the tokens of every sentence to the left, in their order, wherever the padding was.

    Args:
        tokens: (batch, len).
        padding_mask: True at padding, (batch, len).

    Returns:
        The moved tokens, their padding mask, and the position in `tokens` from which each moved token came, each
        (batch, len).
    """
    positions = padding_mask.byte().argsort(dim=1, stable=True)
    return tokens.gather(1, positions), padding_mask.gather(1, positions), positions


def undo_left_align(values: Tensor, positions: Tensor) -> Tensor:
    """Moves values of aligned positions back to their original positions.

    Args:
        values: (..., len).
        positions: from `left_align`, of the shape of `values` or expandable to it.

    Returns:
        (..., len).
    """
    return values.new_zeros(values.shape).scatter(-1, positions.expand_as(values), values)
