"""Measures how long it takes to import this package beside torch, each in processes of its own, in turn.

python scripts/bench_import.py --output results/import.json
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time
from pathlib import Path

from machine import MachineWatch
from side_by_side import print_table, write_json

STATEMENTS = {
    "python alone": "pass",
    "torch": "import torch",
    "resmlp_mt": "import resmlp_mt",
    "resmlp_mt with its models": "import resmlp_mt.translation.encoder, resmlp_mt.translation.decoder",
}
ROOT = Path(__file__).resolve().parent.parent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--output", type=Path, default=Path("results/import.json"))
    arguments = parser.parse_args()
    watch = MachineWatch(threads=0)
    seconds: dict[str, list[float]] = {name: [] for name in STATEMENTS}
    for round_number in range(arguments.rounds + 1):
        for name, statement in STATEMENTS.items():
            start = time.perf_counter()
            subprocess.run([sys.executable, "-c", statement], check=True, cwd=ROOT)
            if round_number:  # the first fills the file cache
                seconds[name].append(time.perf_counter() - start)
    rows = [[name, statistics.median(measured)] for name, measured in seconds.items()]
    machine = watch.finish()
    print_table(["import", "seconds"], rows, machine)
    write_json(arguments.output, {"machine": machine, "seconds": seconds})


if __name__ == "__main__":
    main()
