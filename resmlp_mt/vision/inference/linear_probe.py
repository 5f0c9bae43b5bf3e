"""Linear probe: the accuracy of a linear layer trained on frozen features."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from resmlp_mt.common.errors import ResMLPError, require_number, require_whole_number
from resmlp_mt.vision.training.dino import cosine_schedule


@dataclass(frozen=True)
class ProbeSettings:
    """Settings of the training of the linear layer.

    Source: the authors' `eval_linear.py`, for arXiv:2104.14294, section 4.1: SGD with momentum 0.9, 100 epochs, cosine
    to 0, no weight decay.

    Attributes:
        epochs: passes over the training features.
        batch_size: features per batch.
        rates: learning rates to try, for a batch of 256; scaled linearly with the batch size.
        held_out: one in `held_out` training features is held out to choose the rate.
        seed: seed of the order of the features and of the initial values of the layer.

    Raises:
        ResMLPError: if a value is out of range.
    """

    epochs: int = 100
    batch_size: int = 256
    rates: tuple[float, ...] = (0.03, 0.1, 0.3, 1.0, 3.0, 10.0)
    held_out: int = 5
    seed: int = 1

    def __post_init__(self) -> None:
        require_whole_number("epochs", self.epochs, 1, 1_000_000, "the authors use 100")
        require_whole_number("batch size", self.batch_size, 1, 1_000_000, "the authors use 1024")
        for rate in self.rates:
            require_number("learning rate", rate, 0, 1_000_000)
        if not self.rates or min(self.rates) <= 0:
            raise ResMLPError(
                f"there must be at least one learning rate, and all must be above 0, but got {self.rates}"
            )
        require_whole_number("seed", self.seed, 0, 2**63 - 1)
        if self.held_out < 2:
            raise ResMLPError(f"held_out must be at least 2, but is {self.held_out}; 5 holds out one feature in five")


@dataclass(frozen=True)
class Probe:
    """A trained linear layer.

    Attributes:
        head: maps features (..., dim) to logits (..., num_classes), on the CPU.
        rate: the chosen learning rate.
        held_out_accuracy: accuracy of this rate on the held-out training features; None with a single rate.
    """

    head: nn.Linear
    rate: float
    held_out_accuracy: float | None


def train_probe(
    views: Tensor, targets: Tensor, num_classes: int, settings: ProbeSettings, device: torch.device | str = "cpu"
) -> Probe:
    """Trains a linear layer on features, with the learning rate that is best on held-out training features.

    The features are standardized, so that the same learning rates fit any network; the standardization is folded into
    the layer afterwards.

    Note: the authors augment every image again in every epoch and choose the rate on the validation set. Here features
    are computed once for each of a few views of an image, and the epochs cycle through the views. The validation set
    is not used for any choice, so its accuracy is unbiased.

    Args:
        views: features of the same images in one or more views, (views, images, dim).
        targets: labels, (images,).
        num_classes: number of classes.
        settings: settings of the training.
        device: device to compute on.

    Raises:
        ResMLPError: if there are too few images to hold some out.
    """
    if len(settings.rates) > 1 and views.size(1) < 2 * settings.held_out:
        raise ResMLPError(
            f"choosing a learning rate requires at least {2 * settings.held_out} training images, but there are "
            f"{views.size(1)}; give more images or a single learning rate"
        )
    mean, std = views.mean((0, 1)), views.std((0, 1)).clamp_min(1e-6)
    standardized = ((views - mean) / std).to(device)
    targets = targets.to(device)
    rate, accuracy = settings.rates[0], None
    if len(settings.rates) > 1:
        rate, accuracy = _best_rate(standardized, targets, num_classes, settings)
    head = _train(standardized, targets, num_classes, settings, rate).cpu()
    return Probe(_fold_standardization(head, mean, std), rate, accuracy)


def _best_rate(views: Tensor, targets: Tensor, num_classes: int, settings: ProbeSettings) -> tuple[float, float]:
    """Returns the learning rate with the best held-out accuracy (the lowest of equals), and this accuracy."""
    order = torch.randperm(len(targets), generator=torch.Generator().manual_seed(settings.seed)).to(targets.device)
    held_out, kept = order[:: settings.held_out], torch.ones_like(order, dtype=torch.bool)
    kept[held_out] = False
    accuracies = {}
    for rate in sorted(settings.rates):
        head = _train(views[:, kept], targets[kept], num_classes, settings, rate)
        with torch.no_grad():
            correct = head(views[0, held_out]).argmax(1).eq(targets[held_out])
        accuracies[rate] = correct.float().mean().item()
    best = max(accuracies, key=lambda rate: (accuracies[rate], -rate))
    return best, accuracies[best]


def _train(views: Tensor, targets: Tensor, num_classes: int, settings: ProbeSettings, rate: float) -> nn.Linear:
    generator = torch.Generator().manual_seed(settings.seed)
    head = nn.utils.skip_init(nn.Linear, views.size(2), num_classes)  # does not use the global generator
    nn.init.normal_(head.weight, std=0.01, generator=generator)
    nn.init.zeros_(head.bias)
    head.to(views.device)
    optimizer = torch.optim.SGD(head.parameters(), lr=rate, momentum=0.9)
    steps = settings.epochs * -(-len(targets) // settings.batch_size)
    for step, (view, rows) in enumerate(_batches(views, settings, generator)):
        for group in optimizer.param_groups:
            group["lr"] = cosine_schedule(rate * settings.batch_size / 256, 0.0, step, steps)
        optimizer.zero_grad()
        F.cross_entropy(head(view[rows]), targets[rows]).backward()
        optimizer.step()
    return head.requires_grad_(False)


def _batches(views: Tensor, settings: ProbeSettings, generator: torch.Generator) -> Iterator[tuple[Tensor, Tensor]]:
    """Yields the view of each step and the row indices of its batch; the last batch of an epoch may be smaller."""
    for epoch in range(settings.epochs):
        order = torch.randperm(views.size(1), generator=generator).to(views.device)
        for rows in order.split(settings.batch_size):
            yield views[epoch % views.size(0)], rows


def _fold_standardization(head: nn.Linear, mean: Tensor, std: Tensor) -> nn.Linear:
    r"""Folds the standardization: $W((x - \mu) / \sigma) + b = (W / \sigma) x + (b - (W / \sigma)\mu)$."""
    head.weight.div_(std)
    head.bias.sub_(head.weight @ mean)
    return head
