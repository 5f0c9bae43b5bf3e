"""Toy classifiers and images for the tests."""

from typing import Any, TypeVar

import torch

from resmlp_mt.vision.data.preprocessing import Preprocessing
from resmlp_mt.vision.model.classifier import ClassifierModel
from resmlp_mt.vision.model.config import ClassifierConfig

CLASSES = ["ant", "bee", "cat", "dog", "elk", "fox", "gnu"]

ModuleT = TypeVar("ModuleT", bound=torch.nn.Module)


def toy_settings(**changes: Any) -> ClassifierConfig:
    """A small classifier of 5 x 7 patches whose sizes are distinct primes."""
    values = {
        "image_size": (15, 21),
        "patch_size": 3,
        "channels": 2,
        "dim": 11,
        "depth": 2,
        "hidden_ratio": 13 / 11,
        "num_classes": len(CLASSES),
        "layer_scale": 0.3,
        "init_std": 0.2,
    }
    return ClassifierConfig(**{**values, **changes})


def shake(module: ModuleT, seed: int = 3, by: float = 0.1) -> ModuleT:
    """Perturbs every parameter and running statistic, so that no bias is zero and no scale is one."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for value in module.state_dict().values():
            if value.is_floating_point():
                value.add_(by * torch.rand(value.shape, generator=generator))
    return module


def toy_classifier(**changes: Any) -> ClassifierModel:
    """A classifier with perturbed parameters, in evaluation mode, from changes to `toy_settings`."""
    torch.manual_seed(1)
    return shake(ClassifierModel(toy_settings(**changes))).eval()


def toy_images(settings: ClassifierConfig, batch: int = 3, seed: int = 5) -> torch.Tensor:
    """Random images (batch, channels, height, width)."""
    return torch.randn(batch, settings.channels, *settings.size, generator=torch.Generator().manual_seed(seed))


def square_classifier(**changes: Any) -> ClassifierModel:
    """A toy classifier of grey images of 15 x 15 pixels, for bundles with `square_preprocessing`."""
    return toy_classifier(image_size=15, channels=1, **changes)


def square_preprocessing() -> Preprocessing:
    """Preprocessing of `square_classifier`."""
    return Preprocessing(15, 1, (0.3,), (0.7,), 0.8, "bilinear")


def mixing_matrices(model: ClassifierModel) -> list[torch.Tensor]:
    """The mixing matrix of each layer, (patches, patches), without its gradient."""
    return [mixing.weight.detach() for mixing in model._linear_mixings()]
