"""The image classifier: patch embedding, layers of mixing over patches and an MLP, pooling, a linear head.

Source: arXiv:2105.03404, section 2.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import lru_cache
from typing import cast

import torch
from torch import Tensor, nn
from torch.func import functional_call

from resmlp_mt.common.errors import ResMLPError
from resmlp_mt.nn.affine import Affine, build_norm
from resmlp_mt.nn.channel_mlp import ChannelMLP
from resmlp_mt.nn.class_mlp import ClassLayer
from resmlp_mt.nn.grid_mixing import build_mixing
from resmlp_mt.nn.kernels.linear import pack_linears_
from resmlp_mt.nn.mixing import FullTokenMixing
from resmlp_mt.nn.patch_embed import PatchEmbed
from resmlp_mt.nn.residual import ResidualBlock
from resmlp_mt.nn.skeleton import without_memory
from resmlp_mt.nn.sublayer import Sublayer
from resmlp_mt.vision.model.config import ClassifierConfig
from resmlp_mt.vision.model.interpolation import interpolate_class_weights, interpolate_mixing

CLASS_LAYERS = 2  # arXiv:2105.03404, section 2, as in CaiT


class MixerLayer(nn.Module):
    r"""One layer of the classifier: mixing over patches, then the MLP, each in a `ResidualBlock`.

    $$z = x + \mathrm{Aff}(A\,\mathrm{Aff}(x)), \qquad y = z + \mathrm{Aff}(\mathrm{MLP}(\mathrm{Aff}(z)))$$

    Source: arXiv:2105.03404, equations 2 and 3.

    Note: the paper does not specify the ablation without mixing; here the whole mixing block is left out.

    Args:
        settings: settings of the classifier.
    """

    def __init__(self, settings: ClassifierConfig) -> None:
        super().__init__()
        mixing = build_mixing(settings.mixing, settings.grid, settings.dim, settings.activation, settings.init_std)
        fuse_mixing = settings.mixing == "linear"
        self.mixing = None if mixing is None else self._block(mixing, settings, fuse_mixing)
        self.channels = self._block(_channel_mlp(settings), settings, fuse_affine=True)

    @staticmethod
    def _block(sublayer: Sublayer, settings: ClassifierConfig, fuse_affine: bool) -> ResidualBlock:
        return ResidualBlock(
            sublayer,
            settings.dim,
            settings.norm,
            settings.layer_scale,
            settings.post_bias,
            drop_path=settings.drop_path,
            fuse_affine=fuse_affine,
        )

    def forward(self, x: Tensor) -> Tensor:
        """Maps (patches, batch, dim) to (patches, batch, dim)."""
        return self.channels(x if self.mixing is None else self.mixing(x))

    def fold_affine_(self) -> None:
        """See `ResidualBlock.fold_affine_`."""
        if self.mixing is not None:
            self.mixing.fold_affine_()
        self.channels.fold_affine_()


def _channel_mlp(settings: ClassifierConfig) -> ChannelMLP:
    return ChannelMLP(settings.dim, settings.hidden_dim, settings.activation)


class ClassifierModel(nn.Module):
    """A ResMLP image classifier with random parameters.

    Args:
        settings: settings of the classifier.
    """

    def __init__(self, settings: ClassifierConfig) -> None:
        super().__init__()
        self.settings = settings
        self.patch_embed = PatchEmbed(settings.channels, settings.patch_size, settings.dim)
        self.layers = nn.ModuleList(MixerLayer(settings) for _ in range(settings.depth))
        self.class_embedding: nn.Parameter | None = None
        self.class_layers = nn.ModuleList()
        if settings.pooling == "class_mlp":
            self.class_embedding = nn.Parameter(torch.empty(settings.dim))
            self.class_layers.extend(self._class_layer() for _ in range(CLASS_LAYERS))
        self.norm = build_norm(settings.norm, settings.dim)
        self.head = self._head()
        self._init_parameters()

    def _class_layer(self) -> ClassLayer:
        settings = self.settings
        return ClassLayer(
            settings.patches,
            settings.dim,
            _channel_mlp(settings),
            settings.norm,
            settings.layer_scale,
            settings.post_bias,
            settings.init_std,
        )

    def _head(self) -> nn.Module:
        classes = self.settings.num_classes
        return nn.Linear(self.settings.dim, classes) if classes else nn.Identity()

    def _init_parameters(self) -> None:
        """Initializes all linear layers but the patch embedding as the authors do (deit, resmlp_models.py)."""
        for module in (self.layers, self.class_layers, self.head):
            self._init_linears(module)
        if self.class_embedding is not None:
            nn.init.trunc_normal_(self.class_embedding, std=self.settings.init_std)

    def _init_linears(self, module: nn.Module) -> None:
        for layer in module.modules():
            if isinstance(layer, nn.Linear):
                nn.init.trunc_normal_(layer.weight, std=self.settings.init_std)
                nn.init.zeros_(layer.bias)

    @property
    def multiply_adds(self) -> int:
        """Approximate number of multiply-adds per image: each weight of a matrix is used once per patch."""
        return self.settings.patches * sum(p.numel() for p in self.parameters() if p.dim() > 1)

    def forward(self, images: Tensor) -> Tensor:
        """Maps images (batch, channels, height, width) to logits (batch, num_classes).

        Raises:
            ResMLPError: if the images do not have the size and channels of the settings.
        """
        return self.head(self.features(images))

    def features(self, images: Tensor) -> Tensor:
        """Maps images (batch, channels, height, width) to the inputs of the head, (batch, dim).

        Raises:
            ResMLPError: if the images do not have the size and channels of the settings.
        """
        expected = (self.settings.channels, *self.settings.size)
        shape = tuple(images.shape[1:])
        if shape != expected:
            raise ResMLPError(
                f"the classifier takes images of shape {expected} (channels, height, width), not {shape}; resize them"
            )
        return self._pool(self._patches(images))

    def _patches(self, images: Tensor) -> Tensor:
        x = self.patch_embed(images)  # (patches, batch, dim)
        if torch.is_autocast_enabled(images.device.type):
            x = x.float()  # the residual stream: a small LayerScale adds less than 16 bits can represent
        for layer in self.layers:
            x = layer(x)
        return x

    def _pool(self, x: Tensor) -> Tensor:
        if self.class_embedding is not None:
            embedding = self.class_embedding.expand(1, x.size(1), -1)
            for layer in self.class_layers:
                embedding = layer(embedding, x)
            return self.norm(embedding[0])
        # The Affine of the mean equals the mean of the Affine and avoids a pass over the patches.
        return self.norm(x.mean(0)) if isinstance(self.norm, Affine) else self.norm(x).mean(0)

    def features_at_any_size(self, images: Tensor) -> Tensor:
        """Computes `features` of images of any multiple of the patch size, with interpolated mixing matrices.

        Differentiable with respect to the parameters; used for DINO's local crops. See `interpolate_mixing`.

        Raises:
            ResMLPError: if patches do not divide the image size, or the mixing needs a fixed number of patches.
        """
        height, width = images.shape[-2:]
        if (height, width) == self.settings.size:
            return self.features(images)
        skeleton = _skeleton(replace(self.settings, num_classes=0).at_image_size((int(height), int(width))))
        skeleton.train(self.training)
        tensors = {name: value for name, value in self._tensors_at(skeleton.settings) if not name.startswith("head.")}
        return functional_call(skeleton, tensors, (images,))

    def at_image_size(self, image_size: int | tuple[int, int]) -> ClassifierModel:
        """Returns a copy for images of another size, with interpolated mixing matrices (see `interpolate_mixing`).

        Raises:
            ResMLPError: if patches do not divide the image size, or the mixing needs a fixed number of patches.
        """
        changed = self.settings.at_image_size(image_size)
        with torch.random.fork_rng(devices=[]):
            copy = ClassifierModel(changed)
        example = next(self.parameters())
        copy.to(device=example.device, dtype=example.dtype).train(self.training)
        with torch.no_grad():
            copy.load_state_dict(dict(self._tensors_at(changed)))
        return copy

    def _tensors_at(self, changed: ClassifierConfig) -> Iterator[tuple[str, Tensor]]:
        """Yields the parameters and buffers for settings that differ only in the grid."""
        grids = (self.settings.grid, changed.grid)
        tensors = self.state_dict(keep_vars=True)
        for index, mixing in enumerate(self._linear_mixings()):
            name = f"layers.{index}.mixing.sublayer"
            interpolated = interpolate_mixing(mixing.weight, mixing.bias, *grids)
            tensors[f"{name}.weight"], tensors[f"{name}.bias"] = interpolated
        for index, layer in enumerate(cast("Iterable[ClassLayer]", self.class_layers)):
            weight = torch.cat((layer.weight[:1], interpolate_class_weights(layer.weight[1:], *grids)))
            tensors[f"class_layers.{index}.weight"] = weight
        yield from tensors.items()

    def _linear_mixings(self) -> list[FullTokenMixing]:
        """Returns the mixing of each layer if it is linear; else an empty list."""
        if self.settings.mixing != "linear":
            return []
        return [cast("FullTokenMixing", layer.mixing.sublayer) for layer in self.layers]

    def replace_head(self, num_classes: int) -> None:
        """Replaces the head by one with random parameters, or removes it if `num_classes` is 0."""
        example = next(self.parameters())
        self.settings = replace(self.settings, num_classes=num_classes)
        self.head = self._head().to(device=example.device, dtype=example.dtype)
        self._init_linears(self.head)

    def optimize_for_inference(self) -> None:
        """Folds Affine transformations into weights and packs the linear layers; the outputs do not change.

        Afterwards the model cannot be trained.
        """
        self.eval().requires_grad_(False)
        for layer in self.layers:
            layer.fold_affine_()
        pack_linears_(self)


@lru_cache(maxsize=8)
def _skeleton(settings: ClassifierConfig) -> ClassifierModel:
    """Returns a classifier on the meta device, for `functional_call` with the parameters of another classifier."""
    with without_memory():
        return ClassifierModel(settings)
