"""What an image classifier is made of."""

from __future__ import annotations

from dataclasses import dataclass, replace

from resmlp_mt.common.errors import require, require_choice, require_flag, require_number, require_whole_number
from resmlp_mt.nn.affine import IMAGE_NORMS
from resmlp_mt.nn.channel_mlp import ACTIVATIONS
from resmlp_mt.nn.grid_mixing import MIXINGS

POOLINGS = ("average", "class_mlp")
LARGEST_NUMBER = 1_000_000  # no size of a model comes near it; refuses settings made to fill the memory
_MOST_PATCHES = 16_384  # their mixing matrix takes 1 GiB a layer


@dataclass(frozen=True)
class ClassifierSettings:
    """Size and kind of a classifier. The defaults are ResMLP-S12's of arXiv:2105.03404.

    Attributes:
        image_size: height and width of the images in pixels; one number where they are equal.
        patch_size: side of a patch in pixels.
        channels: of the images: 3 for colours, 1 for grey.
        dim: channels of the tokens.
        depth: number of layers.
        hidden_ratio: hidden channels of the channel MLP, in multiples of dim.
        num_classes: of the head; 0 for none, so that the features are the output.
        norm: what stands before each sublayer and the pooling, see `resmlp_mt.nn.affine.IMAGE_NORMS`.
        mixing: what mixes the patches, see `resmlp_mt.nn.grid_mixing.MIXINGS`.
        pooling: from patches to one vector, one of `POOLINGS`.
        activation: of the MLPs, see `resmlp_mt.nn.channel_mlp.ACTIVATIONS`.
        layer_scale: start of the scale behind each sublayer.
        post_bias: whether a bias stands beside that scale. Note: the paper's equations have it, its pseudo-code and its
            image models do not, so by default there is none.
        init_std: deviation of the truncated normal distribution that all matrices start from, but the first.
        drop_path: probability of leaving out a sublayer for an image, the same for all layers.

    Raises:
        ResMLPError: when something is out of range or does not fit.
    """

    image_size: int | tuple[int, int] = 224
    patch_size: int = 16
    channels: int = 3
    dim: int = 384
    depth: int = 12
    hidden_ratio: float = 4.0
    num_classes: int = 1000
    norm: str = "affine"
    mixing: str = "linear"
    pooling: str = "average"
    activation: str = "gelu"
    layer_scale: float = 0.1
    post_bias: bool = False
    init_std: float = 0.02
    drop_path: float = 0.0

    def __post_init__(self) -> None:
        if isinstance(self.image_size, list):  # as JSON has it
            object.__setattr__(self, "image_size", tuple(self.image_size))
        sides = self.image_size if isinstance(self.image_size, tuple) else (self.image_size,)
        require(len(sides) in (1, 2), "image_size", "one or two whole numbers", self.image_size, "change it")
        for name, value in (*(("image_size", side) for side in sides), *self._sizes()):
            require_whole_number(name, value, 1, LARGEST_NUMBER)
        require_whole_number("num_classes", self.num_classes, 0, LARGEST_NUMBER, "0 means no head")
        for name in ("hidden_ratio", "layer_scale", "init_std", "drop_path"):
            require_number(name, getattr(self, name), 0, LARGEST_NUMBER)
        require_flag("post_bias", self.post_bias)
        require(self.hidden_dim >= 1, "hidden_ratio", "above 0", self.hidden_ratio, "the paper's is 4")
        require(0 <= self.drop_path < 1, "drop_path", "at least 0 and below 1", self.drop_path, "give a probability")
        require(self.init_std > 0, "init_std", "above 0", self.init_std, "the authors' is 0.02")
        require_choice("norm", self.norm, IMAGE_NORMS)
        require_choice("mixing", self.mixing, MIXINGS)
        require_choice("pooling", self.pooling, POOLINGS)
        require_choice("activation", self.activation, tuple(ACTIVATIONS))
        fits = all(side > 0 and side % self.patch_size == 0 for side in self.size)
        rule = f"a multiple of patch_size {self.patch_size}"
        require(fits, "image_size", rule, self.image_size, "change one of the two")
        most = f"of at most {_MOST_PATCHES} patches"
        require(self.patches <= _MOST_PATCHES, "image_size", most, f"of {self.patches}", "lower it")

    def _sizes(self) -> list[tuple[str, int]]:
        return [(name, getattr(self, name)) for name in ("patch_size", "channels", "dim", "depth")]

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the images."""
        return (self.image_size, self.image_size) if isinstance(self.image_size, int) else self.image_size

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of patches."""
        height, width = self.size
        return height // self.patch_size, width // self.patch_size

    @property
    def patches(self) -> int:
        """Number of patches."""
        return self.grid[0] * self.grid[1]

    @property
    def hidden_dim(self) -> int:
        """Hidden channels of the channel MLP."""
        return int(self.dim * self.hidden_ratio)

    def at_image_size(self, image_size: int | tuple[int, int]) -> ClassifierSettings:
        """The same for images of another size.

        Raises:
            ResMLPError: when patches do not divide the size, or the mixing is tied to the number of patches.
        """
        changed = replace(self, image_size=image_size)
        require(
            self.mixing != "mlp" or changed.grid == self.grid,
            "mixing",
            "anything but mlp, whose hidden units belong to a number of patches, to change the image size",
            self.mixing,
            "keep the image size",
        )
        return changed
