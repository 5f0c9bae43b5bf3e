"""From images to tokens: every patch becomes one vector."""

from __future__ import annotations

from torch import Tensor, nn

from resmlp_mt.common.errors import require
from resmlp_mt.nn.kernels.linear import Linear


class PatchEmbed(nn.Module):
    """Cuts images into square patches that do not overlap and maps each to a vector, all with the same linear layer.

    That is a convolution whose stride is its width, written as one matrix product, whose result needs no transpose.
    Source: arXiv:2105.03404, section 2.

    Args:
        channels: of the images.
        patch_size: side of a patch in pixels.
        dim: channels of the tokens.
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
        return self.proj(self.cut(images))

    def cut(self, images: Tensor) -> Tensor:
        """The pixels of each patch: (patches, batch, channels * patch_size ** 2)."""
        batch, channels, height, width = images.shape
        side = self.patch_size
        whole = height % side == 0 and width % side == 0
        require(whole, "height and width", f"multiples of the patch size {side}", (height, width), "resize the images")
        rows, columns = height // side, width // side
        patches = images.reshape(batch, channels, rows, side, columns, side).permute(2, 4, 0, 1, 3, 5)
        return patches.reshape(rows * columns, batch, channels * side * side)
