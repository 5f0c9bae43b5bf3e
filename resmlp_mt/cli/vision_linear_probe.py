"""`resmlp-mt vision linear-probe`: trains a linear layer on a frozen network's features."""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from resmlp_mt.cli import frozen_features
from resmlp_mt.common import files
from resmlp_mt.common.errors import ResMLPError, require_whole_number
from resmlp_mt.vision.bundle import CONFIG, PARAMETERS, LoadedClassifier, save_classifier
from resmlp_mt.vision.data.augmentation import Augmentation
from resmlp_mt.vision.data.datasets import load_dataset
from resmlp_mt.vision.inference.linear_probe import Probe, ProbeSettings, train_probe

_DEFAULTS = ProbeSettings()


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of this subcommand."""
    frozen_features.add_arguments(parser)
    parser.add_argument(
        "--epochs", type=int, default=_DEFAULTS.epochs, help="epochs of training (default: %(default)s)"
    )
    parser.add_argument(
        "--probe-batch-size", type=int, default=_DEFAULTS.batch_size, help="feature batch size (default: %(default)s)"
    )
    parser.add_argument(
        "--rates",
        type=float,
        nargs="+",
        default=list(_DEFAULTS.rates),
        metavar="RATE",
        help="candidate learning rates for a batch of 256; the best on held-out training images is used "
        "(default: %(default)s)",
    )
    parser.add_argument(
        "--views",
        type=int,
        default=1,
        help="views of each training image: the evaluation crop, then random crops (default: 1)",
    )
    parser.add_argument(
        "--flip", type=float, default=0.5, help="probability of a horizontal flip of a crop (default: 0.5)"
    )
    parser.add_argument("--seed", type=int, default=_DEFAULTS.seed, help="random seed (default: %(default)s)")
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="write a bundle of the network with its new head")


def run(args: argparse.Namespace) -> int:
    """Trains the probe and prints its accuracy."""
    settings = ProbeSettings(args.epochs, args.probe_batch_size, tuple(args.rates), seed=args.seed)
    require_whole_number("--views", args.views, 1, 1000, "1 means no random crops")
    if not 0 <= args.flip <= 1:
        raise ResMLPError(f"--flip is a probability and must be between 0 and 1, but is {args.flip:g}")
    bundle = None if args.out is None else [args.out / CONFIG, args.out / PARAMETERS]
    outputs = {"--json": args.json, "--out": bundle}
    frozen_features.check_outputs(args.model, outputs)
    loaded = frozen_features.load(args)
    train, evaluated = (load_dataset(args.dataset_name, args.root, split) for split in ("train", args.split))
    frozen_features.check_outputs(args.model, outputs, train, evaluated)
    plain = loaded.preprocessing.evaluation_transform()
    transforms = [plain]
    if args.views > 1:
        transforms += [loaded.preprocessing.training_transform(Augmentation(flip=args.flip))] * (args.views - 1)
    trained = [
        frozen_features.extract(args, loaded, train, transform, args.seed + view)
        for view, transform in enumerate(transforms)
    ]
    views = torch.stack([features.vectors for features in trained])
    probe = train_probe(views, trained[0].targets(), len(train.classes), settings, args.device)
    features = frozen_features.extract(args, loaded, evaluated, plain)
    with torch.no_grad():
        predictions = probe.head(features.vectors).argmax(1)
    score = frozen_features.score(features.count_correct(predictions), len(features.labels))
    print(f"{args.dataset_name} {args.split}: {frozen_features.describe(score)}")
    print(_describe(probe, views.size(1)))
    if args.json:
        report = {"dataset": args.dataset_name, "split": args.split, **score, "rate": probe.rate}
        files.write_json(args.json, report)
    if args.out:
        _save(args.out, loaded, probe, train.classes)
    return 0


def _describe(probe: Probe, image_count: int) -> str:
    text = f"linear layer trained on {image_count} images, learning rate {probe.rate:g}"
    if probe.held_out_accuracy is None:
        return text
    return f"{text}, the best on held-out training images ({100 * probe.held_out_accuracy:.2f}% correct)"


def _save(folder: Path, loaded: LoadedClassifier, probe: Probe, classes: list[str]) -> None:
    loaded.classifier.replace_head(len(classes))
    loaded.classifier.head.load_state_dict(probe.head.state_dict())
    save_classifier(folder, loaded.classifier, classes, loaded.preprocessing)
    print(f"{folder}: written")
