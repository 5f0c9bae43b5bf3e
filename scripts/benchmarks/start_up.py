"""Measures the time to import this package and to translate one line, compared with importing torch.

Every measurement is a whole process; the processes run in turn.

    python scripts/benchmarks/start_up.py --output results/import.json

A small model with random parameters translates the line, unless --model names another bundle.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from resmlp_mt.common.files import write_json
from resmlp_mt.experiments.measure.machine import MachineWatch
from resmlp_mt.experiments.measure.side_by_side import print_table

ROOT = Path(__file__).resolve().parents[2]
SUPPORT = ROOT / "tests" / "support"
STATEMENTS = {
    "python alone": "pass",
    "torch": "import torch",
    "resmlp_mt": "import resmlp_mt",
    "resmlp_mt with its models": "import resmlp_mt.translation.model.encoder, resmlp_mt.translation.model.decoder",
}
_TRANSLATE = "import sys; from resmlp_mt.cli.main import main; sys.exit(main(['translate', sys.argv[1]]))"


def measure(command: list[str], line: bytes) -> tuple[float, float]:
    """Runs a process with `line` as its standard input.

    Returns:
        Seconds and peak memory in MiB.

    Raises:
        RuntimeError: when the process fails.
    """
    with tempfile.TemporaryFile() as stdin:
        stdin.write(line)
        stdin.seek(0)
        start = time.perf_counter()
        process = subprocess.Popen(command, cwd=ROOT, stdin=stdin, stdout=subprocess.DEVNULL)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise RuntimeError(f"{' '.join(command)} ended with status {process.returncode}")
    return seconds, usage.ru_maxrss / 1024  # in KiB on Linux


def make_model(folder: Path) -> Path:
    """Writes a bundle of a small random model."""
    program = folder / "make_model.py"  # a file, because Hydra requires one for the main module
    program.write_text(f"import pathlib, toy_bundles; toy_bundles.write_bundle(pathlib.Path({str(folder)!r}))\n")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(SUPPORT)]), "PYTHONWARNINGS": "ignore"}
    finished = subprocess.run([sys.executable, program], env=environment, capture_output=True, text=True)
    if finished.returncode != 0:
        raise RuntimeError(f"{program} ended with status {finished.returncode}:\n{finished.stderr[-3000:]}")
    return folder / "model"


def main() -> None:
    """Measures all commands in turn, prints the table and writes the JSON file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--model", type=Path, help="bundle (default: a small random one)")
    parser.add_argument("--line", default="a small dog", help="line to translate (default: %(default)s)")
    parser.add_argument("--output", type=Path, default=Path("results/import.json"))
    arguments = parser.parse_args()
    watch = MachineWatch(threads=0)
    with tempfile.TemporaryDirectory() as folder:
        model = arguments.model.resolve() if arguments.model else make_model(Path(folder))
        commands = {name: [sys.executable, "-c", statement] for name, statement in STATEMENTS.items()}
        commands["resmlp-mt translate, one line"] = [sys.executable, "-c", _TRANSLATE, str(model)]
        seconds: dict[str, list[float]] = {name: [] for name in commands}
        mebibytes: dict[str, list[float]] = {name: [] for name in commands}
        for round_number in range(arguments.rounds + 1):
            for name, command in commands.items():
                taken, peak = measure(command, f"{arguments.line}\n".encode())
                if round_number:  # the first round fills the file cache
                    seconds[name].append(taken)
                    mebibytes[name].append(peak)
    rows = [[name, statistics.median(seconds[name]), round(statistics.median(mebibytes[name]))] for name in commands]
    machine = watch.finish()
    print_table(["process", "seconds", "peak MiB"], rows, machine)
    write_json(arguments.output, {"machine": machine, "seconds": seconds, "peak_mebibytes": mebibytes})


if __name__ == "__main__":
    main()
