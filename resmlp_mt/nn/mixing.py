r"""Token mixing: a learned matrix A over positions, instead of self-attention.

$$y_t = \sum_s A_{ts} x_s + b_t$$

The same A mixes every feature. A sequence of length T uses exactly `A[:T, :T]`.
Source: arXiv:2105.03404, equation 2, and section 2 "Sequence-to-sequence ResMLP" for variable lengths (pad with zeros,
take the top-left submatrix of A) and for the decoder (A triangular). Note: the paper's image models have a bias b per
position; it does not say whether the translation models do, nor how A is initialised: here as in the authors' image
code, from a truncated normal distribution.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from resmlp_mt.common.errors import ResMLPError
from resmlp_mt.nn.affine import Affine
from resmlp_mt.nn.kernels.folding import fold_mixing
from resmlp_mt.nn.kernels.matmul import mixing_matmul
from resmlp_mt.nn.mixing_cache import MixingCache


class TokenMixing(nn.Module):
    """Mixes every position of a sentence with every other; padding counts as zero.

    Args:
        max_len: number of positions of A.
        bias: whether there is a bias b per position.
        init_std: standard deviation of A at initialisation.
    """

    def __init__(self, max_len: int, bias: bool = True, init_std: float = 0.02) -> None:
        super().__init__()
        self.weight, self.bias = _init_parameters(max_len, bias, init_std)

    def forward(self, x: Tensor, padding_mask: Tensor) -> Tensor:
        """Mixes sentences that begin at position 0.

        Args:
            x: (len, batch, dim).
            padding_mask: True at padding, (batch, len).

        Returns:
            (len, batch, dim); undefined at padding.

        Raises:
            ResMLPError: if A has fewer positions.
        """
        return _mix(_submatrix(self.weight, x.size(0)), self.bias, x.masked_fill(padding_mask.t().unsqueeze(-1), 0.0))

    def fold_affine_(self, _pre: Affine | None, _post: Affine) -> bool:
        """See `Sublayer`: returns False, since padding is set to zero between the Affine and the mixing."""
        return False


class CausalTokenMixing(nn.Module):
    r"""Mixes every position with itself and those before it: A is lower triangular.

    `forward`, for whole sentences, and `step`, for one new position at a time, compute the same. Padding must be on the
    right, where no earlier position sees it.

    Args:
        max_len: number of positions of A.
        bias: whether there is a bias b per position.
        init_std: standard deviation of A at initialisation.
    """

    def __init__(self, max_len: int, bias: bool = True, init_std: float = 0.02) -> None:
        super().__init__()
        self.weight, self.bias = _init_parameters(max_len, bias, init_std)
        self.folded: FoldedAffine | None = None

    def forward(self, x: Tensor) -> Tensor:
        """Maps (len, batch, dim) to (len, batch, dim).

        Raises:
            ResMLPError: if A has fewer positions.
        """
        mixed = _mix(_submatrix(self.weight, x.size(0)).tril(), self.bias, x)
        return mixed if self.folded is None else self.folded(mixed)

    def step(self, x: Tensor, cache: MixingCache) -> Tensor:
        """Mixes the newest position of every row with those before it.

        Args:
            x: (rows, dim).
            cache: the inputs of the earlier steps; x is added to it.

        Returns:
            (rows, dim).
        """
        inputs, backpointers = cache.append(x), cache.beams.backpointers
        rows, steps = backpointers.shape
        newest = self.weight[steps - 1, :steps].to(inputs.dtype).expand(rows, steps)
        mixed = F.embedding_bag(backpointers, inputs, per_sample_weights=newest.contiguous(), mode="sum")
        if self.folded is not None:
            return self.folded.at(steps - 1, mixed)
        return mixed if self.bias is None else mixed + self.bias[steps - 1]

    def fold_affine_(self, pre: Affine | None, post: Affine) -> bool:
        """See `Sublayer`."""
        self.folded, self.bias = FoldedAffine(self.weight.tril(), self.bias, pre, post), None
        return True


class FullTokenMixing(nn.Module):
    """Mixes every position with every other in sequences that all have A's length, as the patches of an image.

    Args:
        max_len: number of positions.
        bias: whether there is a bias b per position.
        init_std: standard deviation of A at initialisation.
    """

    def __init__(self, max_len: int, bias: bool = True, init_std: float = 0.02) -> None:
        super().__init__()
        self.weight, self.bias = _init_parameters(max_len, bias, init_std)
        self.folded: FoldedAffine | None = None

    def forward(self, x: Tensor) -> Tensor:
        """Maps (max_len, batch, dim) to (max_len, batch, dim).

        Raises:
            ResMLPError: if x has another number of positions.
        """
        mixed = self._matmul(x)
        if self.folded is not None:
            return self.folded(mixed)
        return mixed if self.bias is None else mixed + self.bias[:, None, None]

    def forward_fused(self, x: Tensor, pre: Affine | None, post: Affine) -> Tensor:
        """See `FusedSublayer`."""
        gain, offset = fold_mixing(self.weight, self.bias, *_coefficients(pre, post))
        return torch.addcmul(offset[:, None], self._matmul(x), gain)

    def fold_affine_(self, pre: Affine | None, post: Affine) -> bool:
        """See `Sublayer`."""
        self.folded, self.bias = FoldedAffine(self.weight, self.bias, pre, post), None
        return True

    def _matmul(self, x: Tensor) -> Tensor:
        """A x, without the bias."""
        length, max_len = x.size(0), self.weight.size(0)
        if length != max_len:
            raise ResMLPError(
                f"the image has {length} patches, but the mixing matrix is for {max_len}; resize the image"
            )
        return mixing_matmul(self.weight, x.reshape(length, -1)).view_as(x)


class FoldedAffine(nn.Module):
    r"""The Affine transformations around a mixing, folded for inference: $(A x)_t \odot g + o_t$.

    Args:
        matrix: A, (max_len, max_len).
        bias: b, (max_len,), or None.
        pre: the Affine in front of the mixing, or None.
        post: the Affine behind it.
    """

    gain: Tensor
    offset: Tensor

    def __init__(self, matrix: Tensor, bias: Tensor | None, pre: Affine | None, post: Affine) -> None:
        super().__init__()
        with torch.no_grad():
            gain, offset = fold_mixing(matrix, bias, *_coefficients(pre, post))
            gain = gain.clone()  # not the parameter alpha itself
        self.register_buffer("gain", gain, persistent=False)  # g, (dim,)
        self.register_buffer("offset", offset, persistent=False)  # o, (max_len, dim)

    def forward(self, mixed: Tensor) -> Tensor:
        """Maps A x, (len, batch, dim), to (len, batch, dim)."""
        return torch.addcmul(self.offset[: mixed.size(0), None], mixed, self.gain)

    def at(self, position: int, mixed: Tensor) -> Tensor:
        """Maps row `position` of A x, (rows, dim), to (rows, dim)."""
        return torch.addcmul(self.offset[position], mixed, self.gain)


def _init_parameters(max_len: int, bias: bool, init_std: float) -> tuple[nn.Parameter, nn.Parameter | None]:
    """A, (max_len, max_len), and b, (max_len,) or None."""
    weight = nn.Parameter(torch.empty(max_len, max_len))
    nn.init.trunc_normal_(weight, std=init_std, a=-2 * init_std, b=2 * init_std)
    return weight, nn.Parameter(torch.zeros(max_len)) if bias else None


def _submatrix(weight: Tensor, length: int) -> Tensor:
    """The matrix of a sentence of `length` positions: (length, length)."""
    if length > weight.size(0):
        raise ResMLPError(
            f"a sentence of {length} tokens is longer than the {weight.size(0)} positions of the mixing matrix; "
            "shorten the sentence or train a model with more positions"
        )
    return weight[:length, :length]


def _mix(matrix: Tensor, bias: Tensor | None, x: Tensor) -> Tensor:
    """A x + b: (len, batch, dim) to (len, batch, dim)."""
    length = x.size(0)
    features = x.reshape(length, -1)  # (len, batch * dim)
    if bias is None:
        return (matrix @ features).view_as(x)
    return torch.addmm(bias[:length, None], matrix, features).view_as(x)


def _coefficients(pre: Affine | None, post: Affine) -> tuple[tuple[Tensor, Tensor] | None, tuple[Tensor, Tensor]]:
    return None if pre is None else pre.coefficients(), post.coefficients()
