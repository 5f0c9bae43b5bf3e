"""The MLP over features, the same at every position: two linear layers with a non-linearity in between."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from resmlp_mt.common.errors import require_choice
from resmlp_mt.nn.affine import Affine
from resmlp_mt.nn.kernels.folding import fold_input, fold_input_, fold_output_
from resmlp_mt.nn.kernels.linear import Activation, Linear
from resmlp_mt.nn.kernels.matmul import linear

ACTIVATIONS: dict[str, Activation] = {"gelu": F.gelu, "relu": F.relu, "silu": F.silu, "hardswish": F.hardswish}


class ChannelMLP(nn.Module):
    r"""$\mathrm{MLP}(x) = C\,\mathrm{GELU}(B x)$ with B: (hidden_dim, dim) and C: (dim, hidden_dim), both with biases.

    Source: arXiv:2105.03404, equation 3; the other activations are from its ablations (section 3.4).

    Args:
        dim: model dim.
        hidden_dim: FFN dim; the paper's is 4 * dim.
        activation: one of `ACTIVATIONS`.
        dropout: probability of dropping an output of the activation.

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
        hidden = self.fc1.forward_activated(x, self.activation)
        return self.fc2(F.dropout(hidden, self.dropout, self.training))

    def step(self, x: Tensor) -> Tensor:
        """See `StepSublayer`: (rows, dim) to (rows, dim); positions are independent of each other."""
        return self.forward(x)

    def forward_fused(self, x: Tensor, pre: Affine | None, post: Affine) -> Tensor:
        """See `FusedSublayer`: the Affine transformations are applied to the weights instead of to x.

        That costs less where the weights are smaller than x and its gradient; where they are not, nothing is fused.
        """
        weight: Tensor = self.fc1.weight
        bias: Tensor = self.fc1.bias
        if x.numel() < weight.numel():
            return post(self(x if pre is None else pre(x)))
        if pre is not None:
            weight, bias = fold_input(weight, bias, *pre.coefficients())
        hidden = F.dropout(self.activation(linear(x, weight, bias)), self.dropout, self.training)
        alpha, beta = post.coefficients()
        return linear(hidden, self.fc2.weight * alpha[:, None], torch.addcmul(beta, self.fc2.bias, alpha))

    def fold_affine_(self, pre: Affine | None, post: Affine) -> bool:
        """See `Sublayer`."""
        fold_output_(self.fc2, *post.coefficients())
        if pre is not None:
            fold_input_(self.fc1, *pre.coefficients())
        return True
