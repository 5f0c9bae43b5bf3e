"""Builds the manifest of a data set from the records of the stages, and checks a data set against its manifest."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data_prep.corpora.base import Part
from data_prep.folder import WORK, training_folders
from data_prep.settings import Settings
from data_prep.stages import cleaning_rules as clean
from data_prep.stages import selection as select
from data_prep.stages.acquire import LocalPart
from data_prep.stages.binarise import LEFT_OUT_RULES
from data_prep.stages.job import Job
from data_prep.stages.removed import RemovedPairs
from resmlp_mt.common.data_folder import REPORT
from resmlp_mt.common.data_manifest import (
    MANIFEST,
    DataManifest,
    FileRecord,
    RemovedRecord,
    SourceRecord,
    SplitRecord,
    write_manifest,
)
from resmlp_mt.common.errors import ResMLPError
from resmlp_mt.common.files import file_digest
from resmlp_mt.common.versions import versions
from resmlp_mt.translation.text.sentencepiece_model import load_model

ALL_RULES = (*clean.RULES, *select.RULES, *LEFT_OUT_RULES)
_LIBRARIES = ("numpy", "sentencepiece", "sacremoses", "sacrebleu", "pooch", "py3langid")


@dataclass(frozen=True)
class Records:
    """The records of the stages.

    Attributes:
        parts: the parts of the corpus.
        sources: one record for each file.
        splits: name and number of pairs of each held-out split.
        cleaned: from `cleaning.clean_part`, for each part of the training text.
        selected: from `training.select_training`.
        train_texts: from `training.binarise_training`.
        held_out_texts: from the binarised held-out splits.
    """

    parts: list[LocalPart]
    sources: list[SourceRecord]
    splits: dict[str, Any]
    cleaned: list[dict[str, Any]]
    selected: dict[str, Any]
    train_texts: list[dict[str, Any]]
    held_out_texts: dict[str, Any]


def write(job: Job, records: Records) -> DataManifest:
    """Writes `manifest.json` as the last file of a data set.

    Args:
        job: the run.
        records: records of its stages.

    Returns:
        The manifest.
    """
    settings = job.settings
    folders = training_folders(job.out, len(records.train_texts))
    manifest = DataManifest(
        command=job.run.command,
        settings=settings.as_json(),
        train_data=[str(path.relative_to(job.out)) for path in folders],
        vocabulary={
            "models": [path.name for path in job.models],
            "pieces": [load_model(path).get_piece_size() for path in job.models],
        },
        splits=_splits(settings, records),
        removed=_removed(settings.dropout_copies, records),
        parts=_parts(records),
        sources=records.sources,
        versions=versions(_LIBRARIES),
        files=_files(job.out),
    )
    write_manifest(job.out, manifest)
    return manifest


def _splits(settings: Settings, records: Records) -> dict[str, SplitRecord]:
    train: SplitRecord = {
        "pairs": sum(text["pairs"] for text in records.train_texts),
        "pairs_by_shard": [text["pairs"] for text in records.train_texts],
        **_totals(records.train_texts, settings),
    }
    held_out: dict[str, SplitRecord] = {
        split: {**records.splits[split], **_totals([text], settings), "unknown_examples": text["unknown_examples"]}
        for split, text in records.held_out_texts.items()
    }
    return {"train": train, **held_out}


def _totals(texts: list[dict[str, Any]], settings: Settings) -> SplitRecord:
    def by_language(name: str) -> dict[str, int]:
        return {lang: sum(text[name][side] for text in texts) for side, lang in enumerate(settings.languages)}

    return {
        "tokens": by_language("tokens"),
        "unknown": by_language("unknown"),
        "round_trips_checked": sum(text["round_trips"] for text in texts),
    }


def _removed(copies: int, records: Records) -> RemovedRecord:
    """The counts of each rule; those of binarisation are from the first copy of the training data."""
    first_copy = records.train_texts[: len(records.train_texts) // copies]
    cleaned = [record["counts"] for record in records.cleaned]
    counts = _sum([*cleaned, records.selected["counts"], *(text["left_out"] for text in first_copy)])
    examples = [*(pair for record in records.cleaned for pair in record["examples"]), *records.selected["examples"]]
    examples += [pair for text in records.train_texts for pair in text["examples"]]
    return {
        "read": counts["read"],
        "rules": {rule: counts[rule] for rule in ALL_RULES},
        "examples": RemovedPairs.shortened(examples),
    }


def _parts(records: Records) -> list[dict[str, Any]]:
    counts = {record["blocks"][0]["part"]: record["counts"] for record in records.cleaned}
    described = []
    for local in records.parts:
        part = local.part
        row: dict[str, Any] = {"name": part.name, "split": part.split}
        if part.split == "train":
            in_training = records.selected["parts"].get(part.name, 0)
            row |= {"weight": part.weight, "counts": counts[part.name], "selected": in_training}
        else:
            row |= {"pairs": records.splits[part.split]["pairs"]}
        described.append({**row, "expected_pairs": part.expected_pairs, "expected_from": part.origin})
    return described


def _sum(records: Iterable[dict[str, int]]) -> Counter[str]:
    total: Counter[str] = Counter()
    for record in records:
        total.update(record)
    return total


def _files(out: Path) -> dict[str, FileRecord]:
    """Size and digest of every file of the data set."""
    paths = (path for path in sorted(out.rglob("*")) if path.is_file() and WORK not in path.parts)
    return {
        str(path.relative_to(out)): {"bytes": path.stat().st_size, "digest": file_digest(path)}
        for path in paths
        if path.name not in (MANIFEST, REPORT)
    }


def files_are_whole(out: Path, manifest: DataManifest) -> bool:
    """Whether every file of the manifest exists and has its size."""
    return all(
        (out / name).is_file() and (out / name).stat().st_size == record["bytes"]
        for name, record in manifest.files.items()
    )


def refuse_changed_inputs(out: Path, manifest: DataManifest, parts: list[Part]) -> None:
    """Compares the user's own files with those of a finished data set.

    Raises:
        ResMLPError: a file has changed since; the message names it.
    """
    recorded = {(record["file"], record["digest"]) for record in manifest.sources}
    for path in dict.fromkeys(member.source.local for part in parts for member in part.members):
        if path is not None and (path.name, file_digest(path)) not in recorded:
            raise ResMLPError(
                f"{path} has changed since {out} was prepared from it; choose another folder for --out, or start again "
                "with --overwrite"
            )
