"""What each part of the image side does, trained and measured on scikit-learn's digits, with several seeds.

With all labels: the paper's classifier, LayerNorm, class-MLP, and each way of mixing. With few labels: alone, distilled
from a convolutional network, and after DINO without labels. Transfer: the digits 5 to 9 with few labels, from scratch
and after 0 to 4. Without labels: k-NN and a linear layer on DINO's features and on random ones. What begins with
trained parameters is trained for long and for short. Every training is measured at its end, on pictures held out.
Interrupted, the same command goes on where it was.

    python -m resmlp_mt.experiments.study --work runs/study_digits --output results/study_digits.json
"""

from __future__ import annotations

import argparse
import random
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from resmlp_mt.common.errors import require_whole_number
from resmlp_mt.common.files import write_json, write_text
from resmlp_mt.common.versions import versions
from resmlp_mt.experiments.compare.command import guarded
from resmlp_mt.experiments.compare.runs import claim, load
from resmlp_mt.experiments.compare.table import mean_and_spread
from resmlp_mt.experiments.measure.machine import MachineWatch, machine_line
from resmlp_mt.experiments.processes import ROOT, CommandError, Commands, run_jobs
from resmlp_mt.experiments.study.figure import draw_study
from resmlp_mt.vision.data.datasets import load_dataset

PICTURES = ("--dataset-name", "folder", "--channels", "1", "--image-size", "8")
SHARED = ("--user-dir", str(ROOT / "resmlp_mt"), "--arch", "resmlp_digits", "--num-workers", "0", "--cpu")
LOG = ("--no-progress-bar", "--log-format", "json", "--log-interval", "20", "--no-epoch-checkpoints")
# The demo's scheme: the paper's optimiser and schedule, and crops as the only change, see scripts/demo_vision.sh.
SUPERVISED = (
    *("--task", "resmlp_image_classification", "--criterion", "resmlp_image_cross_entropy", "--label-smoothing", "0.1"),
    *("--optimizer", "resmlp_lamb", "--lr", "0.02", "--lr-scheduler", "cosine"),
    *("--repeated-augmentation", "1", "--rand-augment", "none", "--random-erasing", "0", "--mixup", "0"),
    *("--cutmix", "0", "--flip", "0", "--crop-scale", "0.7", "--batch-size", "50", "--validate-interval", "1000"),
)
# scripts/recipes/dino_digits.sh says why.
DINO = (
    *("--task", "resmlp_dino", "--criterion", "resmlp_dino", "--layer-scale", "1", "--local-crops", "2"),
    *("--local-crop-size", "6", "--crop-split", "0.6", "--smallest-crop", "0.3", "--flip", "0", "--colours", "0.5"),
    *("--blur", "0", "--head-dim", "256", "--head-hidden-dim", "128", "--head-bottleneck-dim", "32"),
    *("--teacher-momentum", "0.98", "--optimizer", "resmlp_adamw", "--weight-decay", "0.04", "--lr", "3e-3"),
    *("--lr-scheduler", "cosine", "--warmup-updates", "50", "--clip-norm", "3", "--batch-size", "64"),
    *("--validate-interval", "1000"),
)
DISTILLED = ("--criterion", "resmlp_image_distillation", "--teacher")
LENGTHS = {"long": "updates", "short": "short_updates", "dino": "dino_updates"}
WITH_ALL, WITHOUT = "all {pictures} labels, {long} updates", "no labels, {dino} updates"
WITH_FEW, WITH_FEW_SHORT = "{few} labels, {long} updates", "{few} labels, {short} updates"
TRANSFER, TRANSFER_SHORT = (f"digits 5 to 9, {{few_of_five}} labels, {{{time}}} updates" for time in ("long", "short"))


@dataclass(frozen=True)
class Entry:
    """One training, and the row of the table that it gives.

    Attributes:
        name: of its folder.
        section: of the table.
        title: in the table.
        data: the pictures that it trains on, a name of `write_pictures`.
        words: of fairseq-train, after those that its kind shares.
        after: the name of the entry whose last checkpoint ends the words.
        updates: which of the lengths of a training: "long", "short" or "dino".
    """

    name: str
    section: str
    title: str
    data: str
    words: tuple[str, ...] = ()
    after: str | None = None
    updates: str = "long"


def _pair(
    name: str, section: str, title: str, data: str, first: str, after: str, updates: str = "long"
) -> tuple[Entry, Entry]:
    """The same training from scratch and after another one."""
    scale = ("--layer-scale", "1") if after == "dino" else ()  # DINO's, which decides how fast parameters move
    return (
        Entry(f"{name}_{updates}", section, title, data, scale, updates=updates),
        Entry(f"{name}_{updates}_after", section, f"after {first}", data, (*scale, "--init-from"), after, updates),
    )


ENTRIES = (
    Entry("linear", WITH_ALL, "the paper's: linear mixing, Affine, average", "all"),
    Entry("layernorm", WITH_ALL, "LayerNorm in the place of Affine", "all", ("--norm", "layernorm")),
    Entry("class_mlp", WITH_ALL, "class-MLP in the place of the average", "all", ("--pooling", "class_mlp")),
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
# What others begin with; "low" gives no row of its own.
GROUNDWORK = (
    Entry("low", TRANSFER, "digits 0 to 4", "0 to 4"),
    Entry("dino", WITHOUT, "DINO", "all", updates="dino"),
)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3], help="one training of each for each")
    parser.add_argument("--updates", type=int, default=580, help="of each training with labels (default: 580)")
    parser.add_argument("--short-updates", type=int, default=100, help="of the short ones (default: 100)")
    parser.add_argument("--dino-updates", type=int, default=1500, help="of DINO (default: 1500)")
    parser.add_argument("--few", type=int, default=2, help="labels of each class where they are few (default: 2)")
    parser.add_argument("--work", type=Path, required=True, help="folder of all trainings; keeps what is done")
    parser.add_argument("--output", type=Path, required=True, help="JSON file; table and pictures go beside it")
    parser.add_argument("--jobs", type=int, default=1, help="trainings at the same time (default: 1)")
    parser.add_argument("--threads", type=int, default=1, help="of each training (default: 1)")
    return parser.parse_args()


def lengths_of(arguments: argparse.Namespace) -> dict[str, int]:
    """The updates of each length of a training."""
    return {length: getattr(arguments, name) for length, name in LENGTHS.items()}


def write_pictures(folder: Path, few: int, seed: int) -> None:
    """Writes the digits as folders of pictures: "all", "few" (of each class), "0 to 4", and "few of 5 to 9".

    Args:
        folder: gets a folder for each, with train/CLASS/*.png and val/CLASS/*.png; it stays as it is when it exists.
        few: training pictures of each class where they are few.
        seed: chooses them.
    """
    if folder.exists():
        return
    partial_folder = folder.with_name(f"{folder.name}.partial")
    shutil.rmtree(partial_folder, ignore_errors=True)
    for split, place in (("train", "train"), ("valid", "val")):
        images = load_dataset("digits", "", split)
        everything = range(len(images))
        labels = [label for label in images.labels if isinstance(label, int)]
        chosen = _choose(labels, few, seed) if split == "train" else everything
        for number in everything:
            (picture, _), label = images[number], labels[number]
            sets = ["all", "0 to 4"] if label < 5 else ["all"]
            if number in chosen:
                sets += ["few"] if label < 5 else ["few", "few of 5 to 9"]
            for name in sets:
                path = partial_folder / name / place / str(label) / f"{number:04}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                picture.save(path)
    partial_folder.rename(folder)


def _choose(labels: list[int], few: int, seed: int) -> set[int]:
    """Numbers of pictures, as many of each class."""
    drawn = random.Random(seed)
    chosen: set[int] = set()
    for label in sorted(set(labels)):
        of_label = [number for number, other in enumerate(labels) if other == label]
        require_whole_number("--few", few, 1, len(of_label))
        chosen |= set(drawn.sample(of_label, few))
    return chosen


@dataclass(frozen=True)
class Study:
    """What all trainings share."""

    arguments: argparse.Namespace
    commands: Commands

    def pictures(self, seed: int) -> Path:
        """The folder of pictures of a seed."""
        return Path(self.arguments.work).resolve() / f"pictures.seed{seed}"

    def folder(self, name: str, seed: int) -> Path:
        """Where a training keeps its files."""
        return Path(self.arguments.work).resolve() / name / f"seed{seed}"

    def train(self, entry: Entry, seed: int) -> dict[str, Any]:
        """Trains and measures; what is done is read.

        Returns:
            The share of right pictures in percent by the way of measuring.

        Raises:
            CommandError: when a command fails.
        """
        folder = self.folder(entry.name, seed)
        updates = lengths_of(self.arguments)[entry.updates]
        kind = DINO if entry.updates == "dino" else (*SUPERVISED, "--warmup-updates", str(updates // 10))
        after = [str(self.folder(entry.after, seed) / "checkpoint_last.pt")] if entry.after else []
        words = [
            *(str(self.pictures(seed) / entry.data), *SHARED, *PICTURES, *LOG, *kind, *entry.words, *after),
            *("--max-update", str(updates), "--seed", str(seed)),
        ]
        claim(folder, words)
        finished = folder / "measured.json"
        if not finished.exists():
            self._run(folder, "fairseq-train", *words, "--save-dir", folder)
            measure = self._measure_features if entry.updates == "dino" else self._measure
            write_json(finished, measure(folder, self.pictures(seed) / entry.data, seed))
        return load(finished)

    def _run(self, folder: Path, *words: object) -> None:
        self.commands.run(folder / "log.txt", self.arguments.threads, *words)

    def _ask(self, folder: Path, pictures: Path, command: str, *words: object) -> dict[str, Any]:
        """What a command of `resmlp-mt vision` says of the last checkpoint."""
        answer = folder / f"{command}.json"
        where = ("--dataset-name", "folder", "--root", pictures, "--json", answer)
        self._run(folder, "resmlp-mt", "vision", command, folder / "checkpoint_last.pt", *where, *words)
        return load(answer)

    def _measure(self, folder: Path, pictures: Path, seed: int) -> dict[str, float]:
        return {"top1": 100 * self._ask(folder, pictures, "evaluate")["top1"]["share"]}

    def _measure_features(self, folder: Path, pictures: Path, seed: int) -> dict[str, float]:
        found = {}
        for title, words in (("DINO's features", ()), ("random features", ("--untrained", seed))):
            neighbours = self._ask(folder, pictures, "knn", "--k", 10, *words)["k"]
            found[f"{title}, k-NN (k = 10)"] = neighbours["10"]["top1"]
            found[f"{title}, linear layer"] = self._ask(folder, pictures, "linear-probe", *words)["top1"]
        return found


def rows_of(measured: Mapping[tuple[str, int], Mapping[str, float]], seeds: list[int]) -> list[dict[str, Any]]:
    """The table's rows: section, title, and top-1 of each seed; those without a result are left out.

    Args:
        measured: of `Study.train`, by the entry's name and the seed.
        seeds: in their order.
    """
    rows = []
    for entry in (*ENTRIES, *GROUNDWORK):
        found = [result for seed in seeds if (result := measured.get((entry.name, seed))) is not None]
        if len(found) < len(seeds) or entry.name == "low":
            continue
        for way in found[0]:
            title = entry.title if way == "top1" else way
            rows.append({"section": entry.section, "title": title, "top1": [result[way] for result in found]})
    return rows


def table_of(rows: list[dict[str, Any]], seeds: list[int]) -> str:
    """The table in Markdown."""
    lines = ["| labels | system | top-1, % | s | each seed |", "|---|---|---|---|---|"]
    for row in rows:
        mean, spread = mean_and_spread(row["top1"])
        each = ", ".join(f"{value:.1f}" for value in row["top1"])
        cells = [row["section"], row["title"], f"{mean:.1f}", "-" if spread is None else f"{spread:.1f}", each]
        lines.append(f"| {' | '.join(cells)} |")
    named = ", ".join(map(str, seeds))
    lines += ["", f"Seeds {named}: mean, standard deviation s and each seed's share of right pictures held out."]
    return "\n".join(lines) + "\n"


def study(arguments: argparse.Namespace) -> int:
    """Trains, measures and writes; returns the exit status."""
    for name in ("updates", "short_updates", "dino_updates", "jobs", "threads"):
        require_whole_number(f"--{name.replace('_', '-')}", getattr(arguments, name), 1, 1_000_000_000)
    commands = Commands()
    watch = MachineWatch(arguments.threads)
    shared = Study(arguments, commands)
    for seed in arguments.seeds:
        write_pictures(shared.pictures(seed), arguments.few, seed)
    every = [(entry, seed) for entry in (*GROUNDWORK, *ENTRIES) for seed in arguments.seeds]
    measured: dict[tuple[str, int], dict[str, float]] = {}
    failed: dict[str, str] = {}
    for wave in ([pair for pair in every if not pair[0].after], [pair for pair in every if pair[0].after]):
        ready = [(entry, seed) for entry, seed in wave if not entry.after or (entry.after, seed) in measured]
        jobs = [partial(_train, shared, entry, seed) for entry, seed in ready]
        for (entry, seed), result in zip(ready, run_jobs(jobs, arguments.jobs, commands), strict=True):
            if isinstance(result, CommandError):
                failed[f"{entry.name}, seed {seed}"] = str(result)
            else:
                measured[entry.name, seed] = result
    few = arguments.few
    names = {"pictures": f"{len(load_dataset('digits', '', 'train')):,}", "few": 10 * few, "few_of_five": 5 * few}
    names |= {name: f"{updates:,}" for name, updates in lengths_of(arguments).items()}
    rows = [{**row, "section": row["section"].format(**names)} for row in rows_of(measured, arguments.seeds)]
    machine = watch.finish()
    table = f"{machine_line(machine)}\n\n{table_of(rows, arguments.seeds)}"
    report = {
        "machine": machine,
        "versions": versions(),
        "settings": {name: getattr(arguments, name) for name in ("seeds", *LENGTHS.values(), "few")},
        "words": {"labels": SUPERVISED, "dino": DINO},
        "rows": rows,
        "failed": failed,
    }
    write_json(arguments.output, report)
    write_text(arguments.output.with_suffix(".md"), table)
    print(table, end="")
    for ending in (".svg", ".png"):
        draw_study(arguments.output.with_suffix(ending), rows)
    for name, error in failed.items():
        print(f"study: {name}, failed and is left out: {error}", file=sys.stderr)
    return 1 if failed else 0


def _train(shared: Study, entry: Entry, seed: int) -> dict[str, Any]:
    found = shared.train(entry, seed)
    said = ", ".join(f"{'' if way == 'top1' else way + ' '}{value:.1f}" for way, value in found.items())
    print(f"{entry.name}, seed {seed}: {said}", file=sys.stderr, flush=True)
    return found


def main() -> int:
    """Runs the study; returns the exit status."""
    return guarded("study", study, parse_arguments())
