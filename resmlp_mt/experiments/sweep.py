r"""Trains one system with many settings, ranks them on the validation set, and retrains the best with more seeds.

A settings file (YAML or JSON) has a base system and axes with values, like scripts/recipes/sweep_multi30k.yaml. By
default one axis is changed at a time, while all others keep their first value; --grid tries every combination. Settings
are ranked by BLEU on the validation set, so that the test set does not influence the choice; the test scores of the
finalists are reported. After an interruption the same command resumes.

    resmlp-mt sweep scripts/recipes/sweep_multi30k.yaml --data data/multi30k --updates 1500 \
        --final-updates 2550 --work runs/sweep --output results/sweep.json
"""

from __future__ import annotations

import argparse
import itertools
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from resmlp_mt.common.errors import ResMLPError
from resmlp_mt.common.files import write_json, write_text
from resmlp_mt.common.versions import versions
from resmlp_mt.experiments.compare.command import PATHS, add_run_arguments, plan_of
from resmlp_mt.experiments.compare.contestants import Contestant, changed_system, read_settings
from resmlp_mt.experiments.compare.runs import Plan, train, translate
from resmlp_mt.experiments.compare.table import mean_text
from resmlp_mt.experiments.measure.machine import MachineWatch, machine_line
from resmlp_mt.experiments.processes import CommandError, Commands, run_jobs
from resmlp_mt.experiments.sweep_figure import draw_sweep


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the options of `resmlp-mt sweep`."""
    parser.description, parser.formatter_class = __doc__, argparse.RawDescriptionHelpFormatter
    parser.add_argument("settings", type=Path, help="YAML or JSON file with `base` and `axes`, see docs/compare.md")
    parser.add_argument(
        "--grid", action="store_true", help="try every combination instead of changing one axis at a time"
    )
    parser.add_argument("--updates", type=int, required=True, help="updates of each training in the first round")
    parser.add_argument(
        "--final-updates", type=int, help="updates of the finalists' trainings (default: the value of --updates)"
    )
    parser.add_argument(
        "--finalists", type=int, default=3, help="number of settings to retrain; 0 for none (default: 3)"
    )
    parser.add_argument(
        "--seeds",
        type=int,
        nargs="+",
        default=[1, 2, 3],
        help="seeds of the finalists; the first round uses the first seed (default: 1 2 3)",
    )
    add_run_arguments(parser)


def read_axes(path: Path) -> tuple[str, dict[str, dict[str, dict[str, Any]]]]:
    """Reads a settings file.

    Returns:
        The base system, and for each axis the options of each of its values by the value's name.

    Raises:
        ResMLPError: when the file is malformed.
    """
    content = read_settings(path)
    for field in content:
        if field not in ("base", "axes"):
            raise ResMLPError(f"each field of {path} must be one of base, axes, not {field!r}")
    axes: Any = content.get("axes")
    if not isinstance(axes, dict) or not axes:
        raise ResMLPError(f"{path}: axes must be a mapping, not {axes!r}; see docs/compare.md")
    options_by_axis: dict[str, dict[str, dict[str, Any]]] = {}
    for axis, values in axes.items():
        where = f"{path}: {axis}"
        if not isinstance(values, list | dict) or not values:
            raise ResMLPError(f"{where} must be a list or a mapping, not {values!r}")
        if isinstance(values, dict):
            for name, options in values.items():
                if not isinstance(options, dict):
                    raise ResMLPError(f"{where}: {name} must be options, NAME: VALUE, not {options!r}")
            options_by_axis[str(axis)] = {str(name): options for name, options in values.items()}
        else:
            options_by_axis[str(axis)] = {str(value): {str(axis): value} for value in values}
    return str(content.get("base", "resmlp")), options_by_axis


def settings_of(axes: Mapping[str, Mapping[str, Any]], grid: bool) -> list[dict[str, str]]:
    """The settings of a sweep, the starting point first: for each axis the name of its value.

    Args:
        axes: axes from `read_axes`.
        grid: try every combination. Otherwise the settings are the starting point (the first value of every axis) and
            those that differ from it in one axis.
    """
    if grid:
        return [dict(zip(axes, names, strict=True)) for names in itertools.product(*axes.values())]
    start = {axis: next(iter(values)) for axis, values in axes.items()}
    return [start, *({**start, axis: name} for axis, values in axes.items() for name in list(values)[1:])]


def describe(setting: Mapping[str, str], start: Mapping[str, str]) -> str:
    """Describes how a setting differs from the starting point."""
    return ", ".join(f"{axis} {name}" for axis, name in setting.items() if name != start[axis]) or "starting point"


def contestant_of(
    base: str, size: str, axes: Mapping[str, Mapping[str, dict[str, Any]]], setting: Mapping[str, str], title: str
) -> Contestant:
    """The system of a setting; its folder is named after the values."""
    options: dict[str, Any] = {}
    for axis, name in setting.items():
        options |= axes[axis][name]
    folder = ".".join(f"{axis}-{name}" for axis, name in setting.items())
    return Contestant(
        "".join(c if c.isalnum() or c in ".-" else "_" for c in folder), title, changed_system(base, size, options)
    )


def sweep(arguments: argparse.Namespace) -> int:
    """Runs both rounds and writes the results; returns the exit status."""
    base, axes = read_axes(arguments.settings)
    final_updates = arguments.updates if arguments.final_updates is None else arguments.final_updates
    for name, value, least in (
        ("updates", arguments.updates, 1),
        ("final-updates", final_updates, 1),
        ("finalists", arguments.finalists, 0),
    ):
        if value < least:
            raise ResMLPError(f"--{name} must be at least {least}, not {value}")
    chosen = settings_of(axes, arguments.grid)
    contestants = [
        contestant_of(base, arguments.size, axes, setting, describe(setting, chosen[0])) for setting in chosen
    ]
    plan = plan_of(arguments, budget=("--max-update", str(arguments.updates)), split="valid")
    commands = Commands()
    watch = MachineWatch(arguments.threads, uses_gpu=not arguments.cpu)
    first = _train_all(replace(plan, work=plan.work / "first"), contestants, arguments.seeds[:1], arguments, commands)
    ranked = sorted(
        (row for row in first if "failed" not in row), key=lambda row: row["validation_bleu"][0], reverse=True
    )
    best = [contestants[first.index(row)] for row in ranked[: arguments.finalists]]
    final_plan = replace(plan, work=plan.work / "final", budget=("--max-update", str(final_updates)))
    final = _train_all(final_plan, best, arguments.seeds, arguments, commands, test=True)
    machine = watch.finish()
    report = {
        "machine": machine,
        "versions": versions(),
        "settings": {name: str(value) for name, value in vars(arguments).items() if name not in PATHS},
        "axes": axes,
        "first": first,
        "final": final,
    }
    table = f"{machine_line(machine)}\n\n" + _table(ranked, final, arguments.seeds, arguments.updates, final_updates)
    write_json(arguments.output, report)
    write_text(arguments.output.with_suffix(".md"), table)
    print(table, end="")
    for ending in (".svg", ".png"):
        draw_sweep(arguments.output.with_suffix(ending), ranked, final)
    failed = [row for row in [*first, *final] if "failed" in row]
    for row in failed:
        print(f"resmlp-mt sweep: {row['title']} failed and is left out: {row['failed']}", file=sys.stderr)
    return 1 if failed else 0


def _train_all(
    plan: Plan,
    contestants: Sequence[Contestant],
    seeds: Sequence[int],
    arguments: argparse.Namespace,
    commands: Commands,
    test: bool = False,
) -> list[dict[str, Any]]:
    """Trains settings with every seed and scores them on the validation set, and on the test set if `test` is set."""

    def job(contestant: Contestant, seed: int) -> dict[str, Any]:
        trained = train(plan, contestant, seed, commands, alone=arguments.jobs == 1)
        scores = {"validation": translate(plan, contestant, seed, commands)["scores"]}
        if test:
            scores["test"] = translate(replace(plan, split="test"), contestant, seed, commands)["scores"]
        print(f"{contestant.title}, seed {seed}: trained for {trained['updates']} updates", file=sys.stderr)
        return {**trained, "scores": scores}

    jobs = [partial(job, contestant, seed) for contestant in contestants for seed in seeds]
    results = run_jobs(jobs, arguments.jobs, commands)
    rows = []
    for index, contestant in enumerate(contestants):
        runs = results[index * len(seeds) : (index + 1) * len(seeds)]
        row: dict[str, Any] = {"title": contestant.title, "words": list(contestant.options)}
        errors = [str(run) for run in runs if isinstance(run, CommandError)]
        if errors:
            rows.append({**row, "failed": errors[0]})
            continue
        row["validation_perplexity"] = [run["validations"][-1]["perplexity"] for run in runs]
        for split in runs[0]["scores"]:
            for score in runs[0]["scores"][split]:
                name = re.sub(r"\W+", "_", f"{split}_{score['metric'].lower()}")
                row[name] = [s["score"] for run in runs for s in run["scores"][split] if s["metric"] == score["metric"]]
        rows.append({**row, "signatures": {s["metric"]: s["signature"] for s in runs[0]["scores"]["validation"]}})
    return rows


def _table(
    ranked: list[dict[str, Any]], final: list[dict[str, Any]], seeds: Sequence[int], updates: int, final_updates: int
) -> str:
    lines = [f"Every setting, {updates} updates, seed {seeds[0]}; ranked by BLEU on validation:", ""]
    lines += ["| setting | validation perplexity | validation BLEU | chrF |", "|---|---|---|---|"]
    for row in ranked:
        perplexity, bleu, chrf = (row[f"validation_{name}"][0] for name in ("perplexity", "bleu", "chrf"))
        lines.append(f"| {row['title']} | {perplexity:.2f} | {bleu:.2f} | {chrf:.2f} |")
    if final:
        named = " ".join(map(str, seeds))
        lines += ["", f"Finalists, {final_updates} updates, seeds {named}: mean and standard deviation s:", ""]
        lines += [
            "| setting | validation perplexity | validation BLEU | test BLEU | test chrF |",
            "|---|---|---|---|---|",
        ]
    for row in final:
        if "failed" not in row:
            names = ("validation_perplexity", "validation_bleu", "test_bleu", "test_chrf")
            lines.append(f"| {row['title']} | {' | '.join(mean_text(row[name]) for name in names)} |")
    signatures = ranked[0]["signatures"] if ranked else {}
    return "\n".join([*lines, "", *(f"{metric}: `{signature}`" for metric, signature in signatures.items())]) + "\n"
