"""Ablation study of the image models on scikit-learn's digits, with several seeds.

With all labels: the paper's classifier, LayerNorm, class-MLP, and each way of mixing. With few labels: alone, distilled
from a convolutional network, and after DINO without labels. Transfer: the digits 5 to 9 with few labels, from scratch
and after 0 to 4. Without labels: k-NN and a linear layer on DINO's features and on random ones. Trainings that start
from trained parameters have a long and a short version. Every model is evaluated once, at the end of its training, on
held-out images. After an interruption the same command resumes.

    python -m resmlp_mt.experiments.study --work runs/study_digits --output results/study_digits.json
"""

from __future__ import annotations

import argparse
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
from resmlp_mt.experiments.processes import CommandError, Commands, run_jobs
from resmlp_mt.experiments.study.entries import (
    DINO,
    ENTRIES,
    IMAGES,
    LENGTHS,
    LOG,
    PREREQUISITES,
    SHARED,
    SUPERVISED,
    Entry,
)
from resmlp_mt.experiments.study.figure import draw_study
from resmlp_mt.experiments.study.images import write_images
from resmlp_mt.vision.data.datasets import load_dataset


def parse_arguments() -> argparse.Namespace:
    """Parses the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m resmlp_mt.experiments.study",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3], help="seeds of every training")
    parser.add_argument("--updates", type=int, default=580, help="updates of a training with labels (default: 580)")
    parser.add_argument("--short-updates", type=int, default=100, help="updates of a short training (default: 100)")
    parser.add_argument("--dino-updates", type=int, default=1500, help="updates of DINO (default: 1500)")
    parser.add_argument("--few", type=int, default=2, help="labels per class in the small sets (default: 2)")
    parser.add_argument(
        "--work", type=Path, required=True, help="folder for all trainings; finished steps are kept and not repeated"
    )
    parser.add_argument("--output", type=Path, required=True, help="JSON file; table and figures are written beside it")
    parser.add_argument("--jobs", type=int, default=1, help="parallel trainings (default: 1)")
    parser.add_argument("--threads", type=int, default=1, help="threads of each training (default: 1)")
    return parser.parse_args()


def lengths_of(arguments: argparse.Namespace) -> dict[str, int]:
    """The number of updates of each length of training."""
    return {length: getattr(arguments, name) for length, name in LENGTHS.items()}


@dataclass(frozen=True)
class Study:
    """The options and the running commands that all trainings share."""

    arguments: argparse.Namespace
    commands: Commands

    def images(self, seed: int) -> Path:
        """The folder of the images of a seed."""
        return Path(self.arguments.work).resolve() / f"pictures.seed{seed}"

    def folder(self, name: str, seed: int) -> Path:
        """The folder of a training."""
        return Path(self.arguments.work).resolve() / name / f"seed{seed}"

    def train(self, entry: Entry, seed: int) -> dict[str, Any]:
        """Trains and evaluates a model, or reads the result of a finished training.

        Returns:
            Accuracy in percent by evaluation method.

        Raises:
            CommandError: when a command fails.
        """
        folder = self.folder(entry.name, seed)
        updates = lengths_of(self.arguments)[entry.updates]
        kind = DINO if entry.updates == "dino" else (*SUPERVISED, "--warmup-updates", str(updates // 10))
        after = [str(self.folder(entry.after, seed) / "checkpoint_last.pt")] if entry.after else []
        args = [
            *(str(self.images(seed) / entry.data), *SHARED, *IMAGES, *LOG, *kind, *entry.options, *after),
            *("--max-update", str(updates), "--seed", str(seed)),
        ]
        claim(folder, args)
        finished = folder / "measured.json"
        if not finished.exists():
            self._run(folder, "fairseq-train", *args, "--save-dir", folder)
            images = self.images(seed) / entry.data
            is_dino = entry.updates == "dino"
            write_json(
                finished, self._measure_features(folder, images, seed) if is_dino else self._measure(folder, images)
            )
        return load(finished)

    def _run(self, folder: Path, *args: object) -> None:
        self.commands.run(folder / "log.txt", self.arguments.threads, *args)

    def _evaluate(self, folder: Path, images: Path, command: str, *args: object) -> dict[str, Any]:
        """Runs a command of `resmlp-mt vision` on the last checkpoint; returns its JSON output."""
        output = folder / f"{command}.json"
        options = ("--dataset-name", "folder", "--root", images, "--json", output)
        self._run(folder, "resmlp-mt", "vision", command, folder / "checkpoint_last.pt", *options, *args)
        return load(output)

    def _measure(self, folder: Path, images: Path) -> dict[str, float]:
        return {"top1": 100 * self._evaluate(folder, images, "evaluate")["top1"]["share"]}

    def _measure_features(self, folder: Path, images: Path, seed: int) -> dict[str, float]:
        result = {}
        for title, args in (("DINO's features", ()), ("random features", ("--untrained", seed))):
            neighbours = self._evaluate(folder, images, "knn", "--k", 10, *args)["k"]
            result[f"{title}, k-NN (k = 10)"] = neighbours["10"]["top1"]
            result[f"{title}, linear layer"] = self._evaluate(folder, images, "linear-probe", *args)["top1"]
        return result


def rows_of(measured: Mapping[tuple[str, int], Mapping[str, float]], seeds: list[int]) -> list[dict[str, Any]]:
    """The table's rows: section, title, and top-1 of each seed. Entries without a result for every seed are left out.

    Args:
        measured: results of `Study.train` by entry name and seed.
        seeds: the seeds, in the order of the table.
    """
    rows = []
    for entry in (*ENTRIES, *PREREQUISITES):
        results = [result for seed in seeds if (result := measured.get((entry.name, seed))) is not None]
        if len(results) < len(seeds) or entry.name == "low":
            continue
        for method in results[0]:
            title = entry.title if method == "top1" else method
            rows.append({"section": entry.section, "title": title, "top1": [result[method] for result in results]})
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
    lines += ["", f"Seeds {named}: mean, standard deviation s and the accuracy of each seed on the held-out images."]
    return "\n".join(lines) + "\n"


def study(arguments: argparse.Namespace) -> int:
    """Trains and evaluates all models, and writes the results; returns the exit status."""
    for name in ("updates", "short_updates", "dino_updates", "jobs", "threads"):
        require_whole_number(f"--{name.replace('_', '-')}", getattr(arguments, name), 1, 1_000_000_000)
    commands = Commands()
    watch = MachineWatch(arguments.threads)
    shared = Study(arguments, commands)
    for seed in arguments.seeds:
        write_images(shared.images(seed), arguments.few, seed)
    trainings = [(entry, seed) for entry in (*PREREQUISITES, *ENTRIES) for seed in arguments.seeds]
    measured: dict[tuple[str, int], dict[str, float]] = {}
    failed: dict[str, str] = {}
    for wave in ([pair for pair in trainings if not pair[0].after], [pair for pair in trainings if pair[0].after]):
        ready = [(entry, seed) for entry, seed in wave if not entry.after or (entry.after, seed) in measured]
        jobs = [partial(_train, shared, entry, seed) for entry, seed in ready]
        for (entry, seed), result in zip(ready, run_jobs(jobs, arguments.jobs, commands), strict=True):
            if isinstance(result, CommandError):
                failed[f"{entry.name}, seed {seed}"] = str(result)
            else:
                measured[entry.name, seed] = result
    few = arguments.few
    names = {"images": f"{len(load_dataset('digits', '', 'train')):,}", "few": 10 * few, "few_of_five": 5 * few}
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
    result = shared.train(entry, seed)
    scores = ", ".join(f"{'' if method == 'top1' else method + ' '}{value:.1f}" for method, value in result.items())
    print(f"{entry.name}, seed {seed}: {scores}", file=sys.stderr, flush=True)
    return result


def main() -> int:
    """Runs the study; returns the exit status."""
    return guarded("study", study, parse_arguments())
