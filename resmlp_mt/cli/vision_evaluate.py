"""`resmlp-mt vision evaluate`: the accuracy of a classifier on a labelled data set."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from resmlp_mt.cli.frozen_features import check_outputs
from resmlp_mt.common import files, threads
from resmlp_mt.vision.bundle import PARAMETERS, load_classifier
from resmlp_mt.vision.data.datasets import DATASETS, load_dataset
from resmlp_mt.vision.data.images import CORRUPT_IMAGES
from resmlp_mt.vision.inference import evaluation
from resmlp_mt.vision.inference.prediction import prepare_for_inference

_SHOWN_CLASSES = 20


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of this subcommand."""
    parser.add_argument("model", type=Path, metavar="MODEL", help="bundle folder, or checkpoint of fairseq-train")
    parser.add_argument("--dataset-name", required=True, choices=tuple(DATASETS), help="name of the data set")
    parser.add_argument(
        "--root", type=Path, default=Path(), metavar="DIR", help="folder of the data set (default: the current folder)"
    )
    parser.add_argument("--split", default="valid", help="split of the data set (default: valid)")
    parser.add_argument("--batch-size", type=int, default=64, metavar="N", help="images per batch (default: 64)")
    parser.add_argument("--workers", type=int, default=1, metavar="N", help="threads that read images (default: 1)")
    parser.add_argument("--device", default="cpu", help="cpu, cuda or cuda:N (default: cpu)")
    parser.add_argument("--no-fold", action="store_true", help="do not fold the Affine transformations; slower")
    parser.add_argument(
        "--corrupt-images",
        choices=CORRUPT_IMAGES,
        default="refuse",
        help="stop at an image that cannot be read, or skip and report it (default: refuse)",
    )
    parser.add_argument(
        "--json", type=Path, metavar="FILE", help="write the report as JSON, with all digests and settings"
    )
    parser.add_argument("--figure", type=Path, metavar="FILE", help="plot the confusion matrix (.png, .svg or .pdf)")


def run(args: argparse.Namespace) -> int:
    """Evaluates the classifier, prints the accuracy and writes the requested files.

    Returns:
        The exit status, 0.

    Raises:
        ResMLPError: when model or data cannot be read, or their classes differ.
    """
    outputs = {"--json": args.json, "--figure": args.figure}
    check_outputs(args.model, outputs)
    loaded = load_classifier(args.model)
    images = load_dataset(args.dataset_name, args.root, args.split)
    check_outputs(args.model, outputs, images)
    named = evaluation.check_same_classes(loaded.classes, images.classes)
    prepare_for_inference(loaded.classifier, args.device, not args.no_fold)
    threads.use_for_pass(args.batch_size * loaded.classifier.multiply_adds)
    skip_corrupt = args.corrupt_images == "skip"
    outcome = evaluation.classify_dataset(loaded, images, args.batch_size, args.workers, skip_corrupt)
    file = args.model / PARAMETERS if args.model.is_dir() else args.model
    report = evaluation.evaluation_report(
        loaded,
        images,
        outcome,
        data={"name": args.dataset_name, "root": str(args.root), "split": args.split},
        settings={
            "batch_size": args.batch_size,
            "workers": args.workers,
            "device": args.device,
            "folded": not args.no_fold,
            "corrupt_images": args.corrupt_images,
            "classes_named_by_the_model": named,
        },
    )
    report["hashes"]["model"] = files.file_digest(file)
    print(_describe(report))
    if args.json:
        files.write_json(args.json, report)
    if args.figure:
        from resmlp_mt.vision.inference.evaluation_figure import draw_confusions

        draw_confusions(args.figure, report, evaluation.confusion_matrix(outcome, len(images.classes)))
    return 0


def _describe(report: dict[str, Any]) -> str:
    """Formats the report for the terminal."""
    data, speed = report["data"], report["speed"]
    lines = [f"{data['name']} {data['split']}: {report['pictures']:,} images, {len(report['by_class'])} classes", ""]
    for name, label in (("top1", "top-1"), ("top5", "top-5")):
        low, high = report[name]["interval"]
        lines.append(f"{label}  {report[name]['share']:7.2%}  ({low:.2%} to {high:.2%}: {report['interval']})")
    rows = [row for row in report["by_class"] if row["pictures"]]
    heading = "class"
    if len(rows) > _SHOWN_CLASSES:
        rows = sorted(rows, key=lambda row: row["share"])[:_SHOWN_CLASSES]
        heading = f"worst {_SHOWN_CLASSES} of {len(report['by_class'])} classes"
    width = max(len(heading), *(len(row["class"]) for row in rows))
    lines += ["", f"{heading:{width}}    images    right  precision"]
    for row in rows:
        precision = "       -" if row["precision"] is None else f"{row['precision']:8.1%}"
        lines.append(f"{row['class']:{width}}  {row['pictures']:8,}  {row['share']:7.1%}   {precision}")
    if worst := report["confusions"][:3]:
        pairs = "; ".join(f"{row['class']} as {row['taken_for']} ({row['pictures']})" for row in worst)
        lines += ["", f"most frequent confusions: {pairs}"]
    lines += [
        "",
        f"{speed['images_per_second']:.0f} images/s (model only: {speed['images_per_second_of_the_model']:.0f}) on "
        f"{report['settings']['device']}, peak memory {speed['peak_megabytes']:.0f} MiB",
    ]
    if not report["settings"]["classes_named_by_the_model"]:
        lines.append("the model has no class names; its classes are assumed to be in the data set's order")
    if skipped := report["skipped"]:
        lines.append(f"{len(skipped)} images could not be read and were skipped; the first: {skipped[0]}")
    return "\n".join(lines)
