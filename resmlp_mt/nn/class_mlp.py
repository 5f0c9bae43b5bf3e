"""Class-MLP: pooling by layers that collect the patches in a class embedding."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from resmlp_mt.nn.affine import Affine, build_norm
from resmlp_mt.nn.channel_mlp import ChannelMLP
from resmlp_mt.nn.residual import ResidualBlock


class ClassLayer(nn.Module):
    r"""Updates the class embedding c from itself and the patches x, which do not change.

    $$c' = c + \mathrm{Aff}_{post}(w_0\,\mathrm{Aff}_{pre}(c) + \sum_t w_t\,\mathrm{Aff}_{pre}(x_t) + b), \qquad
    c'' = c' + \mathrm{Aff}_{post}(\mathrm{MLP}(\mathrm{Aff}_{pre}(c')))$$

    Source: arXiv:2105.03404, section 2, "Class-MLP as an alternative to average-pooling": the class layers of CaiT
    (arXiv:2103.17239, section 3) with a linear layer over the patches instead of attention. Note: the paper gives
    no equation; one weight per patch, the same for every feature, gives its number of parameters.

    Args:
        patches: number of patches.
        dim: model dim.
        mlp: the MLP over features.
        norm: in front of the sublayers, see `build_norm`.
        layer_scale: initial value of each post-Affine's alpha.
        post_bias: whether each post-Affine has a bias.
        init_std: standard deviation of the weights w at initialisation (truncated normal).
    """

    def __init__(
        self,
        patches: int,
        dim: int,
        mlp: ChannelMLP,
        norm: str = "affine",
        layer_scale: float = 0.1,
        post_bias: bool = False,
        init_std: float = 0.02,
    ) -> None:
        super().__init__()
        self.pre = build_norm(norm, dim)
        self.weight = nn.Parameter(torch.empty(1 + patches))
        self.bias = nn.Parameter(torch.zeros(1))
        self.post = Affine(dim, layer_scale, post_bias)
        self.channels = ResidualBlock(mlp, dim, norm, layer_scale, post_bias)
        nn.init.trunc_normal_(self.weight, std=init_std, a=-2 * init_std, b=2 * init_std)

    def forward(self, embedding: Tensor, patches: Tensor) -> Tensor:
        """Maps class embeddings (1, batch, dim) and patches (patches, batch, dim) to new class embeddings."""
        tokens = self.pre(torch.cat((embedding, patches)))  # (1 + patches, batch, dim)
        gathered = torch.addmm(self.bias, self.weight[None], tokens.flatten(1)).view_as(embedding)
        return self.channels(embedding + self.post(gathered))
