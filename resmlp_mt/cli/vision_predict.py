"""`resmlp-mt vision predict`: classifies pictures from files or folders."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TextIO

from resmlp_mt.common import threads
from resmlp_mt.vision.bundle import load_classifier
from resmlp_mt.vision.inference.prediction import Prediction, find_pictures, make_ready, predict

FORMATS = ("table", "json")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of this subcommand."""
    parser.epilog = (
        "Each picture gets one row, in the order given; one that cannot be read gets a row that says so, and is named "
        "on standard error. The exit status is 0 when at least one picture was read, else 2."
    )
    parser.add_argument("model", type=Path, metavar="MODEL", help="a classifier's folder, or a checkpoint")
    parser.add_argument("places", type=Path, nargs="+", metavar="FILE_OR_FOLDER", help="pictures, or folders of them")
    parser.add_argument("--top-k", type=int, default=5, metavar="K", help="guesses for each picture (default: 5)")
    parser.add_argument("--format", choices=FORMATS, default="table", help="of the output (default: table)")
    parser.add_argument("--batch-size", type=int, default=64, metavar="N", help="pictures at a time (default: 64)")
    parser.add_argument("--workers", type=int, default=1, metavar="N", help="threads that read pictures (default: 1)")
    parser.add_argument("--device", default="cpu", help="cpu, cuda or cuda:N (default: cpu)")


def run(args: argparse.Namespace) -> int:
    """Prints the predictions.

    Returns:
        The exit status: 0, or 2 when no picture could be read.

    Raises:
        ResMLPError: when the model cannot be read, or a folder holds no pictures.
    """
    pictures = find_pictures(args.places)
    loaded = load_classifier(args.model)
    make_ready(loaded.classifier, args.device)
    threads.use_for_pass(args.batch_size * loaded.classifier.multiply_adds)
    predictions = predict(loaded, pictures, args.top_k, args.batch_size, args.workers)
    width = max(len(_printable(str(picture))) for picture in pictures)
    read, begun = 0, False
    for prediction in predictions:
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
        print(f"resmlp-mt vision predict: none of the {len(pictures)} pictures could be read", file=sys.stderr)
    return 0 if read else 2


def _print_row(prediction: Prediction, width: int, file: TextIO) -> None:
    """Columns are separated by tabs, so that names with spaces stay whole for `cut`."""
    guesses = [f"{guess.probability:6.1%} {_printable(guess.name)}" for guess in prediction.guesses]
    cells = guesses or ["error: cannot be read"]
    print(f"{_printable(str(prediction.picture)):{width}}", *cells, sep="\t", file=file)


def _as_json(prediction: Prediction) -> dict[str, object]:
    guesses = [{"class": guess.name, "probability": guess.probability} for guess in prediction.guesses]
    return {"picture": str(prediction.picture), "guesses": guesses, "error": prediction.error or None}


def _printable(text: str) -> str:
    """Line feeds, tabs and other control characters in a name would break the table's rows; they are escaped."""
    return "".join(letter if letter.isprintable() else letter.encode("unicode_escape").decode() for letter in text)
