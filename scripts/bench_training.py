"""Measures fairseq-train with a ResMLP and with a Transformer of the WMT size, side by side.

Each system trains in processes of its own, in turn (A B A B ...), on fairseq's own task of made-up sentences of one
length, so that neither data nor padding counts; the Transformer is fairseq's as it comes, without this project loaded.
Prints a table and writes JSON:

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
SYSTEMS = {
    "ResMLP-6": ("--user-dir", str(USER_DIR), "--arch", "resmlp_wmt_en_de"),
    "Transformer base": ("--arch", "transformer_wmt_en_de"),
    "Transformer base, allocator": ("--user-dir", str(USER_DIR), "--arch", "transformer_wmt_en_de"),
}
WARM_UP = 3  # updates that do not count


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
            *("--criterion", "label_smoothed_cross_entropy", "--label-smoothing", "0.1", "--optimizer", "adam"),
            *("--lr", "1e-4", "--dropout", arguments.dropout, "--batch-size", arguments.sentences, "--seed", "1"),
            *("--max-update", arguments.updates, "--disable-validation", "--no-save", "--num-workers", "0"),
            *("--log-format", "json", "--log-interval", "1", "--save-dir", folder, *arguments.options),
        ]
        said, peak_kib = run_child([str(word) for word in words], arguments.threads)
    lines = [json.loads(found) for found in re.findall(r"(\{\".*\})$", said, flags=re.MULTILINE)]
    speeds = [float(line["wps"]) for line in lines if "ups" in line and int(line["num_updates"]) > WARM_UP]
    return {"tokens_per_second": statistics.median(speeds), "peak_mib": peak_kib / 1024}


def main() -> None:
    arguments = parse_arguments()
    runs: dict[str, list[dict[str, float]]] = {name: [] for name in SYSTEMS}
    for round_number in range(arguments.rounds):
        for name in SYSTEMS:
            runs[name].append(measure(arguments, name))
        print(f"round {round_number + 1} of {arguments.rounds} done", file=sys.stderr)
    speeds = {name: [run["tokens_per_second"] for run in measured] for name, measured in runs.items()}
    base = speeds["Transformer base"]
    rows = [
        [
            name,
            statistics.median(speeds[name]),
            median_ratio(speeds[name], base),
            statistics.median(run["peak_mib"] for run in runs[name]),
        ]
        for name in SYSTEMS
    ]
    print_table(["system", "target tokens/s", "ratio to the Transformer", "peak MiB"], rows)
    settings = {name: value for name, value in vars(arguments).items() if name != "output"}
    write_json(arguments.output, {"machine": describe_machine(arguments.threads), "settings": settings, "runs": runs})


if __name__ == "__main__":
    main()
