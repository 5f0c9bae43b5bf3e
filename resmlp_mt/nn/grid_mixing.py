"""What the paper's ablations put in the place of the mixing matrix: an MLP over patches, and convolutions 3 x 3.

Source: arXiv:2105.03404, section 3.4 and table 4.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from resmlp_mt.common.errors import require_choice
from resmlp_mt.nn.channel_mlp import ACTIVATIONS
from resmlp_mt.nn.mixing import FullTokenMixing

MIXINGS = ("linear", "none", "mlp", "conv", "depthwise", "separable")
CONVOLUTIONS = MIXINGS[3:]


class TokenMLP(nn.Module):
    """Two linear layers over the patches with a non-linearity between them, the same for every channel.

    Note: the paper does not give the hidden size; four times the patches gives its number of parameters.

    Args:
        patches: number of patches.
        hidden_dim: between the two layers.
        activation: one of `resmlp_mt.nn.channel_mlp.ACTIVATIONS`.

    Raises:
        ResMLPError: if `activation` is unknown.
    """

    def __init__(self, patches: int, hidden_dim: int, activation: str = "gelu") -> None:
        super().__init__()
        require_choice("activation", activation, tuple(ACTIVATIONS))
        self.fc1 = nn.Linear(patches, hidden_dim)
        self.fc2 = nn.Linear(hidden_dim, patches)
        self.activation = ACTIVATIONS[activation]

    def forward(self, x: Tensor) -> Tensor:
        """Maps (patches, batch, dim) to (patches, batch, dim)."""
        columns = x.reshape(x.size(0), -1)  # (patches, batch * dim)
        hidden = self.activation(torch.addmm(self.fc1.bias[:, None], self.fc1.weight, columns))
        return torch.addmm(self.fc2.bias[:, None], self.fc2.weight, hidden).view_as(x)


class GridConvolution(nn.Module):
    """A convolution 3 x 3 over the grid of patches, with zeros around it.

    Args:
        kind: "conv" (every channel from every channel), "depthwise" (each from itself), or "separable" (depthwise,
            then a linear layer over channels).
        dim: number of channels.
        grid: rows and columns of patches.
    """

    def __init__(self, kind: str, dim: int, grid: tuple[int, int]) -> None:
        super().__init__()
        self.grid = grid
        self.convolution = nn.Conv2d(dim, dim, 3, padding=1, groups=1 if kind == "conv" else dim)
        self.pointwise: nn.Module = nn.Linear(dim, dim) if kind == "separable" else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """Maps (patches, batch, dim) to (patches, batch, dim)."""
        picture = x.view(*self.grid, *x.shape[1:]).permute(2, 3, 0, 1)  # (batch, dim, rows, columns)
        mixed = self.convolution(picture).permute(2, 3, 0, 1)  # (rows, columns, batch, dim)
        return self.pointwise(mixed.reshape(x.shape))


def build_mixing(
    kind: str, grid: tuple[int, int], dim: int, activation: str = "gelu", init_std: float = 0.02
) -> nn.Module | None:
    """Makes the sublayer that mixes patches.

    Args:
        kind: one of `MIXINGS`; the paper's is "linear".
        grid: rows and columns of patches.
        dim: number of channels.
        activation: of "mlp".
        init_std: deviation of the truncated normal distribution from which the matrix of "linear" starts.

    Returns:
        The sublayer, or None for "none".

    Raises:
        ResMLPError: if `kind` is unknown.
    """
    require_choice("mixing", kind, MIXINGS)
    patches = grid[0] * grid[1]
    if kind == "linear":
        return FullTokenMixing(patches, init_std=init_std)
    if kind == "mlp":
        return TokenMLP(patches, 4 * patches, activation)
    return GridConvolution(kind, dim, grid) if kind in CONVOLUTIONS else None
