"""Packages a checkpoint and its data folder as a bundle with a model card."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from resmlp_mt.common import files
from resmlp_mt.common.data_folder import RAW
from resmlp_mt.common.data_manifest import MANIFEST, DataManifest, read_manifest
from resmlp_mt.common.errors import ResMLPError
from resmlp_mt.common.versions import versions
from resmlp_mt.common.vocabularies import require_same_vocabularies
from resmlp_mt.translation.bundle.checkpoint_import import read_trained_model
from resmlp_mt.translation.bundle.format import (
    CARD,
    CONFIG,
    INT8,
    NONE,
    PARAMETERS,
    BundleConfig,
    Side,
    read_bundle,
    read_config,
    side_files,
    write_bundle,
)
from resmlp_mt.translation.search.settings import SearchSettings
from resmlp_mt.translation.text.dictionary import read_dictionary
from resmlp_mt.translation.text.normalization import TextSettings
from resmlp_mt.translation.text.tokenizer import Tokenizer


def bundle_checkpoint(
    checkpoint: Path,
    data: Path,
    out: Path,
    decoding: SearchSettings,
    licence: str = "",
    note: str = "",
    text: TextSettings | None = None,
    quantization: str = NONE,
) -> BundleConfig:
    """Makes a bundle.

    Args:
        checkpoint: from `fairseq-train` or `average_checkpoints`.
        data: the folder that the model was trained on, with dictionaries and sentencepiece models.
        out: folder of the bundle.
        decoding: defaults of the search.
        licence: of the model, for its card.
        note: for the card.
        text: preparation of the training text, if the data has no manifest.
        quantization: of the weights, one of `format.QUANTIZATIONS`.

    Raises:
        ResMLPError: when something is missing or does not fit together.
    """
    trained = read_trained_model(checkpoint)
    languages = trained.languages or find_languages(data)
    manifest = read_manifest(data)
    text = text_settings(manifest) if manifest and text is None else text or TextSettings()
    for lang in languages:
        _require_as_prepared(data, f"dict.{lang}.txt", manifest)
    sides = [
        Side(lang, _sentencepiece_model(data, lang), read_dictionary(data / f"dict.{lang}.txt")) for lang in languages
    ]
    symbols = {"source": sides[0].symbols, "target": sides[1].symbols}
    require_same_vocabularies(trained.extra_state, symbols, checkpoint, data)
    for side in sides:  # detects a sentencepiece model of another vocabulary
        Tokenizer(side.sentencepiece, side.symbols, text, side.lang)
    config = BundleConfig(
        architecture=trained.architecture,
        options=trained.options,
        languages=languages,
        joint=False,
        text=text,
        decoding=decoding,
        digests={},
        about={
            "versions": versions(),
            "licence": licence,
            "note": note,
            "training": {
                "checkpoint": files.file_digest(checkpoint),
                "updates": trained.updates,
                "validation_loss": trained.validation_loss,
                "data": _summary(data, manifest),
            },
            "scores": [],
        },
        quantization=quantization,
    )
    written = write_bundle(out, config, trained.parameters, (sides[0], sides[1]))
    write_card(out, written)
    return written


def quantize_bundle(path: Path, out: Path) -> BundleConfig:
    """Makes a bundle with int8 weights from one with float32 weights. Its scores are left out: they are not its own.

    Args:
        path: the bundle.
        out: folder of the new bundle.

    Raises:
        ResMLPError: when the bundle cannot be read or is quantized already, or the new one cannot be written.
    """
    bundle = read_bundle(path)
    config = bundle.config
    if bundle.is_quantized:
        raise ResMLPError(f"{path} is quantized already; give the bundle that it was made from")
    models = [(path / name).read_bytes() for name, _ in side_files(config.joint)]
    tokenizers = (bundle.source, bundle.target)
    source, target = (
        Side(lang, model, list(tokenizer.symbols))
        for lang, model, tokenizer in zip(
            config.languages, models * 2 if config.joint else models, tokenizers, strict=True
        )
    )
    about = {**config.about, "scores": [], "quantized_from": config.digests[PARAMETERS]}
    quantized = replace(config, quantization=INT8, about=about)
    written = write_bundle(out, quantized, bundle.model.state_dict(), (source, target))
    write_card(out, written)
    return written


def find_languages(data: Path) -> tuple[str, str]:
    """The languages of a data folder, by the names of its binarised files, as fairseq finds them.

    Raises:
        ResMLPError: when there are none, or of several pairs.
    """
    names = (
        re.fullmatch(r"(?:train|valid|test)\.([^.-]+)-([^.-]+)\.[^.]+\.idx", path.name) for path in data.glob("*.idx")
    )
    pairs = {(match[1], match[2]) for match in names if match}
    if len(pairs) != 1:
        raise ResMLPError(
            f"{data} must contain the binarised data of exactly one language pair, but contains {sorted(pairs)}; "
            "check --data"
        )
    return pairs.pop()


def _require_as_prepared(data: Path, name: str, manifest: DataManifest | None) -> None:
    """Raises a `ResMLPError` if a dictionary has been changed since the manifest was written."""
    digest = manifest.digest_of(name) if manifest else None
    if digest and (data / name).is_file() and files.file_digest(data / name) != digest:
        raise ResMLPError(
            f"{data / name} must be the vocabulary that was prepared, but was changed after {MANIFEST} was written; "
            "put the original back, or prepare the data again and train on it"
        )


def text_settings(manifest: DataManifest | None) -> TextSettings:
    """How the text of a data folder was prepared for sentencepiece; not at all without a manifest."""
    settings = manifest.settings if manifest else {}
    return TextSettings(**{name: settings[name] for name in TextSettings.__dataclass_fields__ if name in settings})


def _sentencepiece_model(data: Path, lang: str) -> bytes:
    for name in (f"spm.{lang}.model", "spm.model"):
        if (data / name).is_file():
            return (data / name).read_bytes()
    raise ResMLPError(f"{data} must hold spm.model or spm.{lang}.model, but holds neither; put the model there")


def read_segmenter(data: Path, lang: str, symbols: Sequence[str], manifest: DataManifest | None) -> Tokenizer:
    """The tokenizer of one language of a data folder, as in a bundle made from it.

    Raises:
        ResMLPError: when the folder has no sentencepiece model, or that of another vocabulary.
    """
    return Tokenizer(_sentencepiece_model(data, lang), symbols, text_settings(manifest), lang)


def _summary(data: Path, manifest: DataManifest | None) -> dict[str, Any]:
    """The part of the manifest that a bundle stores to identify its data."""
    if manifest is None:
        return {}
    held_out = {name: record["digest"] for name, record in manifest.files.items() if name.startswith(f"{RAW}/")}
    return {**manifest.summary(data), "held_out": held_out}


def add_scores(path: Path, scores: Sequence[Mapping[str, Any]]) -> None:
    """Writes the scores of `evaluate` into a bundle, replacing older scores on the same test set."""
    config = read_config(path)
    replaced = {score["test_set"] for score in scores}
    kept = [score for score in config.about.get("scores", []) if score["test_set"] not in replaced]
    about = {**config.about, "scores": [*kept, *scores]}
    updated = BundleConfig(**{**vars(config), "about": about})
    files.write_json(path / CONFIG, updated.as_json())
    write_card(path, updated)


def write_card(path: Path, config: BundleConfig) -> None:
    """Writes the model card."""
    about, training = config.about, config.about["training"]
    source, target = config.languages
    data = training["data"]
    corpus = data.get("settings", {}).get("corpus", "not recorded")
    pairs = data.get("pairs", {}).get("train", "not recorded")
    rows = []
    for score in about["scores"]:
        signature = score["signature"].replace("|", "\\|")  # a plain | would end the table cell
        rows.append(f"| {score['test_set']} | {score['metric']} | {score['score']:.2f} | `{signature}` |")
    table = ["| test set | metric | score | signature |", "| --- | --- | --- | --- |", *rows]
    lines = [
        f"# Translation {source} to {target}: {config.architecture}",
        "",
        about["note"] or "An attention-free ResMLP sequence-to-sequence model (arXiv:2105.03404).",
        "",
        f"- Licence: {about['licence'] or 'not stated'}",
        f"- Training data: {corpus}, {pairs} sentence pairs; {training['updates']} updates",
        f"- Longest sentence: {config.options.max_source_positions} sub-words; longer lines are split",
        f"- Weights: {'float32' if config.quantization == NONE else config.quantization}",
        f"- Made with: {', '.join(f'{name} {number}' for name, number in about['versions'].items())}",
        "",
        "## Use",
        "",
        "    resmlp-mt translate MODEL < source.txt > translation.txt",
        "",
        "## Scores",
        "",
        *(table if rows else ["Not measured. `resmlp-mt evaluate MODEL ... --update-card` writes them here."]),
    ]
    files.write_text(path / CARD, "\n".join(lines) + "\n")
