"""Picks a ResMLP and its training settings by the size of a prepared data set, with a one-line reason for each pick.

    python -m resmlp_mt.experiments.recommend DATA

prints the picks with their reasons and the expected time; `--form options` prints the language pair, the batch and the
options of `fairseq-train`, `--form overrides` those of `fairseq-hydra-train` with the config `custom`.

Without a GPU it picks a model that trains in hours on a CPU; --for gpu or --for cpu selects the device. The picks
interpolate between settings that are used for multi30k (29,000 pairs), IWSLT14 (160,000) and WMT14 (4.5 and 40.8
million).
"""

from __future__ import annotations

import argparse
import math
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from resmlp_mt.common.data_manifest import DataManifest, read_manifest
from resmlp_mt.common.errors import ResMLPError
from resmlp_mt.experiments.launch.machines import TOKENS_PER_GPU, share_batch
from resmlp_mt.experiments.recipes.training_config import HYDRA_ONLY, train_options
from resmlp_mt.experiments.recommend.operations import training_operations
from resmlp_mt.experiments.recommend.scales import CPU_OPERATIONS, SCALES, Scale, scale_of
from resmlp_mt.experiments.recommend.training_time import gpu_line, measure_speed, number, time_line

VALIDATIONS = 50  # number of validations in a training
PATIENCE = 10  # validations without a better BLEU that end it
_POSITIONS = 8  # the number of positions is a multiple of this
_PIECES = 10_000  # assumed vocabulary size if the manifest has none


@dataclass(frozen=True)
class Data:
    """The properties of a data set that determine the picks.

    Attributes:
        pairs: number of training pairs.
        target_tokens: number of target tokens in the training data.
        joint: whether both languages share one vocabulary.
        max_subwords: length of the longest training sentence.
        pieces: size of the target vocabulary.
    """

    pairs: int
    target_tokens: int
    joint: bool
    max_subwords: int
    pieces: int = _PIECES


@dataclass(frozen=True)
class Pick:
    """One choice.

    Attributes:
        settings: fairseq settings by section and name: {"model.dropout": 0.3}.
        reason: one line for the user.
    """

    settings: dict[str, Any]
    reason: str


@dataclass(frozen=True)
class Recommendation:
    """All choices for a data set.

    Attributes:
        device: "gpu" or "cpu".
        batch: target tokens of an update.
        passes: maximum number of passes through the data.
        operations: maximum number of operations of the training.
        scale: row of the table that the choices come from.
        picks: the choices, including the reason for the batch.
    """

    device: str
    batch: int
    passes: float
    operations: float
    scale: Scale
    picks: tuple[Pick, ...]

    @property
    def settings(self) -> dict[str, Any]:
        """All settings, by section and name."""
        return {name: value for pick in self.picks for name, value in pick.settings.items()}

    def options(self) -> list[str]:
        """The settings as options of `fairseq-train`, without the batch."""
        return train_options(self.settings)

    def overrides(self) -> list[str]:
        """The settings as overrides of `fairseq-hydra-train`, for one process."""
        tokens, update_freq = share_batch(self.batch, TOKENS_PER_GPU, 1)
        lists = {"optimization.update_freq": update_freq, "optimization.lr": self.settings["optimization.lr"]}
        optimizer = self.settings["optimizer._name"]
        plain = {**self.settings, **HYDRA_ONLY.get(optimizer, {}), "dataset.max_tokens": tokens}
        return [
            *(_override(name, value) for name, value in plain.items() if name not in lists),
            *(f"{name}=[{value}]" for name, value in lists.items()),
        ]


def _override(name: str, value: Any) -> str:
    # custom.yaml has no settings of the model, the optimizer and some schedules; Hydra adds a setting with a plus.
    is_added = name.startswith(("model.", "optimizer.", "lr_scheduler.warmup_init")) and not name.endswith("._name")
    quoted = f"'{value}'" if "(" in str(value) else value
    return f"{'+' * is_added}{name}={quoted}"


def recommend(data: Data, device: str) -> Recommendation:
    """Picks all settings.

    Args:
        data: data to train on.
        device: "gpu" or "cpu".

    Raises:
        ResMLPError: when the data are empty.
    """
    if data.pairs < 1 or data.target_tokens < 1:
        raise ResMLPError("the training data are empty; prepare them again")
    scale = scale_of(data.pairs, device)
    length = math.ceil(data.target_tokens / data.pairs)
    per_token = training_operations(scale.dim, scale.hidden, scale.layers, data.pieces, length)
    tokens = scale.epochs * data.target_tokens
    is_limited = device == "cpu" and tokens * per_token > CPU_OPERATIONS
    if is_limited:
        tokens = int(CPU_OPERATIONS / per_token)
    updates = max(VALIDATIONS, math.ceil(tokens / scale.batch))
    passes = updates * scale.batch / data.target_tokens
    return Recommendation(
        device,
        scale.batch,
        passes,
        updates * scale.batch * per_token,
        scale,
        (*_model_picks(data, scale), *_training_picks(data, scale, updates, passes, is_limited)),
    )


def _model_picks(data: Data, scale: Scale) -> tuple[Pick, ...]:
    positions = math.ceil((data.max_subwords + 1) / _POSITIONS) * _POSITIONS  # 1 for the end of the sentence
    sides = {
        f"model.{side}_{name}": value
        for side in ("encoder", "decoder")
        for name, value in (("embed_dim", scale.dim), ("ffn_embed_dim", scale.hidden), ("layers", scale.layers))
    }
    shared = "share_all_embeddings" if data.joint else "share_decoder_input_output_embed"
    return (
        Pick(
            {**sides, "model.cross_attention_heads": scale.heads},
            f"{scale.size}: {data.pairs:,} pairs, {scale.known}",
        ),
        Pick(dict(scale.style.model), scale.style.model_reason),
        Pick(
            {f"model.{shared}": True},
            "one embedding table for "
            + ("both languages: one vocabulary" if data.joint else "input and output of the target"),
        ),
        Pick(
            {"model.max_source_positions": positions, "model.max_target_positions": positions},
            f"mixing matrices of {positions} positions: a training sentence has at most {data.max_subwords} sub-words",
        ),
        Pick(
            {"model.dropout": scale.dropout},
            f"dropout {scale.dropout}: for a model of this size that is trained until BLEU stops rising",
        ),
    )


def _training_picks(data: Data, scale: Scale, updates: int, passes: float, is_limited: bool) -> tuple[Pick, ...]:
    warmup = min(scale.warmup, updates // 4)
    interval = updates // VALIDATIONS
    rate = scale.style.rate
    limit = ", what a CPU computes in hours" if is_limited else ""
    return (
        Pick({}, f"{scale.batch:,} target tokens an update: larger batches help with more data"),
        Pick(
            {"optimization.max_update": updates},
            f"at most {updates:,} updates: {number(passes)} passes through {data.target_tokens:,} target tokens{limit}",
        ),
        Pick(
            {**scale.style.optimizer, "optimization.lr": rate, "lr_scheduler.warmup_updates": warmup},
            f"{scale.style.optimizer_reason}: rising to {rate:g} over {warmup:,} updates, then {scale.style.schedule}",
        ),
        Pick(
            {"checkpoint.save_interval_updates": interval, "checkpoint.patience": PATIENCE},
            f"validated every {interval:,} updates; ends after {PATIENCE} validations without a better BLEU",
        ),
    )


def read_data(folder: Path) -> Data:
    """Reads `manifest.json` of a prepared folder.

    Raises:
        ResMLPError: when the folder has none.
    """
    manifest = _manifest(folder)
    train, settings = manifest.splits["train"], manifest.settings
    pieces = manifest.vocabulary.get("pieces") or [_PIECES]
    target_tokens = train["tokens"][settings["tgt"]]
    return Data(train["pairs"], target_tokens, settings["joint"], settings["max_subwords"], pieces[-1])


def pair_of(folder: Path) -> str:
    """The languages of a prepared folder, for example "en-de"."""
    return "-".join(_manifest(folder).languages)


def _manifest(folder: Path) -> DataManifest:
    manifest = read_manifest(folder)
    if manifest is None:
        raise ResMLPError(f"DATA must be a folder prepared by `resmlp-mt prepare`, but {folder} has no manifest.json")
    return manifest


def device_of_machine() -> str:
    """Returns "gpu" if torch finds one, as the launcher does, else "cpu"."""
    import torch

    return "gpu" if torch.cuda.device_count() else "cpu"


def recommend_for(folder: Path, device: str | None = None) -> Recommendation:
    """Picks all settings for a prepared folder.

    Args:
        folder: folder prepared by `resmlp-mt prepare`.
        device: "gpu" or "cpu" (default: the one of this machine).

    Raises:
        ResMLPError: when the folder is not prepared, or the device is unknown.
    """
    data = read_data(folder)
    device = device or device_of_machine()
    if device not in SCALES:
        raise ResMLPError(f"--for must be one of {', '.join(SCALES)}, not {device!r}")
    return recommend(data, device)


def explain(folder: Path, chosen: Recommendation) -> list[str]:
    """Lines for the user: a reason for each pick, the expected time, and for a CPU model the picks for a GPU."""
    machine = device_of_machine()
    speed = measure_speed(machine)
    lines = [*(pick.reason for pick in chosen.picks), time_line(chosen.operations, chosen.scale, speed)]
    if chosen.device == "cpu":
        larger = recommend(read_data(folder), "gpu")
        is_same = larger.scale == chosen.scale
        lines.append(gpu_line(larger.operations, larger.passes, None if is_same else larger.scale, speed))
    return lines


def main() -> int:
    """Prints the picks for a prepared folder."""
    parser = argparse.ArgumentParser(
        prog="python -m resmlp_mt.experiments.recommend",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("data", type=Path, metavar="DATA", help="prepared data folder")
    parser.add_argument(
        "--form",
        choices=("reasons", "options", "overrides"),
        default="reasons",
        type=lambda form: "options" if form == "words" else form,  # its name up to version 0.1.1
        help="what to print (default: reasons)",
    )
    parser.add_argument("--for", dest="device", metavar="{gpu,cpu}", help="device (default: the one of this machine)")
    args = parser.parse_args()
    try:
        chosen = recommend_for(args.data, args.device)
        if args.form == "options":
            lines = [pair_of(args.data), str(chosen.batch), *chosen.options()]
        elif args.form == "overrides":
            lines = chosen.overrides()
        else:
            lines = explain(args.data, chosen)
    except ResMLPError as error:
        print(f"recommend.py: {error}", file=sys.stderr)
        return 2
    print("\n".join(lines))
    return 0
