"""The options of an image classifier, defined only here; see `resmlp_mt.common.config`."""

from __future__ import annotations

from dataclasses import dataclass, replace

from resmlp_mt.common.config import check_config, option
from resmlp_mt.common.errors import ResMLPError
from resmlp_mt.nn.affine import IMAGE_NORMS
from resmlp_mt.nn.channel_mlp import ACTIVATIONS
from resmlp_mt.nn.grid_mixing import MIXINGS

POOLINGS = ("average", "class_mlp")
_MAX_PATCHES = 16_384  # a mixing matrix of 1 GiB per layer


@dataclass(frozen=True)
class ClassifierConfig:
    """Options of a classifier, with the defaults of ResMLP-S12. "Paper" is arXiv:2105.03404, "deit" the authors' code.

    Raises:
        ResMLPError: if a value is not allowed, or two are inconsistent.
    """

    image_size: int | tuple[int, int] = option(
        224, "height and width of the images in pixels; one number for square images", source="paper: 224", minimum=1
    )
    patch_size: int = option(16, "side length of a patch in pixels", source="paper: 16, 14 or 8", minimum=1)
    channels: int = option(3, "channels of the images: 3 for RGB, 1 for greyscale", source="paper: 3", minimum=1)
    dim: int = option(384, "model dim", source="paper: 384 for S, 768 for B", minimum=1)
    depth: int = option(12, "number of layers", source="paper: 12, 24 or 36", minimum=1)
    hidden_ratio: float = option(4.0, "hidden dim of the MLP in multiples of the model dim", source="paper: 4")
    num_classes: int = option(1000, "number of classes; 0: no head, the model returns features", source="paper: 1000")
    norm: str = option(
        "affine",
        "normalization before each sublayer and before the pooling",
        source="paper: affine",
        choices=IMAGE_NORMS,
    )
    mixing: str = option(
        "linear", "how patches are mixed", source="paper: linear; others in its ablations", choices=MIXINGS
    )
    pooling: str = option(
        "average", "how the patches are pooled into one vector", source="paper: average, or class-MLP", choices=POOLINGS
    )
    activation: str = option("gelu", "activation of the MLPs", source="paper, eq. 3: gelu", choices=ACTIVATIONS)
    layer_scale: float = option(
        0.1, "initial LayerScale after each sublayer", source="deit: 0.1, 1e-5 or 1e-6 for 12, 24, 36 layers"
    )
    post_bias: bool = option(
        False,
        "bias in the Affine (LayerScale) after each sublayer",
        source="in the paper's equations, not in its pseudo-code and image models",
    )
    init_std: float = option(
        0.02,
        "standard deviation of the truncated normal initialisation of all matrices but the patch embedding",
        source="deit",
    )
    drop_path: float = option(
        0.0, "probability of skipping a sublayer for an image, in all layers", source="deit, issue 106: 0.05", below=1
    )

    def __post_init__(self) -> None:
        check_config(self)
        for name in ("hidden_ratio", "init_std"):
            if not getattr(self, name):
                raise ResMLPError(f"{name} must be above 0, but is {getattr(self, name)}")
        if self.hidden_dim < 1:
            raise ResMLPError(f"hidden_ratio {self.hidden_ratio} leaves no hidden dim at dim {self.dim}; raise it")
        if any(side % self.patch_size for side in self.size):
            raise ResMLPError(
                f"image_size must be a multiple of patch_size {self.patch_size}, but is {self.image_size}; "
                "change one of the two"
            )
        if self.patches > _MAX_PATCHES:
            raise ResMLPError(
                f"an image of size {self.image_size} has {self.patches} patches of {self.patch_size} pixels, but at "
                f"most {_MAX_PATCHES} are supported; lower image_size"
            )

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
        """Hidden dim of the MLP."""
        return int(self.dim * self.hidden_ratio)

    def at_image_size(self, image_size: int | tuple[int, int]) -> ClassifierConfig:
        """Returns a copy for images of another size.

        Raises:
            ResMLPError: if patches do not divide the image size, or the mixing needs a fixed number of patches.
        """
        changed = replace(self, image_size=image_size)
        if self.mixing == "mlp" and changed.grid != self.grid:
            raise ResMLPError(
                "mixing mlp has a fixed number of patches and cannot change the image size; keep the size"
            )
        return changed
