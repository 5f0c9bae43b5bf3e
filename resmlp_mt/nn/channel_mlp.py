"""The MLP over channels: two linear layers with a non-linearity between them."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from resmlp_mt.common.errors import require_choice
from resmlp_mt.nn.affine import Affine
from resmlp_mt.nn.kernels.linear import Linear, PackedLinear, scale_input, scale_output
from resmlp_mt.nn.kernels.matmul import linear

ACTIVATIONS = {"gelu": F.gelu, "relu": F.relu, "silu": F.silu, "hardswish": F.hardswish}


class ChannelMLP(nn.Module):
    r"""$\mathrm{MLP}(x) = C\,\mathrm{GELU}(B x)$ with B: (hidden_dim, dim) and C: (dim, hidden_dim), both with biases.

    Source: arXiv:2105.03404, equation 3; other activations from its ablations.

    Args:
        dim: number of channels.
        hidden_dim: number of channels between the two layers; the paper's is 4 * dim.
        activation: one of `ACTIVATIONS`.
        dropout: probability of dropping what the activation gives.

    Raises:
        ResMLPError: if `activation` is unknown.
    """

    def __init__(self, dim: int, hidden_dim: int, activation: str = "gelu", dropout: float = 0.0) -> None:
        super().__init__()
        require_choice("activation", activation, tuple(ACTIVATIONS))
        self.fc1 = Linear(dim, hidden_dim)
        self.fc2 = Linear(hidden_dim, dim)
        self.activation = ACTIVATIONS[activation]
        self.dropout = dropout
        for layer in (self.fc1, self.fc2):
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Maps (..., dim) to (..., dim)."""
        if isinstance(self.fc1, PackedLinear) and self.activation is F.gelu:
            hidden = self.fc1.forward_gelu(x)
        else:
            hidden = self.activation(self.fc1(x))
        return self.fc2(F.dropout(hidden, self.dropout, self.training))

    def between(self, x: Tensor, before: nn.Module, after: Affine) -> Tensor:
        """`after(self(before(x)))`, the Affine transformations folded into the weights at each call; differentiable.

        They then cost passes over the weights instead of passes over x and its gradient, which are larger in training;
        where they are not, nothing is folded.
        """
        weight, bias = self.fc1.weight, self.fc1.bias
        if x.numel() < weight.numel():
            return after(self(before(x)))
        if isinstance(before, Affine):
            weight, bias = weight * before.alpha, bias + weight @ before.shift()
        else:
            x = before(x)
        hidden = F.dropout(self.activation(linear(x, weight, bias)), self.dropout, self.training)
        scaled = self.fc2.weight * after.alpha[:, None]
        return linear(hidden, scaled, torch.addcmul(after.shift(), self.fc2.bias, after.alpha))

    @torch.no_grad()
    def absorb(self, before: nn.Module, after: Affine) -> bool:
        """Takes the transformations around it into its weights, for inference. Returns whether `before` could be."""
        scale_output(self.fc2, after)
        if isinstance(before, Affine):
            scale_input(self.fc1, before)
            return True
        return False
