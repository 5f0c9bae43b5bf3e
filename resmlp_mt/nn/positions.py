"""Optional positional embeddings. The paper's model has none: its mixing matrices know the positions."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from resmlp_mt.common.errors import require_choice

POSITIONAL_EMBEDDINGS = ("none", "learned", "sinusoidal")


def sinusoids(max_len: int, dim: int) -> Tensor:
    """Sines in the even, cosines in the odd channels: (max_len, dim). Source: Vaswani et al. 2017, section 3.5."""
    position = torch.arange(max_len)[:, None]
    frequency = torch.exp(torch.arange(0, dim, 2) * (-math.log(10000.0) / dim))
    table = torch.zeros(max_len, dim)
    table[:, 0::2] = torch.sin(position * frequency)
    table[:, 1::2] = torch.cos(position * frequency[: dim // 2])
    return table


class PositionalEmbedding(nn.Module):
    """Adds a vector to every position.

    Args:
        kind: "learned" (started from a normal distribution of deviation dim ** -0.5) or "sinusoidal" (fixed).
        max_len: number of positions.
        dim: number of channels.

    Raises:
        ResMLPError: if `kind` is unknown.
    """

    weight: Tensor

    def __init__(self, kind: str, max_len: int, dim: int) -> None:
        super().__init__()
        require_choice("positional embeddings", kind, POSITIONAL_EMBEDDINGS[1:])
        if kind == "learned":
            self.weight = nn.Parameter(torch.empty(max_len, dim))
            nn.init.normal_(self.weight, std=dim**-0.5)
        else:
            self.register_buffer("weight", torch.empty(max_len, dim), persistent=False)
            if not self.weight.is_meta:  # else it is for the reader of a file, see `resmlp_mt.nn.skeleton`
                self.fill_in()

    def fill_in(self) -> None:
        """Computes sinusoids anew in a module that was made without memory; they are not in a checkpoint."""
        if not isinstance(self.weight, nn.Parameter):
            self.weight = sinusoids(*self.weight.shape)

    def forward(self, x: Tensor, start: int = 0) -> Tensor:
        """Maps (len, batch, dim), whose first position is `start`, to (len, batch, dim)."""
        return x + self.weight[start : start + x.size(0), None].to(x.dtype)
