"""From images to tokens: every patch becomes one vector."""

from __future__ import annotations

from torch import Tensor, nn

from resmlp_mt.common.errors import ResMLPError
from resmlp_mt.nn.kernels.linear import Linear


class PatchEmbed(nn.Module):
    """Splits images into square patches that do not overlap and maps each to a vector with a linear layer.

    This is a convolution whose stride is its width, written as a matmul whose result needs no transpose.
    Source: arXiv:2105.03404, section 2.

    Args:
        channels: number of image channels.
        patch_size: side of a patch in pixels.
        dim: model dim.
    """

    def __init__(self, channels: int, patch_size: int, dim: int) -> None:
        super().__init__()
        self.patch_size = patch_size
        self.proj = Linear(channels * patch_size**2, dim)

    def forward(self, images: Tensor) -> Tensor:
        """Maps images (batch, channels, height, width) to tokens (patches, batch, dim), row by row of the grid.

        Raises:
            ResMLPError: if a side is not a multiple of the patch size.
        """
        return self.proj(self._patches(images))

    def _patches(self, images: Tensor) -> Tensor:
        """The pixels of each patch: (patches, batch, channels * patch_size ** 2)."""
        batch, channels, height, width = images.shape
        side = self.patch_size
        if height % side or width % side:
            raise ResMLPError(
                f"images of {height} x {width} pixels cannot be split into patches of {side} x {side}; resize the "
                f"images to multiples of {side}"
            )
        rows, columns = height // side, width // side
        patches = images.reshape(batch, channels, rows, side, columns, side).permute(2, 4, 0, 1, 3, 5)
        return patches.reshape(rows * columns, batch, channels * side * side)
