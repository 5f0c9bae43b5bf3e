"""`manifest.json`: what a data set was made of, how, and what was found on the way."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from data_prep import clean, folder, select
from data_prep.acquire import LocalPart
from data_prep.files import file_digest, write_json
from data_prep.segment import model_names
from data_prep.settings import Settings
from resmlp_mt.version import __version__

if TYPE_CHECKING:
    from data_prep.pipeline import Run

FORMAT = 1
_LIBRARIES = ("numpy", "sentencepiece", "sacremoses", "sacrebleu", "pooch")


def compose(
    settings: Settings,
    run: Run,
    parts: list[LocalPart],
    sources: list[dict[str, Any]],
    splits: dict[str, Any],
    cleaned: dict[str, Any],
    selected: dict[str, Any],
    train_texts: list[dict[str, Any]],
    held_out_texts: dict[str, Any],
) -> dict[str, Any]:
    """Puts together what the steps recorded.

    Returns:
        The manifest without the list of files, which `write` adds.
    """
    left_out = _total(text["left_out"] for text in train_texts)
    removed = _total([*(part["counts"] for part in cleaned.values()), selected["counts"], left_out])
    read = removed.pop("read")
    rules = [*clean.RULES, *select.RULES, *left_out]
    return {
        "format": FORMAT,
        "settings": settings.as_json(),
        "train_data": [str(path.relative_to(run.out)) for path in folder.training_folders(run.out, len(train_texts))],
        "models": list(model_names(settings)),
        "splits": {
            "train": {"pairs": [text["pairs"] for text in train_texts], **_side_totals(train_texts, settings)},
            **{split: {**splits[split], **_side_totals([text], settings)} for split, text in held_out_texts.items()},
        },
        "removed": {"read": read, "rules": {rule: removed.get(rule, 0) for rule in rules}},
        "parts": [
            {
                "name": part.part.name,
                "split": part.part.split,
                "expected_pairs": part.part.expected_pairs,
                "origin": part.part.origin,
                **(
                    {
                        "weight": part.part.weight,
                        "counts": cleaned[part.part.name]["counts"],
                        "in_training": selected["parts"].get(part.part.name, 0),
                    }
                    if part.part.split == "train"
                    else {}
                ),
            }
            for part in parts
        ],
        "examples": [pair for part in cleaned.values() for pair in part["removed"]][:100],
        "sources": sources,
        "command": run.command,
        "versions": _versions(),
    }


def _total(records: Any) -> dict[str, int]:
    total: dict[str, int] = {}
    for record in records:
        for name, count in record.items():
            total[name] = total.get(name, 0) + count
    return total


def _side_totals(texts: list[dict[str, Any]], settings: Settings) -> dict[str, Any]:
    sides = range(2)
    return {
        "tokens": {settings.languages[side]: sum(text["tokens"][side] for text in texts) for side in sides},
        "unknown": {settings.languages[side]: sum(text["unknown"][side] for text in texts) for side in sides},
        "unknown_examples": [example for text in texts for example in text["unknown_examples"]][:20],
        "round_trips": sum(text["round_trips"] for text in texts),
    }


def _versions() -> dict[str, str]:
    versions = {"resmlp-mt": __version__, "python": platform.python_version()}
    for library in _LIBRARIES:
        try:
            versions[library] = version(library)
        except PackageNotFoundError:
            versions[library] = "not installed"
    return versions


def write(out: Path, manifest: dict[str, Any]) -> None:
    """Adds size and digest of every file of the data set, and writes `manifest.json` as the last of them."""
    paths = sorted(path for path in out.rglob("*") if path.is_file() and folder.WORK not in path.parts)
    manifest["files"] = {
        str(path.relative_to(out)): {"bytes": path.stat().st_size, "digest": file_digest(path)}
        for path in paths
        if path.name != folder.MANIFEST
    }
    write_json(out / folder.MANIFEST, manifest)


def files_are_whole(out: Path, manifest: dict[str, Any]) -> bool:
    """Whether every file of the manifest is there in its full size."""
    return all(
        (out / name).is_file() and (out / name).stat().st_size == record["bytes"]
        for name, record in manifest["files"].items()
    )
