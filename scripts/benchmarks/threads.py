"""Measures the commands with 1, 2 and the default number of threads, on a quiet machine and on a busy one.

Every command runs in a separate process, as a user runs it: with `--threads` (or OMP_NUM_THREADS for commands without
that option) of 1, of 2, and unset. On the busy machine one more process per usable CPU computes all the time. Speeds
are measured from the first result on, without the start of the command. The translator has random weights, 6+2 layers
of 256/1536, 32,000 sub-words, and always writes 20 sub-words; the training has the multi30k size; a ResMLP-S12
classifies the images. Prints a table and writes JSON; the machine must otherwise be idle:

    python scripts/benchmarks/threads.py --output results/threads.json
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from random_models.bundles import IMAGES_AT_ONCE, Bench, make_classifier, make_translator

from resmlp_mt.common import threads
from resmlp_mt.common.allocator import NO_THREAD_CACHE
from resmlp_mt.common.files import write_json
from resmlp_mt.experiments.measure.machine import MachineWatch
from resmlp_mt.experiments.measure.side_by_side import print_table

ROOT = Path(__file__).resolve().parents[2]
STATES = ("quiet", "busy")
SETTINGS = ("1", "2", "default")
MIN_KEPT = 0.4  # share of the quiet speed that a default should keep on a busy machine
MIN_SPEED = 0.9  # share of the faster of 1 and 2 threads that a default should reach; the rest is noise
WARM_UP = 5  # first updates of a training, which are not measured
WINDOW = 512  # lines that `translate` writes at once
VARIABLES = ("OMP_NUM_THREADS", "OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "MKL_NUM_THREADS")


def parse_arguments() -> argparse.Namespace:
    """Parses the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--commands", nargs="+", choices=tuple(COMMANDS), default=tuple(COMMANDS))
    parser.add_argument("--rounds", type=int, default=3, help="rounds of each measurement, of which the median counts")
    parser.add_argument(
        "--lines", type=int, default=512, help="measured lines of text; half as many images are measured"
    )
    parser.add_argument(
        "--single-lines", type=int, default=40, help="lines of the commands that translate line by line"
    )
    parser.add_argument("--updates", type=int, default=40, help="updates of a training")
    parser.add_argument("--dim", type=int, default=256)
    parser.add_argument("--hidden", type=int, default=1536)
    parser.add_argument("--vocabulary", type=int, default=32000)
    parser.add_argument("--output", type=Path, default=Path("results/threads.json"))
    return parser.parse_args()


def resmlp_mt(*args: object) -> list[str]:
    """The command line of `resmlp-mt`."""
    return [sys.executable, "-m", "resmlp_mt.cli.main", *map(str, args)]


def environment(count: str = "default") -> dict[str, str]:
    """The environment without settings of threads, except OMP_NUM_THREADS if `count` is not "default"."""
    variables = {name: value for name, value in os.environ.items() if name not in VARIABLES}
    variables |= {"PYTHONUNBUFFERED": "1", "PYTHONWARNINGS": "ignore", "PYTHONPATH": str(ROOT)}
    return variables if count == "default" else {**variables, "OMP_NUM_THREADS": count}


def option(count: str) -> list[str]:
    """The option for the number of threads; empty for the default."""
    return [] if count == "default" else ["--threads", count]


@contextlib.contextmanager
def running(command: list[str], variables: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """Runs a command whose output can be read meanwhile.

    Raises:
        RuntimeError: when the command fails; the message has the end of its standard error.
    """
    pipe = subprocess.PIPE
    with (
        tempfile.TemporaryFile() as errors,
        subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=errors, env=variables) as process,
    ):
        try:
            yield process
            process.communicate()
        finally:
            process.kill()
        errors.seek(0)
        message = errors.read().decode(errors="replace")
    if process.returncode != 0:
        raise RuntimeError(f"{' '.join(command)} ended with status {process.returncode}:\n{message[-3000:]}")


def lines_per_second(command: list[str], variables: dict[str, str], at_once: int) -> float:
    """The speed of a command in lines per second, after the first `at_once` lines of its output."""
    with running(command, variables) as process:
        assert process.stdout is not None
        times = [time.perf_counter() for _ in process.stdout]
    return (len(times) - at_once) / (times[-1] - times[at_once - 1])


def answers_per_second(command: list[str], variables: dict[str, str], lines: list[str], heading: bool) -> float:
    """The speed of a command that translates each line before it reads the next one."""
    times = []
    with running(command, variables) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        if heading:
            process.stdout.readline()
        for line in lines:
            process.stdin.write(f"{line}\n".encode())
            process.stdin.flush()
            process.stdout.readline()
            times.append(time.perf_counter())
    return (len(times) - 1) / (times[-1] - times[0])


def translate(bench: Bench, count: str) -> float:
    """Translates a file."""
    text = bench.write("source.txt", WINDOW + bench.arguments.lines)
    command = resmlp_mt("translate", bench.model, "--input", text, "--quiet", *option(count))
    return lines_per_second(command, environment(), WINDOW)


def translate_line_by_line(bench: Bench, count: str) -> float:
    """Translates line by line."""
    command = resmlp_mt("translate", bench.model, "--flush", "--quiet", *option(count))
    return answers_per_second(command, environment(), bench.sentences(bench.arguments.single_lines), heading=False)


def interactive(bench: Bench, count: str) -> float:
    """Translates interactively."""
    command = resmlp_mt("interactive", bench.model, *option(count))
    variables = {**environment(), "XDG_STATE_HOME": str(bench.folder)}  # not the user's history
    return answers_per_second(command, variables, bench.sentences(bench.arguments.single_lines), heading=True)


def evaluate(bench: Bench, count: str) -> float:
    """Evaluates a test set."""
    text, report = bench.write("test.txt", bench.arguments.lines), bench.folder / "report.json"
    args = ["evaluate", bench.model, "--source", text, "--reference", text, "--json", report]
    with running(resmlp_mt(*args, "--resamples", 2, "--trials", 2, *option(count)), environment()):
        pass
    return float(json.loads(report.read_text(encoding="utf-8"))["speed"]["sentences_per_second"])


def train(bench: Bench, variables: dict[str, str]) -> float:
    """Trains a model; returns the mean speed in tokens per second."""
    args = [
        *("-m", "fairseq_cli.train", "--user-dir", ROOT / "resmlp_mt", "--task", "dummy_mt", "--cpu"),
        *("--arch", "resmlp_multi30k", "--criterion", "resmlp_label_smoothed_cross_entropy", "--label-smoothing", 0.1),
        *("--dict-size", 8000, "--src-len", 16, "--tgt-len", 16, "--max-tokens", 2048, "--num-workers", 0),
        *("--optimizer", "adagrad", "--lr", 0.2, "--max-update", bench.arguments.updates, "--disable-validation"),
        *("--no-save", "--log-format", "json", "--log-interval", 1, "--save-dir", bench.folder / "run"),
    ]
    with running([sys.executable, *map(str, args)], variables) as process:
        assert process.stdout is not None
        output = process.stdout.read().decode()
    lines = [json.loads(text) for text in re.findall(r"(\{\".*\})$", output, flags=re.MULTILINE)]
    speeds = [float(line["wps"]) for line in lines if "ups" in line and int(line["num_updates"]) > WARM_UP]
    return len(speeds) / sum(
        1 / speed for speed in speeds
    )  # the mean, since waiting threads slow down only some updates


def train_by_recipe(bench: Bench, count: str) -> float:
    """Trains with the environment of a recipe."""
    variables = {**NO_THREAD_CACHE, **environment(count)}
    threads.spin_briefly(variables)  # both as resmlp_mt/experiments/launch/ does
    return train(bench, variables)


def train_alone(bench: Bench, count: str) -> float:
    """Trains with plain fairseq-train."""
    return train(bench, environment(count))


def predict(bench: Bench, count: str) -> float:
    """Classifies images."""
    command = resmlp_mt("vision", "predict", bench.folder / "classifier", bench.folder / "images")
    return lines_per_second(command, environment(count), IMAGES_AT_ONCE)


# name -> (function that measures, unit that is counted per second)
COMMANDS: dict[str, tuple[Callable[[Bench, str], float], str]] = {
    "translate": (translate, "sentences"),
    "translate --flush": (translate_line_by_line, "sentences"),
    "interactive": (interactive, "sentences"),
    "evaluate": (evaluate, "sentences"),
    "training, recipe": (train_by_recipe, "tokens"),
    "training, fairseq-train": (train_alone, "tokens"),
    "vision predict": (predict, "images"),
}


@contextlib.contextmanager
def busy_processes(count: int) -> Iterator[None]:
    """Runs processes that compute all the time, until the block ends."""
    processes = [subprocess.Popen([sys.executable, "-S", "-c", "while True: pass"]) for _ in range(count)]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


def measure(bench: Bench, name: str) -> dict[str, dict[str, list[float]]]:
    """Speeds of a command by setting and state, in rounds, so that changes of the machine affect all settings."""
    speeds: dict[str, dict[str, list[float]]] = {count: {state: [] for state in STATES} for count in SETTINGS}
    call, _ = COMMANDS[name]
    for _ in range(bench.arguments.rounds):
        for count in SETTINGS:
            for state in STATES:
                with busy_processes(threads.usable_cpus() if state == "busy" else 0):
                    speeds[count][state].append(call(bench, count))
    return speeds


def judge(name: str, medians: dict[str, dict[str, float]]) -> list[str]:
    """Remarks on defaults that are too slow."""
    quiet, busy = (medians["default"][state] for state in STATES)
    fastest = max(medians[count]["quiet"] for count in ("1", "2"))
    remarks = []
    if quiet < MIN_SPEED * fastest:
        remarks.append(f"{name}: the default has {quiet / fastest:.0%} of the speed of the faster of 1 and 2 threads")
    if busy < MIN_KEPT * quiet:
        remarks.append(f"{name}: the default keeps {busy / quiet:.0%} of its quiet speed, less than {MIN_KEPT:.0%}")
    return remarks


def main() -> None:
    """Measures all commands, prints the table and remarks, and writes the JSON file."""
    arguments = parse_arguments()
    watch = MachineWatch(threads.usable_cpus())
    generator = random.Random(1)
    words = sorted({"".join(generator.choices("abcdefghijklm", k=8)) for _ in range(arguments.vocabulary)})
    rows, results, remarks = [], {}, []
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(arguments, Path(folder), words)
        make_translator(bench)
        make_classifier(bench)
        for name in arguments.commands:
            results[name] = measure(bench, name)
            medians = {
                count: {state: statistics.median(values) for state, values in of_count.items()}
                for count, of_count in results[name].items()
            }
            for count, speed in medians.items():
                kept = f"{speed['busy'] / speed['quiet']:.0%}"
                rows.append([name, count, f"{COMMANDS[name][1]}/s", speed["quiet"], speed["busy"], kept])
            remarks += judge(name, medians)
            print(f"{name} done", file=sys.stderr)
    machine = watch.finish()
    print_table(["command", "threads", "", "quiet", "busy", "kept"], rows, machine)
    print(
        "\n".join(remarks)
        or "every default is as fast as the faster of 1 and 2 threads, and keeps enough speed on a busy machine"
    )
    settings = {key: str(value) if isinstance(value, Path) else value for key, value in vars(arguments).items()}
    write_json(arguments.output, {"machine": machine, "settings": settings, "results": results, "remarks": remarks})


if __name__ == "__main__":
    main()
