"""`resmlp-mt vision predict`: classifies images from files or folders."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TextIO

from resmlp_mt.common import threads
from resmlp_mt.vision.classifier import Classifier, Prediction
from resmlp_mt.vision.inference.prediction import find_images

FORMATS = ("table", "json")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of this subcommand."""
    parser.epilog = (
        "Each image gets one row, in the order given. An image that cannot be read gets a row with the error, which is "
        "also printed on standard error. The exit status is 0 when at least one image was read, else 2."
    )
    parser.add_argument("model", type=Path, metavar="MODEL", help="bundle folder, or checkpoint of fairseq-train")
    parser.add_argument("paths", type=Path, nargs="+", metavar="FILE_OR_FOLDER", help="images, or folders of images")
    parser.add_argument(
        "--top-k", type=int, default=5, metavar="K", help="classes per image, the most probable first (default: 5)"
    )
    parser.add_argument("--format", choices=FORMATS, default="table", help="output format (default: table)")
    parser.add_argument("--batch-size", type=int, default=64, metavar="N", help="images per batch (default: 64)")
    parser.add_argument("--workers", type=int, default=1, metavar="N", help="threads that read images (default: 1)")
    parser.add_argument("--device", default="cpu", help="cpu, cuda or cuda:N (default: cpu)")


def run(args: argparse.Namespace) -> int:
    """Prints the predictions.

    Returns:
        The exit status: 0, or 2 when no image could be read.

    Raises:
        ResMLPError: when the model cannot be read, or a folder contains no images.
    """
    images = find_images(args.paths)
    classifier = Classifier.from_pretrained(args.model, args.device, args.batch_size, args.workers)
    threads.use_for_pass(args.batch_size * classifier.model.multiply_adds)
    width = max(len(_printable(str(image))) for image in images)
    read, begun = 0, False
    for prediction in classifier.classify_each(images, args.top_k):
        if prediction.error:
            print(f"resmlp-mt vision predict: {_printable(prediction.error)}", file=sys.stderr)
        read += not prediction.error
        if args.format == "table":
            _print_row(prediction, width, sys.stdout)
        else:
            print("," if begun else "[", json.dumps(_as_json(prediction), ensure_ascii=False), sep="\n")
        begun = True
    if args.format == "json":
        print("]")
    if not read:
        print(f"resmlp-mt vision predict: none of the {len(images)} images could be read", file=sys.stderr)
    return 0 if read else 2


def _print_row(prediction: Prediction, width: int, file: TextIO) -> None:
    """Columns are separated by tabs, so that names with spaces stay whole for `cut`."""
    guesses = [f"{guess.probability:6.1%} {_printable(guess.name)}" for guess in prediction.guesses]
    cells = guesses or ["error: cannot be read"]
    print(f"{_printable(str(prediction.image)):{width}}", *cells, sep="\t", file=file)


def _as_json(prediction: Prediction) -> dict[str, object]:
    guesses = [{"class": guess.name, "probability": guess.probability} for guess in prediction.guesses]
    return {"picture": str(prediction.image), "guesses": guesses, "error": prediction.error or None}


def _printable(text: str) -> str:
    """Line feeds, tabs and other control characters in a name would break the table's rows; they are escaped."""
    return "".join(letter if letter.isprintable() else letter.encode("unicode_escape").decode() for letter in text)
