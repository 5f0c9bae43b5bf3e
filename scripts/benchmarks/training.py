"""Measures fairseq-train with a ResMLP and with a Transformer of the WMT size, side by side.

Each system trains in processes of its own, in turn (A B A B ...), on fairseq's own task of made-up sentences of one
length, so that neither data nor padding counts; the Transformer is fairseq's as it comes, without this project loaded,
and once with this project's allocator setting and loss. "Floor" is the speed of nothing but the matrix products, all at
the highest speed that PyTorch was seen to multiply with here. Prints a table and writes JSON:

    python scripts/benchmarks/training.py --output results/training.json
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

USER_DIR = Path(__file__).resolve().parents[2] / "resmlp_mt"
OURS = ("--user-dir", str(USER_DIR), "--criterion", "resmlp_label_smoothed_cross_entropy")
THEIRS = ("--criterion", "label_smoothed_cross_entropy")
SYSTEMS = {
    "ResMLP-6": ("--arch", "resmlp_wmt_en_de", *OURS),
    "Transformer base": ("--arch", "transformer_wmt_en_de", *THEIRS),
    "Transformer base, our allocator and loss": ("--arch", "transformer_wmt_en_de", *OURS),
}
WARM_UP = 3  # updates that do not count
DIM, HIDDEN, LAYERS = 512, 2048, 6


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--length", type=int, default=30, help="tokens of every source and every target sentence")
    parser.add_argument("--sentences", type=int, default=32, help="in a batch")
    parser.add_argument("--vocabulary", type=int, default=32000)
    parser.add_argument("--updates", type=int, default=9, help=f"of each process, of which {WARM_UP} do not count")
    parser.add_argument("--rounds", type=int, default=3, help="processes of each system")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--dropout", type=float, default=0.1, help="of every system")
    parser.add_argument(
        "--options", nargs=argparse.REMAINDER, default=[], help="further ones for fairseq-train, as --bf16"
    )
    parser.add_argument("--output", type=Path, default=Path("results/training.json"))
    return parser.parse_args()


def measure(arguments: argparse.Namespace, name: str) -> dict[str, float]:
    """Trains one process of a system; returns target tokens a second and peak memory in MiB."""
    with tempfile.TemporaryDirectory() as folder:
        words = [
            *("-m", "fairseq_cli.train", "--task", "dummy_mt", *SYSTEMS[name], "--share-all-embeddings"),
            *("--dict-size", arguments.vocabulary - 4, "--src-len", arguments.length, "--tgt-len", arguments.length),
            *("--label-smoothing", "0.1", "--optimizer", "adam"),
            *("--lr", "1e-4", "--dropout", arguments.dropout, "--batch-size", arguments.sentences, "--seed", "1"),
            *("--max-update", arguments.updates, "--disable-validation", "--no-save", "--num-workers", "0"),
            *("--log-format", "json", "--log-interval", "1", "--save-dir", folder, *arguments.options),
        ]
        said, peak_kib = run_child([str(word) for word in words], arguments.threads)
    lines = [json.loads(found) for found in re.findall(r"(\{\".*\})$", said, flags=re.MULTILINE)]
    speeds = [float(line["wps"]) for line in lines if "ups" in line and int(line["num_updates"]) > WARM_UP]
    return {"tokens_per_second": statistics.median(speeds), "peak_mib": peak_kib / 1024}


def operations(arguments: argparse.Namespace, is_transformer: bool) -> int:
    """Of matrix products, for each target token of an update; source and target are equally long."""
    return training_operations(DIM, HIDDEN, LAYERS, arguments.vocabulary, arguments.length, is_transformer)


def main() -> None:
    arguments = parse_arguments()
    runs: dict[str, list[dict[str, float]]] = {name: [] for name in SYSTEMS}
    watch = MachineWatch(arguments.threads)
    peaks: list[float] = []
    for round_number in range(arguments.rounds):
        for name in SYSTEMS:
            runs[name].append(measure(arguments, name))
        peaks.append(highest(measure_peak(arguments.threads, types=("float32",)), "float32") or 0.0)
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
    print(f"highest speed of a matrix product: {max(peaks):.0f} GFLOP/s with {arguments.threads} threads")
    settings = {name: value for name, value in vars(arguments).items() if name != "output"}
    write_json(arguments.output, {"machine": machine, "settings": settings, "runs": runs, "peaks_gflops": peaks})


if __name__ == "__main__":
    main()
