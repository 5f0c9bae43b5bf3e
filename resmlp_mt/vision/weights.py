"""Converts weights of deit and timm: parameter names, shapes, and settings inferred from the tensors.

Published weights: ResMLP-S12, S24, S36 and B24/8, plain and distilled; S12 and S24 trained with DINO; B24/8 pre-trained
on ImageNet-22k. All have the same layers and differ only in size and head. Source: facebookresearch/deit,
resmlp_models.py; timm, models/mlp_mixer.py.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from torch import Tensor

from resmlp_mt.common.errors import ResMLPError
from resmlp_mt.common.safe_checkpoint import read_checkpoint
from resmlp_mt.common.tensor_files import write_checkpoint, write_safetensors
from resmlp_mt.nn.skeleton import without_memory
from resmlp_mt.vision.bundle import read_tensors
from resmlp_mt.vision.model.architectures import VISION_ARCHITECTURES
from resmlp_mt.vision.model.classifier import ClassifierModel
from resmlp_mt.vision.model.config import ClassifierConfig

# Our name of a module -> the layout's name; {} is the layer index.
LAYOUTS: MappingProxyType[str, dict[str, str]] = MappingProxyType(
    {
        "deit": {
            "patch_embed.proj": "patch_embed.proj",
            "layers.{}.mixing.pre": "blocks.{}.norm1",
            "layers.{}.mixing.sublayer": "blocks.{}.attn",
            "layers.{}.mixing.post.alpha": "blocks.{}.gamma_1",
            "layers.{}.channels.pre": "blocks.{}.norm2",
            "layers.{}.channels.sublayer": "blocks.{}.mlp",
            "layers.{}.channels.post.alpha": "blocks.{}.gamma_2",
            "norm": "norm",
            "head": "head",
        },
        "timm": {
            "patch_embed.proj": "stem.proj",
            "layers.{}.mixing.pre": "blocks.{}.norm1",
            "layers.{}.mixing.sublayer": "blocks.{}.linear_tokens",
            "layers.{}.mixing.post.alpha": "blocks.{}.ls1",
            "layers.{}.channels.pre": "blocks.{}.norm2",
            "layers.{}.channels.sublayer": "blocks.{}.mlp_channels",
            "layers.{}.channels.post.alpha": "blocks.{}.ls2",
            "norm": "norm",
            "head": "head",
        },
    }
)
PATCHES = "patch_embed.proj.weight"
_WRAPPERS = ("model", "state_dict", "teacher")  # keys under which checkpoints store the parameters
_PREFIXES = ("module.", "backbone.")  # prefixes of their names


def read_foreign(path: Path) -> dict[str, Tensor]:
    """Reads deit's or timm's parameters from a .safetensors file or a torch checkpoint, without executing code in it.

    Raises:
        ResMLPError: if the file is missing or damaged, tries to run code, or contains no parameters.
    """
    if not path.is_file():
        raise ResMLPError(f"the weights file {path} does not exist; check the name")
    content: Any = read_tensors(path) if path.suffix == ".safetensors" else read_checkpoint(path)
    for wrapper in _WRAPPERS:
        if isinstance(content, dict) and isinstance(content.get(wrapper), dict):
            content = content[wrapper]
    if not isinstance(content, dict) or not all(
        isinstance(name, str) and isinstance(value, Tensor) for name, value in content.items()
    ):
        raise ResMLPError(f"{path} does not contain the parameters of a model by name; give another file")
    for prefix in _PREFIXES:
        if content and all(name.startswith(prefix) for name in content):
            content = {name.removeprefix(prefix): value for name, value in content.items()}
    return content


def from_foreign(tensors: Mapping[str, Tensor]) -> tuple[ClassifierConfig, dict[str, Tensor]]:
    """Converts deit's or timm's parameters to ours.

    Args:
        tensors: the tensors by deit's or timm's names.

    Returns:
        The settings inferred from the tensors, and the parameters by the names in `ClassifierModel`.

    Raises:
        ResMLPError: if names are unknown or missing, or shapes are inconsistent.
    """
    layout = next((name for name, parts in LAYOUTS.items() if f"{parts['patch_embed.proj']}.weight" in tensors), None)
    if layout is None:
        raise ResMLPError(
            f"these are not ResMLP weights of deit or timm: there is no {' or '.join(map(_patches, LAYOUTS))}, the "
            f"names begin with {', '.join(sorted(tensors)[:3])}; give another file"
        )
    settings = _infer(tensors, layout)
    with without_memory():
        expected = ClassifierModel(settings).state_dict()
    named = {_foreign_name(name, layout): name for name in expected}
    unknown, missing = sorted(set(tensors) - set(named)), sorted(set(named) - set(tensors))
    if unknown:
        raise ResMLPError(f"{layout}'s ResMLP has no parameters {', '.join(unknown)}; give another file")
    if missing:
        raise ResMLPError(f"the parameters {', '.join(missing)} of {layout}'s ResMLP are missing; give another file")
    parameters = {}
    for theirs, ours in named.items():
        value, shape = tensors[theirs], tuple(expected[ours].shape)
        if value.numel() != math.prod(shape):
            raise ResMLPError(
                f"{theirs} has shape {tuple(value.shape)}, but needs {math.prod(shape)} elements for "
                f"{settings.grid} patches and dim {settings.dim}; get a new copy of the file"
            )
        parameters[ours] = value.float().reshape(shape)
    return settings, parameters


def _patches(layout: str) -> str:
    return f"{LAYOUTS[layout]['patch_embed.proj']}.weight"


def to_foreign(classifier: ClassifierModel, layout: str) -> dict[str, Tensor]:
    """Converts our parameters to deit's or timm's.

    Args:
        classifier: a classifier that is not folded.
        layout: one of `LAYOUTS`.

    Raises:
        ResMLPError: if deit and timm have no such model.
    """
    settings = classifier.settings
    supported = {"norm": "affine", "mixing": "linear", "pooling": "average", "activation": "gelu", "post_bias": False}
    for name, value in supported.items():
        actual = getattr(settings, name)
        if actual != value:
            raise ResMLPError(
                f"{layout}'s models have {name} {value}, but this one has {actual}; convert it to a bundle instead"
            )
    converted = {}
    for ours, value in classifier.state_dict().items():
        if ours == PATCHES:
            value = value.view(settings.dim, settings.channels, settings.patch_size, settings.patch_size)
        elif layout == "timm" and re.search(r"(pre|^norm)\.(alpha|beta)$", ours):
            value = value.view(1, 1, -1)
        converted[_foreign_name(ours, layout)] = value.detach().cpu().contiguous()
    return converted


def write_foreign(path: Path, tensors: dict[str, Tensor]) -> None:
    """Writes parameters to a .safetensors file, or with torch for other file extensions.

    Raises:
        ResMLPError: if the file cannot be written.
    """
    if path.suffix == ".safetensors":
        write_safetensors(path, tensors)
    else:
        write_checkpoint(path, tensors)


def _foreign_name(ours: str, layout: str) -> str:
    """Returns the name of one of our parameters in a layout."""
    number = re.search(r"\.(\d+)\.", ours)
    general = ours if number is None else ours.replace(number[0], ".{}.", 1)
    for part, theirs in LAYOUTS[layout].items():
        if general == part or general.startswith(f"{part}."):
            name = theirs + general.removeprefix(part)
            return name if number is None else name.format(number[1])
    raise AssertionError(ours)  # `to_foreign` rejects settings with other parameters


def _infer(tensors: Mapping[str, Tensor], layout: str) -> ClassifierConfig:
    parts = LAYOUTS[layout]
    patches = tensors[_patches(layout)]
    if patches.dim() != 4:
        raise ResMLPError(
            f"{_patches(layout)} must have 4 dimensions, but has shape {tuple(patches.shape)}; give another file"
        )
    dim, channels, side, _ = patches.shape
    numbers = [int(match[1]) for name in tensors if (match := re.match(r"blocks\.(\d{1,4})\.", name))]
    first = {part: theirs.format(0) for part, theirs in parts.items()}
    mixing = tensors.get(f"{first['layers.{}.mixing.sublayer']}.bias")
    hidden = tensors.get(f"{first['layers.{}.channels.sublayer']}.fc1.bias")
    if not numbers or mixing is None or hidden is None:
        raise ResMLPError(
            f"the mixing or the MLP of the first block of {layout}'s weights is missing; give another file"
        )
    rows = math.isqrt(mixing.numel())
    if rows * rows != mixing.numel():
        raise ResMLPError(f"the weights have {mixing.numel()} patches, which is not a square; give another file")
    head = tensors.get("head.weight")
    settings = ClassifierConfig(
        image_size=rows * side,
        patch_size=side,
        channels=channels,
        dim=dim,
        depth=max(numbers) + 1,
        hidden_ratio=hidden.numel() / dim,
        num_classes=0 if head is None else head.size(0),
    )
    name = architecture_of(settings)
    if name is None:
        return settings
    return replace(settings, layer_scale=ClassifierConfig(**VISION_ARCHITECTURES[name]).layer_scale)


def architecture_of(settings: ClassifierConfig) -> str | None:
    """Returns the registered architecture with these settings, or None.

    The image size, the number of classes, drop path and LayerScale are ignored.
    """
    ignored = ("image_size", "num_classes", "drop_path", "layer_scale")
    compared = {name: value for name, value in asdict(settings).items() if name not in ignored}
    for name, changes in VISION_ARCHITECTURES.items():
        row = asdict(ClassifierConfig(**changes))
        if all(row[key] == value for key, value in compared.items()):
            return name
    return None
