"""`resmlp-mt vision convert`: converts weights of deit and timm to bundles and back, also to another image size."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

from resmlp_mt.common.errors import ResMLPError
from resmlp_mt.common.files import check_outputs, unreadable
from resmlp_mt.vision.bundle import (
    CONFIG,
    CORE,
    PARAMETERS,
    LoadedClassifier,
    build_classifier,
    classifier_files,
    load_classifier,
    save_classifier,
)
from resmlp_mt.vision.data.preprocessing import Preprocessing
from resmlp_mt.vision.weights import LAYOUTS, architecture_of, from_foreign, read_foreign, to_foreign, write_foreign

IMAGENET = "imagenet-1k"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of this subcommand."""
    parser.add_argument(
        "source",
        type=Path,
        help="deit's or timm's weights (.pth or .safetensors), a bundle, or a checkpoint of fairseq-train",
    )
    parser.add_argument("out", type=Path, help="output folder; with --to deit or timm, a .safetensors or .pth file")
    parser.add_argument(
        "--to", choices=("ours", *LAYOUTS), default="ours", help="output format; ours: a bundle (default: ours)"
    )
    parser.add_argument(
        "--image-size", type=int, metavar="PIXELS", help="interpolate the mixing matrices to this image size"
    )
    parser.add_argument(
        "--classes",
        metavar="FILE",
        help=f"file with one class name per line, or {IMAGENET} (default: the class numbers)",
    )


def run(args: argparse.Namespace) -> int:
    """Converts the weights and prints the architecture."""
    names = None if args.classes in (None, IMAGENET) else Path(args.classes)
    written = [args.out / CONFIG, args.out / PARAMETERS] if args.to == "ours" else args.out
    check_outputs({"OUT": written}, {"SOURCE": classifier_files(args.source), "--classes": names})
    loaded = _load(args.source)
    classifier, classes, preprocessing = loaded.classifier, loaded.classes, loaded.preprocessing
    if args.classes is not None:
        classes = _read_names(args.classes, len(classes))
    if args.image_size is not None:
        classifier = classifier.at_image_size(args.image_size)
        preprocessing = replace(preprocessing, image_size=args.image_size)
    if args.to == "ours":
        save_classifier(args.out, classifier, classes, preprocessing)
    else:
        write_foreign(args.out, to_foreign(classifier, args.to))
    settings = classifier.settings
    name = architecture_of(settings) or f"{settings.depth} layers of dim {settings.dim}"
    rows, columns = settings.grid
    print(f"{args.out}: {name}, {rows} x {columns} patches of {settings.patch_size}, {settings.num_classes} classes")
    return 0


def _load(path: Path) -> LoadedClassifier:
    """Reads a bundle or checkpoint; weights of deit and timm get the paper's preprocessing and numbered classes."""
    if path.is_dir():
        return load_classifier(path)
    tensors = read_foreign(path)
    if any(name.startswith(CORE) for name in tensors):
        return load_classifier(path)
    try:
        settings, parameters = from_foreign(tensors)
    except ResMLPError as error:
        raise ResMLPError(f"{path}: {error}") from error
    preprocessing = Preprocessing(settings.size[0]).with_channels(settings.channels)
    return build_classifier(
        settings, parameters, [str(number) for number in range(settings.num_classes)], preprocessing
    )


def _read_names(source: str, count: int) -> list[str]:
    if source == IMAGENET:
        from timm.data import ImageNetInfo  # type: ignore[attr-defined]  # timm exports it without saying so

        info = ImageNetInfo()
        names = [info.index_to_description(index) for index in range(info.num_classes())]
    else:
        path = Path(source)
        if not path.is_file():
            raise ResMLPError(f"the file {path} of --classes does not exist; check the name, or give {IMAGENET}")
        try:
            names = path.read_text(encoding="utf-8").removesuffix("\n").split("\n")
        except OSError as error:
            raise unreadable(path, error) from error
        except UnicodeDecodeError as error:
            raise ResMLPError(f"{path} is not UTF-8 text; save it as UTF-8") from error
    if len(names) != count:
        raise ResMLPError(f"--classes has {len(names)} names, but the head has {count} classes; give another file")
    return names
