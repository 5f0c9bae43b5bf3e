"""Weights of deit and timm: their names for our parameters, and the settings that tensors tell of.

Published are ResMLP-S12, S24, S36 and B24/8, plain and distilled, S12 and S24 of DINO, and B24/8 pre-trained on
ImageNet-22k; all have the same layers and differ in size and head alone. Source: facebookresearch/deit,
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

from resmlp_mt.common.errors import ResMLPError, require
from resmlp_mt.common.safe_checkpoint import read_checkpoint
from resmlp_mt.common.tensor_files import write_checkpoint, write_safetensors
from resmlp_mt.nn.skeleton import without_memory
from resmlp_mt.vision.bundle import read_tensors
from resmlp_mt.vision.model.architectures import VISION_ARCHITECTURES
from resmlp_mt.vision.model.classifier import ClassifierModel
from resmlp_mt.vision.model.config import ClassifierConfig

# Our name of a part -> theirs; {} is the number of a layer.
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
_WRAPPERS = ("model", "state_dict", "teacher")  # where training programs put a model's parameters in a checkpoint
_PREFIXES = ("module.", "backbone.")  # what they put before the names


def read_foreign(path: Path) -> dict[str, Tensor]:
    """Reads deit's or timm's parameters from a .safetensors file or a torch checkpoint; nothing in it is run.

    Raises:
        ResMLPError: when the file is missing or damaged, asks to run code, or holds no parameters.
    """
    require(path.is_file(), "the weights", "a file", path, "check the name")
    content: Any = read_tensors(path) if path.suffix == ".safetensors" else read_checkpoint(path)
    for wrapper in _WRAPPERS:
        if isinstance(content, dict) and isinstance(content.get(wrapper), dict):
            content = content[wrapper]
    if not isinstance(content, dict) or not all(
        isinstance(name, str) and isinstance(value, Tensor) for name, value in content.items()
    ):
        raise ResMLPError(f"{path} must hold a model's parameters by name, but does not; name another file")
    for prefix in _PREFIXES:
        if content and all(name.startswith(prefix) for name in content):
            content = {name.removeprefix(prefix): value for name, value in content.items()}
    return content


def from_foreign(tensors: Mapping[str, Tensor]) -> tuple[ClassifierConfig, dict[str, Tensor]]:
    """Translates deit's or timm's parameters into ours.

    Args:
        tensors: by their names.

    Returns:
        The settings that the tensors tell of, and the parameters by the names in `ClassifierModel`.

    Raises:
        ResMLPError: when names are unknown or missing, or shapes do not fit together.
    """
    layout = next((name for name, parts in LAYOUTS.items() if f"{parts['patch_embed.proj']}.weight" in tensors), None)
    if layout is None:
        raise ResMLPError(
            f"the weights must be deit's or timm's of a ResMLP, with {' or '.join(map(_patches, LAYOUTS))}, but begin "
            f"with {', '.join(sorted(tensors)[:3])}; name another file"
        )
    settings = _infer(tensors, layout)
    with without_memory():
        expected = ClassifierModel(settings).state_dict()
    named = {_translate(name, layout): name for name in expected}
    unknown, missing = sorted(set(tensors) - set(named)), sorted(set(named) - set(tensors))
    require(not unknown, f"{layout}'s names", "those of a ResMLP", f"with {', '.join(unknown)}", "name another file")
    require(not missing, f"{layout}'s names", f"with {', '.join(missing)}", "without", "name another file")
    parameters = {}
    for theirs, ours in named.items():
        value, shape = tensors[theirs], tuple(expected[ours].shape)
        rule = f"of {math.prod(shape)} numbers as {settings.grid} patches of {settings.dim} channels have it"
        require(value.numel() == math.prod(shape), theirs, rule, tuple(value.shape), "get the file again")
        parameters[ours] = value.float().reshape(shape)
    return settings, parameters


def _patches(layout: str) -> str:
    return f"{LAYOUTS[layout]['patch_embed.proj']}.weight"


def to_foreign(classifier: ClassifierModel, layout: str) -> dict[str, Tensor]:
    """Translates our parameters into deit's or timm's.

    Args:
        classifier: not folded.
        layout: one of `LAYOUTS`.

    Raises:
        ResMLPError: when they have no such model.
    """
    settings = classifier.settings
    has = {"norm": "affine", "mixing": "linear", "pooling": "average", "activation": "gelu", "post_bias": False}
    for name, value in has.items():
        found = getattr(settings, name)
        require(found == value, name, f"{value}, as {layout}'s models have it", found, "keep this one in our form")
    translated = {}
    for ours, value in classifier.state_dict().items():
        if ours == PATCHES:
            value = value.view(settings.dim, settings.channels, settings.patch_size, settings.patch_size)
        elif layout == "timm" and re.search(r"(pre|^norm)\.(alpha|beta)$", ours):
            value = value.view(1, 1, -1)
        translated[_translate(ours, layout)] = value.detach().cpu().contiguous()
    return translated


def write_foreign(path: Path, tensors: dict[str, Tensor]) -> None:
    """Writes parameters to a .safetensors file, or, with another ending, with torch.

    Raises:
        ResMLPError: when the file cannot be written.
    """
    if path.suffix == ".safetensors":
        write_safetensors(path, tensors)
    else:
        write_checkpoint(path, tensors)


def _translate(ours: str, layout: str) -> str:
    """Their name of one of our parameters."""
    number = re.search(r"\.(\d+)\.", ours)
    general = ours if number is None else ours.replace(number[0], ".{}.", 1)
    for part, theirs in LAYOUTS[layout].items():
        if general == part or general.startswith(f"{part}."):
            found = theirs + general.removeprefix(part)
            return found if number is None else found.format(number[1])
    raise AssertionError(ours)  # `to_foreign` lets only such settings pass as have no other parameters


def _infer(tensors: Mapping[str, Tensor], layout: str) -> ClassifierConfig:
    parts = LAYOUTS[layout]
    patches = tensors[_patches(layout)]
    require(patches.dim() == 4, _patches(layout), "of 4 axes", tuple(patches.shape), "name another file")
    dim, channels, side, _ = patches.shape
    numbers = [int(match[1]) for name in tensors if (match := re.match(r"blocks\.(\d{1,4})\.", name))]
    first = {part: theirs.format(0) for part, theirs in parts.items()}
    mixing = tensors.get(f"{first['layers.{}.mixing.sublayer']}.bias")
    hidden = tensors.get(f"{first['layers.{}.channels.sublayer']}.fc1.bias")
    if not numbers or mixing is None or hidden is None:
        raise ResMLPError(
            f"{layout}'s weights must have mixing and MLP of a first block, but lack one; name another file"
        )
    rows = math.isqrt(mixing.numel())
    require(rows * rows == mixing.numel(), "the number of patches", "a square", mixing.numel(), "name another file")
    head = tensors.get("head.weight")
    found = ClassifierConfig(
        image_size=rows * side,
        patch_size=side,
        channels=channels,
        dim=dim,
        depth=max(numbers) + 1,
        hidden_ratio=hidden.numel() / dim,
        num_classes=0 if head is None else head.size(0),
    )
    name = architecture_of(found)
    return (
        found
        if name is None
        else replace(found, layer_scale=ClassifierConfig(**VISION_ARCHITECTURES[name]).layer_scale)
    )


def architecture_of(settings: ClassifierConfig) -> str | None:
    """The registered architecture of the same size and kind, whatever its images and classes, or None."""
    free = ("image_size", "num_classes", "drop_path", "layer_scale")
    wanted = {name: value for name, value in asdict(settings).items() if name not in free}
    for name, changes in VISION_ARCHITECTURES.items():
        row = asdict(ClassifierConfig(**changes))
        if all(row[key] == value for key, value in wanted.items()):
            return name
    return None
