"""The linear probe: how much a linear layer can read from features that stay as they are."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from resmlp_mt.common.errors import require, require_number, require_whole_number
from resmlp_mt.vision.training.dino import cosine_schedule


@dataclass(frozen=True)
class ProbeSettings:
    """How the linear layer is trained.

    Source: the authors' `eval_linear.py`, for arXiv:2104.14294, section 4.1: SGD with momentum 0.9, 100 epochs, cosine
    to 0, no weight decay.

    Attributes:
        epochs: passes through the training features.
        batch_size: features in a step.
        rates: learning rates to choose from, for a batch of 256; others are scaled in proportion.
        held_out: one in how many training features decides between the rates.
        seed: of the order of features and the start of the layer.

    Raises:
        ResMLPError: if something is out of range.
    """

    epochs: int = 100
    batch_size: int = 256
    rates: tuple[float, ...] = (0.03, 0.1, 0.3, 1.0, 3.0, 10.0)
    held_out: int = 5
    seed: int = 1

    def __post_init__(self) -> None:
        require_whole_number("epochs", self.epochs, 1, 1_000_000, "the authors' are 100")
        require_whole_number("batch size", self.batch_size, 1, 1_000_000, "the authors' is 1024")
        for rate in self.rates:
            require_number("learning rate", rate, 0, 1_000_000, "give another")
        positive = bool(self.rates) and min(self.rates) > 0
        require(positive, "learning rates", "one or more numbers above 0", self.rates, "give others")
        require_whole_number("seed", self.seed, 0, 2**63 - 1)
        require(self.held_out >= 2, "held out", "at least 2, so that some are left", self.held_out, "5 is one in five")


@dataclass(frozen=True)
class Probe:
    """A trained linear layer.

    Attributes:
        head: maps features (..., dim) to logits (..., num_classes), on the CPU.
        rate: the learning rate that was chosen.
        held_out_share: the share of held-out training features that this rate got right; None with a single rate.
    """

    head: nn.Linear
    rate: float
    held_out_share: float | None


def train_probe(
    views: Tensor, targets: Tensor, num_classes: int, settings: ProbeSettings, device: torch.device | str = "cpu"
) -> Probe:
    """Trains a linear layer on features, with the learning rate that does best on held-out ones of them.

    The features are standardised with their own mean and deviation, which are then folded into the layer, so that one
    scale of learning rates fits any network.

    Note: the authors open and crop every picture anew in every epoch, and choose the rate on the validation set. Here
    features are computed once for each of a few views of a picture, which the epochs take in turn; and the validation
    set decides nothing, so that it measures honestly.

    Args:
        views: features of the same pictures under one or more views, (views, pictures, dim).
        targets: (pictures,).
        num_classes: number of classes.
        settings: of the training.
        device: to compute on.

    Raises:
        ResMLPError: if there are too few pictures to hold some out.
    """
    enough = len(settings.rates) == 1 or views.size(1) >= 2 * settings.held_out
    rule = f"at least {2 * settings.held_out}, to hold out one in {settings.held_out}"
    require(enough, "pictures to train on", rule, views.size(1), "give more, or a single learning rate")
    mean, deviation = views.mean((0, 1)), views.std((0, 1)).clamp_min(1e-6)
    standard = ((views - mean) / deviation).to(device)
    targets = targets.to(device)
    rate, share = settings.rates[0], None
    if len(settings.rates) > 1:
        rate, share = _best_rate(standard, targets, num_classes, settings)
    return Probe(_fold(_train(standard, targets, num_classes, settings, rate).cpu(), mean, deviation), rate, share)


def _best_rate(views: Tensor, targets: Tensor, num_classes: int, settings: ProbeSettings) -> tuple[float, float]:
    """The rate that is right most often on held-out features, the lowest of several, and how often it is."""
    order = torch.randperm(len(targets), generator=torch.Generator().manual_seed(settings.seed)).to(targets.device)
    held_out, kept = order[:: settings.held_out], torch.ones_like(order, dtype=torch.bool)
    kept[held_out] = False
    shares = {}
    for rate in sorted(settings.rates):
        head = _train(views[:, kept], targets[kept], num_classes, settings, rate)
        with torch.no_grad():
            right = head(views[0, held_out]).argmax(1).eq(targets[held_out])
        shares[rate] = right.float().mean().item()
    best = max(shares, key=lambda rate: (shares[rate], -rate))
    return best, shares[best]


def _train(views: Tensor, targets: Tensor, num_classes: int, settings: ProbeSettings, rate: float) -> nn.Linear:
    generator = torch.Generator().manual_seed(settings.seed)
    head = nn.utils.skip_init(nn.Linear, views.size(2), num_classes)  # the global generator stays as it is
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
    """The view of each step and the rows of its batch; the last batch of an epoch holds what is left."""
    for epoch in range(settings.epochs):
        order = torch.randperm(views.size(1), generator=generator).to(views.device)
        for rows in order.split(settings.batch_size):
            yield views[epoch % views.size(0)], rows


def _fold(head: nn.Linear, mean: Tensor, deviation: Tensor) -> nn.Linear:
    r"""Takes the standardisation in: $W((x - \mu) / \sigma) + b = (W / \sigma) x + (b - (W / \sigma)\mu)$."""
    head.weight.div_(deviation)
    head.bias.sub_(head.weight @ mean)
    return head
