"""Tables of settings by data set size, for a GPU and for a CPU, that `recommendation` picks from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from resmlp_mt.experiments.recipes.training_config import batch_of, read_config

_MULTI30K = read_config("multi30k")
# Dropout of small models that are trained until validation BLEU stops rising: the value of the recipe for multi30k.
CONVERGENCE_DROPOUT = float(_MULTI30K["model.dropout"])


@dataclass(frozen=True)
class Style:
    """Settings that were tested together.

    Attributes:
        model: settings of the model, by section and name.
        model_reason: one line for the user.
        optimizer: settings of optimizer and schedule; all styles share clipping at 1.0.
        optimizer_reason: one line for the user.
        schedule: the learning rate after the warm-up, in words.
        rate: peak learning rate.
    """

    model: Mapping[str, Any]
    model_reason: str
    optimizer: Mapping[str, Any]
    optimizer_reason: str
    schedule: str
    rate: float


SWEPT = Style(
    {"model.norm": "layernorm", "model.layer_scale": 1.0, "model.positional_embeddings": "sinusoidal"},
    "LayerNorm, LayerScale 1, sinusoidal positions: best in the sweep on multi30k (docs/results.md)",
    {name: _MULTI30K[name] for name in ("optimizer._name", "lr_scheduler._name")},
    "Adagrad, as in the recipe for multi30k",
    "constant",
    float(_MULTI30K["optimization.lr"][0]),
)
PAPER_MODEL = Style(
    {"model.norm": "affine"},
    "Affine, LayerScale 0.2, no positions: as in the paper, free at inference",
    {
        **{"optimizer._name": "adam", "optimizer.adam_betas": "(0.9,0.98)"},
        **{"lr_scheduler._name": "inverse_sqrt", "lr_scheduler.warmup_init_lr": "1e-7"},
    },
    "Adam, as for a Transformer of this size",
    "falling with the square root of time",
    5e-4,
)


@dataclass(frozen=True)
class Scale:
    """The settings for data sets from a number of pairs on.

    Attributes:
        pairs: minimum number of pairs.
        known: comparison with a well-known data set, for the reason.
        dim, hidden, layers, heads: sizes of the model.
        style: settings of model and optimizer.
        dropout: dropout; among models of the same dim, higher for less data.
        warmup: updates until the learning rate reaches its peak.
        batch: target tokens per update.
        epochs: passes through the data, unless validation ends the training earlier.
    """

    pairs: int
    known: str
    dim: int
    hidden: int
    layers: int
    heads: int
    style: Style
    dropout: float
    warmup: int
    batch: int
    epochs: int

    @property
    def size(self) -> str:
        """The size of the model as text."""
        return f"{self.layers}+{self.layers} layers of {self.dim}/{self.hidden}"


_SMALL = (
    Scale(0, "fewer than multi30k's 29,000", 128, 512, 2, 4, SWEPT, CONVERGENCE_DROPOUT, 500, 1024, 100),
    Scale(
        10_000,
        "about as many as multi30k's 29,000",
        128,
        512,
        3,
        4,
        SWEPT,
        CONVERGENCE_DROPOUT,
        int(_MULTI30K["lr_scheduler.warmup_updates"]),
        batch_of(_MULTI30K),
        int(_MULTI30K["optimization.max_epoch"]),
    ),
)
# From one row to the next, model, warm-up and batch never shrink, and passes never grow.
SCALES: Mapping[str, tuple[Scale, ...]] = {
    "gpu": (
        *_SMALL,
        Scale(60_000, "about as many as IWSLT14's 160,000", 512, 1024, 6, 4, PAPER_MODEL, 0.3, 4000, 4096, 50),
        Scale(300_000, "between IWSLT14's and WMT14's", 512, 2048, 6, 8, PAPER_MODEL, 0.2, 4000, 16_384, 40),
        Scale(
            2_000_000,
            "about as many as WMT14 en-de's 4.5 million",
            512,
            2048,
            6,
            8,
            PAPER_MODEL,
            0.15,
            4000,
            32_768,
            25,
        ),
        Scale(
            15_000_000,
            "about as many as WMT14 en-fr's 40.8 million",
            512,
            2048,
            12,
            8,
            PAPER_MODEL,
            0.1,
            4000,
            32_768,
            8,
        ),
    ),
    # Twice multi30k's dim for more data. Note: no training with this dim has been run to its end.
    "cpu": (
        *_SMALL,
        Scale(
            60_000, "about as many as IWSLT14's 160,000", 256, 1024, 3, 4, SWEPT, CONVERGENCE_DROPOUT, 2000, 2048, 40
        ),
        Scale(300_000, "more than IWSLT14's 160,000", 256, 1024, 3, 4, SWEPT, 0.1, 2000, 4096, 20),
    ),
}

# A training on a CPU takes at most 12 hours at 50 GFLOP/s, which two cores with AVX2 sustain. The number is the same on
# every machine, because a training must get the same settings when it resumes.
CPU_OPERATIONS = 12 * 3600 * 50e9


def scale_of(pairs: int, device: str) -> Scale:
    """The row for a number of pairs and a device ("gpu" or "cpu")."""
    return [scale for scale in SCALES[device] if pairs >= scale.pairs][-1]
