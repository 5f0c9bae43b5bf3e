"""Picks a ResMLP and its training for a prepared data set by its size, and explains each pick in a line.

    python scripts/recommend.py DATA                    # the picks with their reasons
    python scripts/recommend.py DATA --form words       # for scripts/own.sh: the batch, then words of fairseq-train
    python scripts/recommend.py DATA --form overrides   # for fairseq-hydra-train with scripts/config/own.yaml

The picks lie between settings that are in use for multi30k (29,000 pairs), IWSLT14 (160,000) and WMT14 (4.5 and 40.8
million).
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from launch import share_batch

from resmlp_mt.errors import ResMLPError, require

TOKENS_PER_GPU = 4096  # as scripts/recipe.sh
VALIDATIONS = 50  # of a whole training
_POSITIONS = 8  # the size of A is a multiple of it


@dataclass(frozen=True)
class Scale:
    """What suits data sets from a number of pairs on.

    Attributes:
        pairs: the least number.
        known: the data set of this scale that the settings are in use for, and where.
        dim, hidden, layers, heads: of the model.
        norm: before the sublayers.
        dropout: against learning a small data set by heart.
        rate: peak of the learning rate.
        warmup: updates until it is reached.
        batch: target tokens of an update.
        epochs: passes through the data, if validation does not end the training before.
    """

    pairs: int
    known: str
    dim: int
    hidden: int
    layers: int
    heads: int
    norm: str
    dropout: float
    rate: float
    warmup: int
    batch: int
    epochs: int


# From one row to the next, model, warm-up and batch grow or stay, and dropout, rate and epochs shrink or stay.
SCALES = (
    Scale(0, "less than multi30k", 128, 512, 2, 4, "layernorm", 0.3, 5e-3, 500, 1024, 100),
    Scale(10_000, "multi30k, 29,000 pairs (Wu et al. 2021)", 128, 512, 3, 4, "layernorm", 0.3, 5e-3, 1000, 2048, 60),
    Scale(60_000, "IWSLT14, 160,000 pairs (fairseq)", 512, 1024, 6, 4, "affine", 0.3, 5e-4, 4000, 4096, 50),
    Scale(300_000, "between IWSLT14 and WMT14", 512, 2048, 6, 8, "affine", 0.2, 5e-4, 4000, 16_384, 40),
    Scale(2_000_000, "WMT14 en-de, 4.5 million pairs", 512, 2048, 6, 8, "affine", 0.15, 5e-4, 4000, 32_768, 25),
    Scale(15_000_000, "WMT14 en-fr, 40.8 million pairs", 512, 2048, 12, 8, "affine", 0.1, 5e-4, 4000, 32_768, 8),
)


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
        picks: the choices, the batch's reason among them.
    """

    batch: int
    picks: tuple[Pick, ...]

    @property
    def settings(self) -> dict[str, Any]:
        return {name: value for pick in self.picks for name, value in pick.settings.items()}

    def words(self) -> list[str]:
        """As words of fairseq-train, the batch left out."""
        words = []
        for name, value in self.settings.items():
            words += [f"--{name.partition('.')[2].replace('_', '-')}", *([] if value is True else [str(value)])]
        return words

    def overrides(self) -> list[str]:
        """As words of fairseq-hydra-train, for one process."""
        tokens, update_freq = share_batch(self.batch, TOKENS_PER_GPU, 1)
        lists = {"optimization.update_freq": update_freq, "optimization.lr": self.settings["optimization.lr"]}
        plain = {**self.settings, "dataset.max_tokens": tokens}
        return [
            # own.yaml does not name the model's settings: a plus adds one.
            *(f"{'+' * name.startswith('model.')}{name}={value}" for name, value in plain.items() if name not in lists),
            *(f"{name}=[{value}]" for name, value in lists.items()),
        ]


def scale_of(pairs: int) -> Scale:
    """The last row of `SCALES` that a number of pairs reaches."""
    return [scale for scale in SCALES if pairs >= scale.pairs][-1]


def recommend(pairs: int, target_tokens: int, joint: bool, max_subwords: int) -> Recommendation:
    """Picks everything.

    Args:
        pairs: of the training data.
        target_tokens: of the training data.
        joint: whether both languages have one vocabulary.
        max_subwords: of the longest training sentence.

    Raises:
        ResMLPError: when there is nothing to train on.
    """
    require(pairs >= 1 and target_tokens >= 1, "the training data", "at least one pair", "empty", "prepare it again")
    scale = scale_of(pairs)
    updates = max(VALIDATIONS, math.ceil(scale.epochs * target_tokens / scale.batch))
    warmup = min(scale.warmup, updates // 4)
    positions = math.ceil((max_subwords + 1) / _POSITIONS) * _POSITIONS  # 1: the end of the sentence
    sides = {
        f"model.{side}_{name}": value
        for side in ("encoder", "decoder")
        for name, value in (("embed_dim", scale.dim), ("ffn_embed_dim", scale.hidden), ("layers", scale.layers))
    }
    shared = "share_all_embeddings" if joint else "share_decoder_input_output_embed"
    interval = updates // VALIDATIONS
    picks = (
        Pick(
            {**sides, "model.cross_attention_heads": scale.heads},
            f"{scale.layers}+{scale.layers} layers of {scale.dim}/{scale.hidden}: {pairs:,} pairs, like {scale.known}",
        ),
        Pick({"model.norm": scale.norm}, f"{scale.norm}: " + _norm_reason(scale)),
        Pick(
            {f"model.{shared}": True},
            "one embedding table for "
            + ("both languages: one vocabulary" if joint else "input and output of the target"),
        ),
        Pick(
            {"model.max_source_positions": positions, "model.max_target_positions": positions},
            f"mixing matrices of {positions} positions: a training sentence has at most {max_subwords} sub-words",
        ),
        Pick(
            {"model.dropout": scale.dropout}, f"dropout {scale.dropout}: the less data, the more, as for {scale.known}"
        ),
        Pick({}, f"{scale.batch:,} target tokens an update: larger batches pay with more data"),
        Pick(
            {"optimization.max_update": updates},
            f"{updates:,} updates: at most {max(1, round(updates * scale.batch / target_tokens)):,} passes through "
            f"{target_tokens:,} target tokens",
        ),
        Pick(
            {"optimization.lr": scale.rate, "lr_scheduler.warmup_updates": warmup},
            f"Adam, rising to {scale.rate:g} over {warmup:,} updates, then falling with the square root of time: "
            "the wider the model, the lower",
        ),
        Pick(
            {"checkpoint.save_interval_updates": interval, "checkpoint.patience": VALIDATIONS // 5},
            f"validated every {interval:,} updates; ends after {VALIDATIONS // 5} validations without a better BLEU",
        ),
    )
    return Recommendation(scale.batch, picks)


def _norm_reason(scale: Scale) -> str:
    if scale.norm == "layernorm":
        return "ahead of affine by 1 BLEU on multi30k in a first prototype, one seed"
    return "as the paper's, free at inference"


def recommend_for(data: Path) -> Recommendation:
    """Reads `manifest.json` and picks everything.

    Raises:
        ResMLPError: when the folder has none.
    """
    path = data / "manifest.json"
    require(path.is_file(), "DATA", "a folder prepared by `python -m data_prep`", data, "prepare it, or name another")
    manifest = json.loads(path.read_text(encoding="utf-8"))
    train, settings = manifest["splits"]["train"], manifest["settings"]
    return recommend(train["pairs"], train["tokens"][settings["tgt"]], settings["joint"], settings["max_subwords"])


def pair_of(data: Path) -> str:
    """The languages of a prepared folder, for example "en-de"."""
    settings: Mapping[str, str] = json.loads((data / "manifest.json").read_text(encoding="utf-8"))["settings"]
    return f"{settings['src']}-{settings['tgt']}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, metavar="DATA", help="prepared folder")
    parser.add_argument("--form", choices=("reasons", "words", "overrides"), default="reasons")
    args = parser.parse_args()
    try:
        found = recommend_for(args.data)
    except ResMLPError as error:
        print(f"recommend.py: {error}", file=sys.stderr)
        return 2
    if args.form == "reasons":
        lines = [pick.reason for pick in found.picks]
    elif args.form == "words":
        lines = [pair_of(args.data), str(found.batch), *found.words()]
    else:
        lines = found.overrides()
    print("\n".join(lines))
    return 0


if __name__ == "__main__":
    sys.exit(main())
