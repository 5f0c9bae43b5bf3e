"""`resmlp-mt inspect MODEL --out DIR`: figures and statistics of the mixing matrices of a model."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from resmlp_mt.common import files
from resmlp_mt.common.errors import ResMLPError
from resmlp_mt.common.versions import versions
from resmlp_mt.inspect.matrices import Stack, find_stacks
from resmlp_mt.inspect.report import PAGE, inspect_stacks
from resmlp_mt.translation.bundle.checkpoint_import import load_checkpoint
from resmlp_mt.translation.bundle.format import CONFIG, PARAMETERS, bundle_files, read_bundle

_MAX_CONFIG_BYTES = 10_000_000
_MAX_FACT_LENGTH = 200


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of this subcommand."""
    parser.add_argument(
        "model", type=Path, metavar="MODEL", help="bundle folder, image classifier folder, or checkpoint"
    )
    parser.add_argument(
        "--out", type=Path, required=True, metavar="DIR", help="output folder for the page and its figures"
    )
    parser.add_argument(
        "--length",
        type=int,
        metavar="N",
        help="number of sentence positions to draw (default: those that occurred in training, at most 64)",
    )


def run(args: argparse.Namespace) -> int:
    """Writes the page, the numbers and the figures, and prints the path of the page.

    Returns:
        The exit status, 0.

    Raises:
        ResMLPError: if the model cannot be read or contains no mixing matrices.
    """
    if args.out.exists() and not args.out.is_dir():
        raise ResMLPError(f"--out must be a folder or a new path, but {args.out} is a file; choose another path")
    inputs = {"MODEL": bundle_files(args.model) if args.model.is_dir() else args.model}
    files.check_outputs({"--out": args.out / PAGE}, inputs)
    stacks, about = read_stacks(args.model)
    contents = inspect_stacks(stacks, args.model.name or str(args.model), about, args.length)
    files.check_outputs({"--out": [args.out / name for name in contents]}, inputs)
    for name, content in contents.items():
        with files.whole_file(args.out / name) as partial:
            partial.write_bytes(content)
    print(args.out / PAGE)
    return 0


def read_stacks(path: Path) -> tuple[list[Stack], dict[str, str]]:
    """Reads the matrices of a translation model or an image classifier; the type is detected.

    Args:
        path: the folder of a bundle or of an image classifier, or a checkpoint of `fairseq-train`.

    Returns:
        The stacks, and facts about the model, by name.

    Raises:
        ResMLPError: if the model is missing or damaged, would run code when loaded, or has no mixing matrices.
    """
    translation_model = None
    if not path.is_dir():
        translation_model = _read_checkpoint(path)
    elif _is_translation_bundle(path):
        translation_model = _read_bundle(path)
    if translation_model is not None:
        parameters, facts = translation_model
        stacks = find_stacks(parameters)
    else:
        stacks, facts = _read_classifier(path)
    digest = files.file_digest(path / PARAMETERS if path.is_dir() else path)
    packages = ", ".join(f"{name} {version}" for name, version in versions().items())
    return stacks, {"model": str(path), "digest": digest, **facts, "versions": packages}


def _is_translation_bundle(folder: Path) -> bool:
    """Whether a folder's configuration names languages; otherwise it is read as an image classifier."""
    file = folder / CONFIG
    if not file.is_file():
        raise ResMLPError(f"{folder} is neither a checkpoint nor a folder with a {CONFIG}; check the path")
    if file.stat().st_size > _MAX_CONFIG_BYTES:
        raise ResMLPError(f"{file} exceeds the limit of {_MAX_CONFIG_BYTES} bytes; download the model again")
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise files.unreadable(file, error) from error
    except (ValueError, RecursionError) as error:
        raise ResMLPError(f"{file} is not valid JSON ({type(error).__name__}); download the model again") from error
    return isinstance(content, dict) and "languages" in content


def _read_bundle(folder: Path) -> tuple[Mapping[str, Tensor], dict[str, str]]:
    bundle = read_bundle(folder)
    config = bundle.config
    facts = {"architecture": config.architecture, "languages": " to ".join(config.languages)}
    updates = config.about.get("training", {}).get("updates")
    return bundle.model.state_dict(), facts | ({} if updates is None else {"updates": str(updates)})


def _read_checkpoint(path: Path) -> tuple[Mapping[str, Tensor], dict[str, str]] | None:
    """The parameters and facts of a translation model; None for another type of model."""
    content = load_checkpoint(path)
    parameters = content["model"]
    if not any(isinstance(name, str) and name.startswith("decoder.") for name in parameters):
        return None
    settings = _field(_field(content, "cfg"), "model")
    history = content.get("optimizer_history")
    facts = {
        "architecture": _field(settings, "_name") or _field(settings, "arch"),
        "updates": _field(history[-1], "num_updates") if isinstance(history, list) and history else None,
    }
    return parameters, {name: str(value)[:_MAX_FACT_LENGTH] for name, value in facts.items() if value is not None}


def _field(settings: Any, name: str) -> Any:
    """A field of a dictionary or Namespace; None for anything else, which a foreign checkpoint may contain."""
    return settings.get(name) if isinstance(settings, dict) else getattr(settings, name, None)


def _read_classifier(path: Path) -> tuple[list[Stack], dict[str, str]]:
    from resmlp_mt.vision.bundle import load_classifier

    loaded = load_classifier(path)
    classifier, settings = loaded.classifier, loaded.classifier.settings
    facts = {
        "images": f"{settings.image_size} pixels, patches of {settings.patch_size}",
        "classes": str(len(loaded.classes)),
    }
    return find_stacks(classifier.state_dict(), settings.grid), facts
