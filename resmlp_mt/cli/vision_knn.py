"""`resmlp-mt vision knn`: classifies images by the nearest neighbours of a frozen network's features."""

from __future__ import annotations

import argparse

from resmlp_mt.cli import frozen_features
from resmlp_mt.common import files
from resmlp_mt.vision.data.datasets import load_dataset
from resmlp_mt.vision.inference.knn import NEIGHBOURS, TEMPERATURE, classify


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of this subcommand."""
    frozen_features.add_arguments(parser)
    parser.add_argument(
        "--k",
        type=int,
        nargs="+",
        default=list(NEIGHBOURS),
        metavar="K",
        help="numbers of neighbours (default: 10 and 20)",
    )


def run(args: argparse.Namespace) -> int:
    """Classifies the split and prints the accuracy for each number of neighbours."""
    frozen_features.check_outputs(args.model, {"--json": args.json})
    loaded = frozen_features.load(args)
    transform = loaded.preprocessing.evaluation_transform()
    splits = [load_dataset(args.dataset_name, args.root, split) for split in ("train", args.split)]
    frozen_features.check_outputs(args.model, {"--json": args.json}, *splits)
    bank, queries = (frozen_features.extract(args, loaded, images, transform) for images in splits)
    predictions = classify(
        queries.vectors.to(args.device),
        bank.vectors.to(args.device),
        bank.targets(),
        len(splits[0].classes),
        tuple(args.k),
    )
    scores = {
        k: frozen_features.score(queries.count_correct(classes), len(queries.labels))
        for k, classes in predictions.items()
    }
    print(f"{args.dataset_name} {args.split} among {len(bank.labels)} training images, temperature {TEMPERATURE}")
    for k, row in scores.items():
        print(f"k = {k:3}  {frozen_features.describe(row)}")
    if args.json:
        files.write_json(args.json, {"dataset": args.dataset_name, "split": args.split, "k": scores})
    return 0
