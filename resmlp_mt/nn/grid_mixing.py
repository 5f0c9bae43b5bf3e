"""The paper's ablations of the mixing matrix: an MLP over patches, or a 3 x 3 convolution.

Source: arXiv:2105.03404, section 3.4 and table 4.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from resmlp_mt.common.errors import require_choice
from resmlp_mt.nn.affine import Affine
from resmlp_mt.nn.channel_mlp import ACTIVATIONS
from resmlp_mt.nn.mixing import FullTokenMixing
from resmlp_mt.nn.sublayer import Sublayer

MIXINGS = ("linear", "none", "mlp", "conv", "depthwise", "separable")
CONVOLUTIONS = MIXINGS[3:]


class TokenMLP(nn.Module):
    r"""Two linear layers over the patches with a non-linearity in between, the same for every feature.

    $$y = C\,\mathrm{GELU}(B x + b) + c$$

    Source: arXiv:2105.03404, section 3.4 and table 4. Note: the paper does not give the hidden size; four times the
    number of patches gives its number of parameters.

    Args:
        patches: number of patches.
        hidden_dim: hidden size.
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
        features = x.reshape(x.size(0), -1)  # (patches, batch * dim)
        hidden = self.activation(torch.addmm(self.fc1.bias[:, None], self.fc1.weight, features))
        return torch.addmm(self.fc2.bias[:, None], self.fc2.weight, hidden).view_as(x)

    def fold_affine_(self, _pre: Affine | None, _post: Affine) -> bool:
        """See `Sublayer`: returns False, since folding is not implemented for this ablation."""
        return False


class GridConvolution(nn.Module):
    """A 3 x 3 convolution over the grid of patches, padded with zeros.

    Source: arXiv:2105.03404, section 3.4 and table 4.

    Args:
        kind: "conv" (every feature from all features), "depthwise" (every feature from itself), or "separable"
            (depthwise, then a linear layer over features).
        dim: model dim.
        grid: rows and columns of patches.
    """

    def __init__(self, kind: str, dim: int, grid: tuple[int, int]) -> None:
        super().__init__()
        self.grid = grid
        self.convolution = nn.Conv2d(dim, dim, 3, padding=1, groups=1 if kind == "conv" else dim)
        self.pointwise: nn.Module = nn.Linear(dim, dim) if kind == "separable" else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """Maps (patches, batch, dim) to (patches, batch, dim)."""
        image = x.view(*self.grid, *x.shape[1:]).permute(2, 3, 0, 1)  # (batch, dim, rows, columns)
        mixed = self.convolution(image).permute(2, 3, 0, 1)  # (rows, columns, batch, dim)
        return self.pointwise(mixed.reshape(x.shape))

    def fold_affine_(self, _pre: Affine | None, _post: Affine) -> bool:
        """See `Sublayer`: returns False, since the grid is padded with zeros between the Affine and the convolution."""
        return False


def build_mixing(
    kind: str, grid: tuple[int, int], dim: int, activation: str = "gelu", init_std: float = 0.02
) -> Sublayer | None:
    """Makes the sublayer that mixes patches.

    Args:
        kind: one of `MIXINGS`; the paper's is "linear".
        grid: rows and columns of patches.
        dim: model dim.
        activation: of "mlp".
        init_std: standard deviation of the matrix of "linear" at initialisation.

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
