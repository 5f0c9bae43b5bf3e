"""Shared by the commands that use features of a frozen network: options, loading, scores."""

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
from resmlp_mt.vision.data.image_sets import ImageSet, files_named_like
from resmlp_mt.vision.data.images import CORRUPT_IMAGES
from resmlp_mt.vision.data.preprocessing import Transform
from resmlp_mt.vision.inference.evaluation import wilson_interval
from resmlp_mt.vision.inference.features import Features, extract_features
from resmlp_mt.vision.inference.prediction import prepare_for_inference
from resmlp_mt.vision.model.classifier import ClassifierModel
from resmlp_mt.vision.training.self_distillation import STUDENT

NETWORKS = {"teacher": CORE, "student": STUDENT}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options for the network, the images and the device."""
    parser.add_argument("model", type=Path, help="bundle folder, or checkpoint of fairseq-train")
    parser.add_argument(
        "--network", choices=tuple(NETWORKS), help="network of a DINO checkpoint (default: teacher, as in the paper)"
    )
    parser.add_argument("--untrained", type=int, metavar="SEED", help="use the same network with random parameters")
    parser.add_argument(
        "--dataset-name", choices=tuple(DATASETS), default="folder", help="name of the data set (default: folder)"
    )
    parser.add_argument(
        "--root", type=Path, default=Path(), help="folder of the data set (default: the current folder)"
    )
    parser.add_argument("--split", default="valid", help="split to evaluate (default: valid)")
    parser.add_argument("--batch-size", type=int, default=64, help="images per batch (default: 64)")
    parser.add_argument(
        "--workers", type=int, default=0, help="processes that read images; 0: the main process (default: 0)"
    )
    parser.add_argument("--device", default="cpu", help="cpu, cuda or cuda:N (default: cpu)")
    parser.add_argument(
        "--corrupt-images",
        choices=CORRUPT_IMAGES,
        default="refuse",
        help="stop at an image that cannot be read, or skip it with a warning (default: refuse)",
    )
    parser.add_argument("--json", type=Path, help="write the scores to this file")


def check_outputs(model: Path, outputs: Mapping[str, files.Paths], *image_sets: ImageSet) -> None:
    """Checks that outputs can be written and overwrite neither a model file nor an image.

    Raises:
        ResMLPError: names the option and the file.
    """
    named = [path for path in outputs.values() if isinstance(path, Path)]
    image_files = [file for images in image_sets for file in files_named_like(images, named)]
    files.check_outputs(outputs, {"MODEL": classifier_files(model), "--root": image_files})


def load(args: argparse.Namespace) -> LoadedClassifier:
    """Reads the network and moves it to its device.

    Raises:
        ResMLPError: if it cannot be read, or the device is not available.
    """
    loaded = load_classifier(args.model, NETWORKS[args.network or "teacher"])
    if args.untrained is not None:
        require_whole_number("--untrained", args.untrained, 0, 2**63 - 1)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(args.untrained)
            loaded = LoadedClassifier(ClassifierModel(loaded.classifier.settings).eval(), [], loaded.preprocessing)
    prepare_for_inference(loaded.classifier, args.device, fold=False)
    threads.use_for_pass(args.batch_size * loaded.classifier.multiply_adds)
    return loaded


def extract(
    args: argparse.Namespace, loaded: LoadedClassifier, images: ImageSet, transform: Transform, seed: int = 0
) -> Features:
    """Computes the features of images, see `extract_features`."""
    skip_corrupt = args.corrupt_images == "skip"
    return extract_features(
        loaded.classifier, images, transform, args.batch_size, args.workers, seed=seed, skip_corrupt=skip_corrupt
    )


def score(right: int, total: int) -> dict[str, Any]:
    """Top-1 in percent, with its 95% interval."""
    low, high = wilson_interval(right, total)
    return {"right": right, "pictures": total, "top1": 100 * right / total, "interval": [100 * low, 100 * high]}


def describe(scored: dict[str, Any]) -> str:
    """Formats a score for the terminal."""
    low, high = scored["interval"]
    counts = f"{scored['right']} of {scored['pictures']}"
    return f"top-1 {scored['top1']:.2f}%  (95% interval {low:.2f} to {high:.2f}, {counts})"
