"""`resmlp-mt vision convert`: weights from deit or timm to ours and back, also for another image size."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

from resmlp_mt.common.errors import ResMLPError, require
from resmlp_mt.common.files import check_outputs, unreadable
from resmlp_mt.vision.bundle import (
    CONFIG,
    CORE,
    PARAMETERS,
    LoadedClassifier,
    assemble,
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
        "source", type=Path, help="deit's or timm's weights (.pth or .safetensors), a bundle of ours, or a checkpoint"
    )
    parser.add_argument("out", type=Path, help="folder of a bundle, or with --to a .safetensors or .pth file")
    parser.add_argument("--to", choices=("ours", *LAYOUTS), default="ours", help="whose form (default: ours)")
    parser.add_argument("--image-size", type=int, metavar="PIXELS", help="interpolate the mixing matrices for it")
    parser.add_argument(
        "--classes", metavar="FILE", help=f"names of the classes, one a line, or {IMAGENET} (default: their numbers)"
    )


def run(args: argparse.Namespace) -> int:
    """Converts."""
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
    name = architecture_of(settings) or f"{settings.depth} layers of {settings.dim} channels"
    rows, columns = settings.grid
    print(f"{args.out}: {name}, {rows} x {columns} patches of {settings.patch_size}, {settings.num_classes} classes")
    return 0


def _load(path: Path) -> LoadedClassifier:
    """Reads what is ours as it is; other weights get the paper's preprocessing, and numbers for names of classes."""
    if path.is_dir():
        return load_classifier(path)
    tensors = read_foreign(path)
    if any(name.startswith(CORE) for name in tensors):
        return load_classifier(path)
    try:
        settings, parameters = from_foreign(tensors)
    except ResMLPError as error:
        raise ResMLPError(f"{path}: {error}") from error
    images = Preprocessing(settings.size[0]).with_channels(settings.channels)
    return assemble(settings, parameters, [str(number) for number in range(settings.num_classes)], images)


def _read_names(source: str, count: int) -> list[str]:
    if source == IMAGENET:
        from timm.data import ImageNetInfo

        info = ImageNetInfo()
        names = [info.index_to_description(index) for index in range(info.num_classes())]
    else:
        path = Path(source)
        require(path.is_file(), "--classes", f"a file or {IMAGENET}", path, "check the name")
        try:
            names = path.read_text(encoding="utf-8").removesuffix("\n").split("\n")
        except OSError as error:
            raise unreadable(path, error) from error
        except UnicodeDecodeError as error:
            raise ResMLPError(f"{path} must be UTF-8 text, but is not; save it as UTF-8") from error
    require(
        len(names) == count, "--classes", f"{count} names, as the head has classes", len(names), "name another file"
    )
    return names
