"""Compares fairseq-train with a ResMLP and with a Transformer of the WMT size.

The systems train in separate processes, in turn (A B A B ...), on fairseq's dummy task with sentences of one length, so
that neither data loading nor padding matters. The Transformer is unmodified fairseq, without this project loaded, and
in another row fairseq with this project's allocator setting and loss. With --bf16 the unmodified row has float16 on a
GPU and float32 on a CPU, because fairseq's own --bf16 requires a TPU. "Floor" is the speed of the matmuls alone at the
peak that was measured with PyTorch on this machine. Prints a table and writes JSON:

    python scripts/benchmarks/training.py --output results/training.json
    python scripts/benchmarks/training.py --device cuda --sentences 136 --updates 60 --options --bf16
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
import sys
import tempfile
from pathlib import Path

from resmlp_mt.common.files import write_json
from resmlp_mt.experiments.measure.machine import MachineWatch, highest, measure_peak
from resmlp_mt.experiments.measure.side_by_side import median_ratio, print_table, run_child
from resmlp_mt.experiments.recommend.operations import training_operations
from resmlp_mt.experiments.training_log import peak_gpu_mib

USER_DIR = Path(__file__).resolve().parents[2] / "resmlp_mt"
OURS = ("--user-dir", str(USER_DIR), "--criterion", "resmlp_label_smoothed_cross_entropy")
THEIRS = ("--criterion", "label_smoothed_cross_entropy")
SYSTEMS = {
    "ResMLP-6": ("--arch", "resmlp_wmt_en_de", *OURS),
    "Transformer base": ("--arch", "transformer_wmt_en_de", *THEIRS),
    "Transformer base, our allocator and loss": ("--arch", "transformer_wmt_en_de", *OURS),
}
WARM_UP = 3  # first updates, which are not measured
DIM, HIDDEN, LAYERS = 512, 2048, 6


def parse_arguments() -> argparse.Namespace:
    """Parses the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--length", type=int, default=30, help="tokens per source and target sentence")
    parser.add_argument("--sentences", type=int, default=32, help="sentences per batch")
    parser.add_argument("--vocabulary", type=int, default=32000)
    parser.add_argument(
        "--updates", type=int, default=9, help=f"updates per process; the first {WARM_UP} are not measured"
    )
    parser.add_argument("--rounds", type=int, default=3, help="processes per system")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--dropout", type=float, default=0.1, help="dropout of every system")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument(
        "--options", nargs=argparse.REMAINDER, default=[], help="further options of fairseq-train, such as --bf16"
    )
    parser.add_argument("--output", type=Path, default=Path("results/training.json"))
    return parser.parse_args()


def options_for(arguments: argparse.Namespace, name: str) -> list[str]:
    """The further options of `fairseq-train`; unmodified fairseq has no --bf16 for GPUs and CPUs."""
    if "--bf16" not in arguments.options or OURS[0] in SYSTEMS[name]:
        return list(arguments.options)
    others = [option for option in arguments.options if option != "--bf16"]
    return [*others, "--fp16"] if arguments.device == "cuda" else others


def measure(arguments: argparse.Namespace, name: str) -> dict[str, float]:
    """Trains a system in one process; returns target tokens per second and peak memory in MiB."""
    with tempfile.TemporaryDirectory() as folder:
        args = [
            *("-m", "fairseq_cli.train", "--task", "dummy_mt", *SYSTEMS[name], "--share-all-embeddings"),
            *("--dict-size", arguments.vocabulary - 4, "--src-len", arguments.length, "--tgt-len", arguments.length),
            *("--label-smoothing", "0.1", "--optimizer", "adam"),
            *("--lr", "1e-4", "--dropout", arguments.dropout, "--batch-size", arguments.sentences, "--seed", "1"),
            *("--max-update", arguments.updates, "--disable-validation", "--no-save", "--num-workers", "0"),
            *("--log-format", "json", "--log-interval", "1", "--save-dir", folder, *options_for(arguments, name)),
            *(("--cpu",) if arguments.device == "cpu" else ()),
        ]
        output, peak_kib = run_child([str(arg) for arg in args], arguments.threads)
    lines = [json.loads(text) for text in re.findall(r"(\{\".*\})$", output, flags=re.MULTILINE)]
    updates = {int(line["num_updates"]): line for line in lines if "ups" in line}
    speeds = [float(line["wps"]) for number, line in updates.items() if number > WARM_UP]
    peak_mib = peak_gpu_mib(output, updates) or peak_kib / 1024
    return {"tokens_per_second": statistics.median(speeds), "peak_mib": peak_mib}


def operations(arguments: argparse.Namespace, is_transformer: bool) -> int:
    """Operations of the matmuls per target token of an update; source and target have the same length."""
    return training_operations(DIM, HIDDEN, LAYERS, arguments.vocabulary, arguments.length, is_transformer)


def main() -> None:
    """Trains all systems in turn, prints the table and writes the JSON file."""
    arguments = parse_arguments()
    runs: dict[str, list[dict[str, float]]] = {name: [] for name in SYSTEMS}
    watch = MachineWatch(arguments.threads, uses_gpu=arguments.device == "cuda")
    number_type = "bfloat16" if "--bf16" in arguments.options else "float32"
    peaks: list[float] = []
    for round_number in range(arguments.rounds):
        for name in SYSTEMS:
            runs[name].append(measure(arguments, name))
        peak = measure_peak(arguments.threads, types=(number_type,), device=arguments.device)
        peaks.append(highest(peak, number_type) or 0.0)
        print(f"round {round_number + 1} of {arguments.rounds} done", file=sys.stderr)
    speeds = {name: [run["tokens_per_second"] for run in measured] for name, measured in runs.items()}
    base = speeds["Transformer base"]
    rows = []
    for name in SYSTEMS:
        speed = statistics.median(speeds[name])
        floor = 1e9 * max(peaks) / operations(arguments, name.startswith("Transformer"))
        memory = statistics.median(run["peak_mib"] for run in runs[name])
        rows.append([name, speed, median_ratio(speeds[name], base), floor, f"{speed / floor:.0%}", memory])
    machine = watch.finish()
    header = ["system", "target tokens/s", "ratio to the Transformer", "floor, tokens/s", "of the floor", "peak MiB"]
    print_table(header, rows, machine)
    print(f"peak speed of a matmul: {max(peaks):.0f} GFLOP/s with {arguments.threads} threads")
    settings = {name: value for name, value in vars(arguments).items() if name != "output"}
    write_json(arguments.output, {"machine": machine, "settings": settings, "runs": runs, "peaks_gflops": peaks})


if __name__ == "__main__":
    main()
