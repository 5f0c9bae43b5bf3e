"""Picks a ResMLP and its training for a prepared data set by its size, and explains each pick in a line.

    python -m resmlp_mt.experiments.recommend DATA

prints the picks with their reasons and the expected time; `--form words` prints the language pair, the batch and the
options of fairseq-train for scripts/recipes/own.sh, `--form overrides` those of fairseq-hydra-train with
resmlp_mt/experiments/recipes/config/custom.yaml.

Without a GPU it picks a model that trains in hours on the processor; --for gpu or --for cpu asks for either. The picks
lie between settings that are in use for multi30k (29,000 pairs), IWSLT14 (160,000) and WMT14 (4.5 and 40.8 million).
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from resmlp_mt.common.errors import ResMLPError, require, require_choice
from resmlp_mt.experiments.launch import share_batch
from resmlp_mt.experiments.recommend.operations import training_operations
from resmlp_mt.experiments.recommend.scales import CPU_OPERATIONS, SCALES, Scale, scale_of
from resmlp_mt.experiments.recommend.training_time import gpu_line, measure_speed, number, time_line

TOKENS_PER_GPU = 4096  # as scripts/recipes/recipe.sh
VALIDATIONS = 50  # of a whole training
PATIENCE = 10  # validations without a better BLEU that end it
_POSITIONS = 8  # the size of A is a multiple of it
_PIECES = 10_000  # of a vocabulary, if the manifest does not say how many it has
# Of fairseq's Adagrad, which has no configuration of its own and so no defaults.
_HYDRA_ONLY = {"adagrad": {"optimizer.lr": "${optimization.lr}", "optimizer.weight_decay": 0.0}}


@dataclass(frozen=True)
class Data:
    """What the picks depend on.

    Attributes:
        pairs: of the training data.
        target_tokens: of the training data.
        joint: whether both languages have one vocabulary.
        max_subwords: of the longest training sentence.
        pieces: of the target's vocabulary.
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
        settings: of fairseq, by section and name: {"model.dropout": 0.3}.
        reason: why.
    """

    settings: dict[str, Any]
    reason: str


@dataclass(frozen=True)
class Recommendation:
    """All choices for a data set.

    Attributes:
        batch: target tokens of an update.
        passes: through the data, at most.
        operations: of the whole training, at most.
        scale: what the choices were made from.
        picks: the choices, the batch's reason among them.
    """

    batch: int
    passes: float
    operations: float
    scale: Scale
    picks: tuple[Pick, ...]

    @property
    def settings(self) -> dict[str, Any]:
        return {name: value for pick in self.picks for name, value in pick.settings.items()}

    def words(self) -> list[str]:
        """As options of fairseq-train, the batch left out."""
        words = []
        for key, value in self.settings.items():
            section, _, name = key.partition(".")
            option = section if name == "_name" else name
            words += [f"--{option.replace('_', '-')}", *([] if value is True else [str(value)])]
        return words

    def overrides(self) -> list[str]:
        """As overrides of fairseq-hydra-train, for one process."""
        tokens, update_freq = share_batch(self.batch, TOKENS_PER_GPU, 1)
        lists = {"optimization.update_freq": update_freq, "optimization.lr": self.settings["optimization.lr"]}
        optimizer = self.settings["optimizer._name"]
        plain = {**self.settings, **_HYDRA_ONLY.get(optimizer, {}), "dataset.max_tokens": tokens}
        return [
            *(_override(name, value) for name, value in plain.items() if name not in lists),
            *(f"{name}=[{value}]" for name, value in lists.items()),
        ]


def _override(name: str, value: Any) -> str:
    # own.yaml does not name the settings of the model and the optimizer: a plus adds one.
    is_added = name.startswith(("model.", "optimizer.")) and not name.endswith("._name")
    quoted = f"'{value}'" if "(" in str(value) else value
    return f"{'+' * is_added}{name}={quoted}"


def recommend(data: Data, device: str) -> Recommendation:
    """Picks everything.

    Args:
        data: to train on.
        device: "gpu" or "cpu".

    Raises:
        ResMLPError: when there is nothing to train on.
    """
    is_empty = data.pairs < 1 or data.target_tokens < 1
    require(not is_empty, "the training data", "at least one pair", "empty", "prepare it again")
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
        scale.batch,
        passes,
        updates * scale.batch * per_token,
        scale,
        (*_model_picks(data, scale), *_training_picks(data, scale, updates, passes, is_limited)),
    )


def _model_picks(data: Data, scale: Scale) -> tuple[Pick, ...]:
    positions = math.ceil((data.max_subwords + 1) / _POSITIONS) * _POSITIONS  # 1: the end of the sentence
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
            f"dropout {scale.dropout}: for a model of this size and a training until BLEU no longer rises",
        ),
    )


def _training_picks(data: Data, scale: Scale, updates: int, passes: float, is_limited: bool) -> tuple[Pick, ...]:
    warmup = min(scale.warmup, updates // 4)
    interval = updates // VALIDATIONS
    rate = scale.style.rate
    limit = ", as many as a processor manages in hours" if is_limited else ""
    return (
        Pick({}, f"{scale.batch:,} target tokens an update: larger batches pay with more data"),
        Pick(
            {"optimization.max_update": updates},
            f"at most {updates:,} updates: {number(passes)} passes through {data.target_tokens:,} target tokens{limit}",
        ),
        Pick(
            {**scale.style.optimizer, "optimization.lr": rate, "lr_scheduler.warmup_updates": warmup},
            f"{scale.style.optimizer_reason}: rising to {rate:g} over {warmup:,} updates, then falling with the square "
            "root of time",
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
    train, settings = manifest["splits"]["train"], manifest["settings"]
    pieces = manifest.get("vocabulary", {}).get("pieces") or [_PIECES]
    target_tokens = train["tokens"][settings["tgt"]]
    return Data(train["pairs"], target_tokens, settings["joint"], settings["max_subwords"], pieces[-1])


def pair_of(folder: Path) -> str:
    """The languages of a prepared folder, for example "en-de"."""
    settings = _manifest(folder)["settings"]
    return f"{settings['src']}-{settings['tgt']}"


def _manifest(folder: Path) -> dict[str, Any]:
    path = folder / "manifest.json"
    require(path.is_file(), "DATA", "a folder prepared by `python -m data_prep`", folder, "prepare it, or name another")
    return json.loads(path.read_text(encoding="utf-8"))


def device_of_machine() -> str:
    """ "gpu" where torch has one, as `launch` looks for them, otherwise "cpu"."""
    import torch

    return "gpu" if torch.cuda.device_count() else "cpu"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, metavar="DATA", help="prepared folder")
    parser.add_argument("--form", choices=("reasons", "words", "overrides"), default="reasons")
    parser.add_argument("--for", dest="device", metavar="{gpu,cpu}", help="default: what this machine has")
    args = parser.parse_args()
    try:
        data, pair = read_data(args.data), pair_of(args.data)
        machine = device_of_machine()
        device = args.device or machine
        require_choice("--for", device, tuple(SCALES))
        chosen = recommend(data, device)
    except ResMLPError as error:
        print(f"recommend.py: {error}", file=sys.stderr)
        return 2
    if args.form == "reasons":
        speed = measure_speed(machine)
        lines = [*(pick.reason for pick in chosen.picks), time_line(chosen.operations, chosen.scale, speed)]
        if device == "cpu":
            larger = recommend(data, "gpu")
            is_same = larger.scale == chosen.scale
            lines.append(gpu_line(larger.operations, larger.passes, None if is_same else larger.scale, speed))
    elif args.form == "words":
        lines = [pair, str(chosen.batch), *chosen.words()]
    else:
        lines = chosen.overrides()
    print("\n".join(lines))
    return 0
