"""What the commands that look at a frozen network's features have in common: options, loading, the score's line."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from resmlp_mt.common import files, threads
from resmlp_mt.common.errors import require_whole_number
from resmlp_mt.vision.bundle import CORE, LoadedClassifier, classifier_files, load_classifier
from resmlp_mt.vision.data.datasets import DATASETS
from resmlp_mt.vision.data.image_sets import ImageSet, namesakes
from resmlp_mt.vision.data.images import CORRUPT_IMAGES
from resmlp_mt.vision.data.preprocessing import Transform
from resmlp_mt.vision.inference.evaluation import wilson_interval
from resmlp_mt.vision.inference.features import Features, extract_features
from resmlp_mt.vision.inference.prediction import make_ready
from resmlp_mt.vision.model.classifier import ClassifierModel
from resmlp_mt.vision.training.self_distillation import STUDENT

NETWORKS = {"teacher": CORE, "student": STUDENT}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options that say which network, which pictures, and where to compute."""
    parser.add_argument("model", type=Path, help="a bundle's folder, or a checkpoint of fairseq-train")
    parser.add_argument(
        "--network", choices=tuple(NETWORKS), help="of a checkpoint of DINO (default: teacher, as its paper)"
    )
    parser.add_argument(
        "--untrained", type=int, metavar="SEED", help="forget the parameters: the same network with random ones"
    )
    parser.add_argument("--dataset-name", choices=tuple(DATASETS), default="folder", help="default: folder")
    parser.add_argument("--root", type=Path, default=Path(), help="the data set's folder (default: this folder)")
    parser.add_argument("--split", default="valid", help="to measure on (default: valid)")
    parser.add_argument("--batch-size", type=int, default=64, help="pictures at a time (default: 64)")
    parser.add_argument("--workers", type=int, default=0, help="processes that open pictures (default: 0, this one)")
    parser.add_argument("--device", default="cpu", help="cpu, cuda or cuda:N (default: cpu)")
    parser.add_argument(
        "--corrupt-images",
        choices=CORRUPT_IMAGES,
        default="refuse",
        help="stop at a picture that cannot be read, or name it and go on (default: refuse)",
    )
    parser.add_argument("--json", type=Path, help="write the scores")


def check_outputs(model: Path, outputs: Mapping[str, files.Paths], *image_sets: ImageSet) -> None:
    """Checks that outputs can be written and overwrite neither a file of the model nor a picture.

    Raises:
        ResMLPError: names the option and the file.
    """
    named = [path for path in outputs.values() if isinstance(path, Path)]
    pictures = [file for images in image_sets for file in namesakes(images, named)]
    files.check_outputs(outputs, {"MODEL": classifier_files(model), "--root": pictures})


def load(args: argparse.Namespace) -> LoadedClassifier:
    """Reads the network and puts it on its device.

    Raises:
        ResMLPError: it cannot be read, or there is no such device.
    """
    loaded = load_classifier(args.model, NETWORKS[args.network or "teacher"])
    if args.untrained is not None:
        require_whole_number("--untrained", args.untrained, 0, 2**63 - 1)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(args.untrained)
            loaded = LoadedClassifier(ClassifierModel(loaded.classifier.settings).eval(), [], loaded.preprocessing)
    make_ready(loaded.classifier, args.device, fold=False)
    threads.use_for_pass(args.batch_size * loaded.classifier.multiply_adds)
    return loaded


def extract(
    args: argparse.Namespace, loaded: LoadedClassifier, images: ImageSet, transform: Transform, seed: int = 0
) -> Features:
    """The features of pictures, see `extract_features`."""
    skip_corrupt = args.corrupt_images == "skip"
    return extract_features(
        loaded.classifier, images, transform, args.batch_size, args.workers, seed=seed, skip_corrupt=skip_corrupt
    )


def score(right: int, total: int) -> dict[str, Any]:
    """Top-1 in percent, with its 95% interval."""
    low, high = wilson_interval(right, total)
    return {"right": right, "pictures": total, "top1": 100 * right / total, "interval": [100 * low, 100 * high]}


def describe(scored: dict[str, Any]) -> str:
    """A score in words."""
    low, high = scored["interval"]
    counted = f"{scored['right']} of {scored['pictures']}"
    return f"top-1 {scored['top1']:.2f}%  (95% interval {low:.2f} to {high:.2f}, {counted})"
