"""Optional positional embeddings. The paper's model has none: its mixing matrices depend on the position."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from resmlp_mt.common.errors import require_choice

POSITIONAL_EMBEDDINGS = ("none", "learned", "sinusoidal")


def sinusoids(max_len: int, dim: int) -> Tensor:
    r"""Sines in the even features, cosines in the odd ones, as a table (max_len, dim).

    $$p_{t,2i} = \sin(t / 10000^{2i/d}), \qquad p_{t,2i+1} = \cos(t / 10000^{2i/d})$$

    Source: Vaswani et al. 2017, section 3.5.
    """
    position = torch.arange(max_len)[:, None]
    frequency = torch.exp(torch.arange(0, dim, 2) * (-math.log(10000.0) / dim))
    table = torch.zeros(max_len, dim)
    table[:, 0::2] = torch.sin(position * frequency)
    table[:, 1::2] = torch.cos(position * frequency[: dim // 2])
    return table


class PositionalEmbedding(nn.Module):
    """Adds a vector to every position.

    Args:
        kind: "learned" (initialised from a normal distribution with standard deviation dim ** -0.5) or "sinusoidal"
            (fixed).
        max_len: number of positions.
        dim: model dim.

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
            if (
                not self.weight.is_meta
            ):  # on the meta device it is filled when the file is read, see `resmlp_mt.nn.skeleton`
                self.fill_in()

    def fill_in(self) -> None:
        """Computes the sinusoids of a module that was created on the meta device; checkpoints do not contain them."""
        if not isinstance(self.weight, nn.Parameter):
            self.weight = sinusoids(*self.weight.shape)

    def forward(self, x: Tensor, start: int = 0) -> Tensor:
        """Maps (len, batch, dim), where `start` is the first position, to (len, batch, dim)."""
        return x + self.weight[start : start + x.size(0), None].to(x.dtype)
