"""Measures the peak memory of training on real sentences: a ResMLP and fairseq's Transformer of the same size.

Batches of real sentences have many sizes, which makes the memory of a training grow, so a few updates are not enough.
The systems train in separate processes, in turn. The Transformer is unmodified fairseq, without this project loaded;
the ResMLP trains as in the recipes. Prints a table and writes JSON:

    python scripts/benchmarks/training_memory.py data/multi30k.en-de --output results/training_memory.json
"""

from __future__ import annotations

import argparse
import json
import os
import re
import statistics
import sys
import tempfile
from pathlib import Path
from unittest import mock

from resmlp_mt.common.allocator import NO_THREAD_CACHE
from resmlp_mt.common.files import write_json
from resmlp_mt.experiments.measure.machine import MachineWatch
from resmlp_mt.experiments.measure.side_by_side import print_table, run_child
from resmlp_mt.experiments.systems import SIZES, model_options, training_options

USER_DIR = Path(__file__).resolve().parents[2] / "resmlp_mt"
OURS = ("--user-dir", str(USER_DIR), "--criterion", "resmlp_label_smoothed_cross_entropy")
THEIRS = ("--criterion", "label_smoothed_cross_entropy")
LOG_INTERVAL = 10
SYSTEMS = {"resmlp": (OURS, NO_THREAD_CACHE), "transformer": (THEIRS, {})}  # options and environment


def parse_arguments() -> argparse.Namespace:
    """Parses the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder prepared by `python -m data_prep`")
    parser.add_argument("--size", choices=SIZES, default="multi30k", help="size of the models")
    parser.add_argument("--max-tokens", type=int, default=2048, help="tokens per batch")
    parser.add_argument("--updates", type=int, default=750, help="updates per process; multi30k has 250 per epoch")
    parser.add_argument("--rounds", type=int, default=1, help="processes per system")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--output", type=Path, default=Path("results/training_memory.json"))
    return parser.parse_args()


def measure(arguments: argparse.Namespace, system: str) -> dict[str, float]:
    """Trains a system in one process; returns peak memory in MiB and target tokens per second."""
    options, variables = SYSTEMS[system]
    with tempfile.TemporaryDirectory() as folder, mock.patch.dict(os.environ, variables):
        args = [
            *("-m", "fairseq_cli.train", arguments.data, "--task", "translation", *options, "--label-smoothing", "0.1"),
            *(*model_options(system, arguments.size), *training_options(system, arguments.size)),
            *("--max-tokens", arguments.max_tokens, "--max-update", arguments.updates, "--seed", "1", "--cpu"),
            *("--disable-validation", "--no-save", "--num-workers", "0", "--save-dir", folder),
            *("--no-progress-bar", "--log-format", "json", "--log-interval", LOG_INTERVAL),
        ]
        output, peak_kib = run_child([str(arg) for arg in args], arguments.threads)
    lines = [json.loads(text) for text in re.findall(r"(\{\".*\})$", output, flags=re.MULTILINE)]
    speeds = [float(line["wps"]) for line in lines if "ups" in line]
    return {"peak_mib": peak_kib / 1024, "tokens_per_second": statistics.median(speeds[1:] or speeds)}


def main() -> None:
    """Trains all systems in turn, prints the table and writes the JSON file."""
    arguments = parse_arguments()
    watch = MachineWatch(arguments.threads)
    runs: dict[str, list[dict[str, float]]] = {system: [] for system in SYSTEMS}
    for round_number in range(arguments.rounds):
        for system in SYSTEMS:
            runs[system].append(measure(arguments, system))
        print(f"round {round_number + 1} of {arguments.rounds} done", file=sys.stderr)
    medians = {
        system: {name: statistics.median(run[name] for run in measured) for name in measured[0]}
        for system, measured in runs.items()
    }
    rows = [[system, result["peak_mib"], result["tokens_per_second"]] for system, result in medians.items()]
    machine = watch.finish()
    print_table(["system", "peak MiB", "target tokens/s"], rows, machine)
    settings = {name: str(value) for name, value in vars(arguments).items() if name != "output"}
    write_json(arguments.output, {"machine": machine, "settings": settings, "runs": runs})


if __name__ == "__main__":
    main()
