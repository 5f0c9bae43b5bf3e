"""The trainings of the study on digits: their sections, titles, data and options."""

from __future__ import annotations

from dataclasses import dataclass

from resmlp_mt.experiments.processes import ROOT
from resmlp_mt.experiments.recipes.training_config import read_config, select, train_options


def _recipe_options(name: str, *prefixes: str) -> tuple[str, ...]:
    """Options of `fairseq-train` from a recipe, in the order of the prefixes.

    The data set is not taken from the recipe. Whole numbers have no ".0", as in the settings that earlier versions
    recorded: `runs.claim` compares texts, and an interrupted study must still resume.
    """
    config, own = read_config(name), ("task.data", "task.dataset_name")
    settings = {key: value for prefix in prefixes for key, value in select(config, (prefix,), own).items()}
    return tuple(option.removesuffix(".0") for option in train_options(settings))


IMAGES = ("--dataset-name", "folder", "--channels", "1", "--image-size", "8")
SHARED = ("--user-dir", str(ROOT / "resmlp_mt"), "--arch", "resmlp_digits", "--num-workers", "0", "--cpu")
LOG = ("--no-progress-bar", "--log-format", "json", "--log-interval", "20", "--no-epoch-checkpoints")
# The demo's settings: the paper's optimizer and schedule, with crops as the only augmentation.
_VALIDATION = ("--validate-interval", "1000")
SUPERVISED = (
    *_recipe_options(
        "vision_digits",
        *("task._name", "criterion.", "optimizer.", "optimization.lr", "lr_scheduler._name", "task."),
    ),
    *("--batch-size", "50", *_VALIDATION),
)
DINO = (
    *_recipe_options(
        "dino_digits",
        *("task._name", "criterion.", "model.layer_scale", "task.", "optimizer.", "optimization.lr", "lr_scheduler."),
        *("optimization.clip_norm", "dataset.batch_size"),
    ),
    *_VALIDATION,
)
DISTILLED = ("--criterion", "resmlp_image_distillation", "--teacher")
LENGTHS = {"long": "updates", "short": "short_updates", "dino": "dino_updates"}
WITH_ALL, WITHOUT = "all {images} labels, {long} updates", "no labels, {dino} updates"
WITH_FEW, WITH_FEW_SHORT = "{few} labels, {long} updates", "{few} labels, {short} updates"
TRANSFER, TRANSFER_SHORT = (f"digits 5 to 9, {{few_of_five}} labels, {{{time}}} updates" for time in ("long", "short"))


@dataclass(frozen=True)
class Entry:
    """One training, and its row of the table.

    Attributes:
        name: name of its folder.
        section: section of the table.
        title: title in the table.
        data: the images that it trains on, one of the sets that `write_images` writes.
        options: options of fairseq-train, after those that all trainings of its kind share.
        after: name of the entry whose last checkpoint is the value of the last option.
        updates: length of the training: "long", "short" or "dino".
    """

    name: str
    section: str
    title: str
    data: str
    options: tuple[str, ...] = ()
    after: str | None = None
    updates: str = "long"


def _pair(
    name: str, section: str, title: str, data: str, first: str, after: str, updates: str = "long"
) -> tuple[Entry, Entry]:
    """The same training from scratch and from the checkpoint of another one."""
    scale = ("--layer-scale", "1") if after == "dino" else ()  # DINO's value, which scales the updates
    return (
        Entry(f"{name}_{updates}", section, title, data, scale, updates=updates),
        Entry(f"{name}_{updates}_after", section, f"after {first}", data, (*scale, "--init-from"), after, updates),
    )


ENTRIES = (
    Entry("linear", WITH_ALL, "paper: linear mixing, Affine, average", "all"),
    Entry("layernorm", WITH_ALL, "LayerNorm instead of Affine", "all", ("--norm", "layernorm")),
    Entry("class_mlp", WITH_ALL, "class-MLP instead of the average", "all", ("--pooling", "class_mlp")),
    *(
        Entry(f"mixing_{kind}", WITH_ALL, f"mixing: {title}", "all", ("--mixing", kind))
        for kind, title in (
            ("none", "none"),
            ("mlp", "MLP"),
            ("conv", "3 x 3 convolution (the teacher)"),
            ("depthwise", "depth-wise 3 x 3 convolution"),
            ("separable", "depth-separable 3 x 3 convolution"),
        )
    ),
    Entry("few", WITH_FEW, "alone", "few"),
    Entry("few_hard", WITH_FEW, "distilled, hard labels", "few", DISTILLED, "mixing_conv"),
    Entry("few_soft", WITH_FEW, "distilled, soft labels", "few", ("--distillation", "soft", *DISTILLED), "mixing_conv"),
    *_pair("few_dino", WITH_FEW, "LayerScale from 1", "few", "DINO without labels", "dino"),
    *_pair("few_dino", WITH_FEW_SHORT, "LayerScale from 1", "few", "DINO without labels", "dino", "short"),
    *_pair("high", TRANSFER, "alone", "few of 5 to 9", "digits 0 to 4", "low"),
    *_pair("high", TRANSFER_SHORT, "alone", "few of 5 to 9", "digits 0 to 4", "low", "short"),
)
# Other trainings start from these; "low" has no row in the table.
PREREQUISITES = (
    Entry("low", TRANSFER, "digits 0 to 4", "0 to 4"),
    Entry("dino", WITHOUT, "DINO", "all", updates="dino"),
)
