"""Measures fairseq-train with a ResMLP and with a Transformer of the WMT size, side by side.

Each system trains in processes of its own, in turn (A B A B ...), on fairseq's own task of made-up sentences of one
length, so that neither data nor padding counts; the Transformer is fairseq's as it comes, without this project loaded,
and once with this project's allocator setting and loss. "Floor" is the speed of nothing but the matrix products, all at
the highest speed that PyTorch was seen to multiply with here. Prints a table and writes JSON:

    python scripts/bench_training.py --output results/training.json
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
import sys
import tempfile
from pathlib import Path

from side_by_side import describe_machine, median_ratio, print_table, run_child, write_json

USER_DIR = Path(__file__).resolve().parent.parent / "resmlp_mt"
OURS = ("--user-dir", str(USER_DIR), "--criterion", "resmlp_label_smoothed_cross_entropy")
THEIRS = ("--criterion", "label_smoothed_cross_entropy")
SYSTEMS = {
    "ResMLP-6": ("--arch", "resmlp_wmt_en_de", *OURS),
    "Transformer base": ("--arch", "transformer_wmt_en_de", *THEIRS),
    "Transformer base, our allocator and loss": ("--arch", "transformer_wmt_en_de", *OURS),
}
WARM_UP = 3  # updates that do not count
DIM, HIDDEN, LAYERS = 512, 2048, 6
PEAK = """
import sys, time
sys.path.insert(0, sys.argv[1])
import torch
from resmlp_mt.nn import products
torch.set_num_threads(int(sys.argv[2]))
a, b = torch.randn(2, 2048, 2048)
multiply = {False: torch.mm, True: lambda a, b: products.transposed_product(a, b.t())}
best = 0.0
for trial in range(10):
    for product in multiply.values():
        start = time.perf_counter()
        product(a, b)
        best = max(best, 2 * 2048**3 / (time.perf_counter() - start))
print(best)
"""


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


def multiply_adds(arguments: argparse.Namespace, is_transformer: bool) -> int:
    """Multiply-adds of one update for each target token, forward and backward; source and target are equally long."""
    attention = 2 * arguments.length * DIM  # scores and weighted sum
    mixing = 4 * DIM**2 + attention if is_transformer else arguments.length * DIM
    channels = 2 * DIM * HIDDEN
    encoder = LAYERS * (mixing + channels)
    decoder = LAYERS * (mixing + 4 * DIM**2 + attention + channels) + arguments.vocabulary * DIM
    return 3 * (encoder + decoder)  # backward: once for the inputs, once for the weights


def measure_peak(arguments: argparse.Namespace) -> float:
    """The highest speed of a matrix product, in operations a second; a multiply-add is two."""
    said, _ = run_child(["-c", PEAK, str(USER_DIR.parent), str(arguments.threads)], arguments.threads)
    return float(said.split()[-1])


def main() -> None:
    arguments = parse_arguments()
    runs: dict[str, list[dict[str, float]]] = {name: [] for name in SYSTEMS}
    peaks = []
    for round_number in range(arguments.rounds):
        for name in SYSTEMS:
            runs[name].append(measure(arguments, name))
        peaks.append(measure_peak(arguments))
        print(f"round {round_number + 1} of {arguments.rounds} done", file=sys.stderr)
    speeds = {name: [run["tokens_per_second"] for run in measured] for name, measured in runs.items()}
    base = speeds["Transformer base"]
    rows = []
    for name in SYSTEMS:
        speed = statistics.median(speeds[name])
        floor = max(peaks) / (2 * multiply_adds(arguments, name.startswith("Transformer")))
        memory = statistics.median(run["peak_mib"] for run in runs[name])
        rows.append([name, speed, median_ratio(speeds[name], base), floor, f"{speed / floor:.0%}", memory])
    print_table(
        ["system", "target tokens/s", "ratio to the Transformer", "floor, tokens/s", "of the floor", "peak MiB"], rows
    )
    print(f"highest speed of a matrix product: {max(peaks) / 1e9:.0f} GFLOP/s with {arguments.threads} threads")
    settings = {name: value for name, value in vars(arguments).items() if name != "output"}
    write_json(
        arguments.output,
        {"machine": describe_machine(arguments.threads), "settings": settings, "runs": runs, "peaks": peaks},
    )


if __name__ == "__main__":
    main()
