"""Soak test of `resmlp-mt translate`: a long job loses no line and has bounded memory, even if killed.

Generates a text of --lines lines: real text, repeated and shuffled, with blank lines, lines of 5,000 words, emoji,
right-to-left text, control characters, NUL, lone carriage returns and invalid UTF-8. Translates it once without
interruption, and once killed at random times and resumed, and compares the outputs. Prints the results and writes JSON:

    python scripts/benchmarks/soak_translate.py MODEL --text corpus.en.gz --lines 1000000 --output results/soak.json
"""

from __future__ import annotations

import argparse
import gzip
import itertools
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from resmlp_mt.common.files import file_digest, write_json
from resmlp_mt.experiments.measure.machine import MachineWatch, machine_line

STRANGE_SHARE = 0.02
SAMPLE = 200
POLL_SECONDS = 0.2


def parse_arguments() -> argparse.Namespace:
    """Parses the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, help="bundle; a small one, since its quality does not matter")
    parser.add_argument("--text", type=Path, nargs="+", required=True, help="files of real text, also .gz")
    parser.add_argument("--lines", type=int, default=1_000_000)
    parser.add_argument("--kills", type=int, default=3, help="number of times that the second run is killed")
    parser.add_argument("--memory", type=int, default=2048, metavar="MIB", help="maximum memory of a run")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--beam", type=int, default=1)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--output", type=Path, default=Path("results/soak.json"))
    return parser.parse_args()


def read_real_text(paths: Sequence[Path]) -> list[bytes]:
    """Reads the lines of all files."""
    lines: list[bytes] = []
    for path in paths:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            lines += file.read().removesuffix(b"\n").split(b"\n")
    return lines


def strange_line(generator: random.Random, real: Sequence[bytes]) -> bytes:
    """A line with characters that break the line count of other tools."""
    line = generator.choice(real)
    kinds: list[Callable[[], bytes]] = [
        lambda: b"",
        lambda: b" \t ",
        lambda: line + " \U0001f600\U0001f468\u200d\U0001f469\u200d\U0001f467\ufe0f".encode(),
        lambda: "\u202b\u05e9\u05dc\u05d5\u05dd \u0645\u0631\u062d\u0628\u0627\u202c ".encode() + line,
        lambda: line.replace(b" ", b"\x00", 1),
        lambda: line.replace(b" ", b"\r", 1) + b"\r",
        lambda: b"\x01\x07\x1b[31m" + line + "\u0085\u2028\u2029\x0b\x0c".encode(),
        lambda: line[:-1] + b"\xff\xfe\xc3",
        lambda: b"\x00",
    ]
    return generator.choice(kinds)()


def make_text(path: Path, real: Sequence[bytes], lines: int, seed: int) -> list[int]:
    """Writes the text; returns the indices of its lines of 5,000 words."""
    generator = random.Random(seed)
    long_lines = sorted(generator.sample(range(lines), max(1, lines // 50_000)))
    with path.open("wb") as file:
        for index in range(lines):
            if index in long_lines:
                words = b" ".join(generator.choice(real) for _ in range(600)).split(b" ")
                line = b" ".join((words * (5000 // len(words) + 1))[:5000])
            elif generator.random() < STRANGE_SHARE:
                line = strange_line(generator, real)
            else:
                line = generator.choice(real)
            file.write(line + b"\n")
    return long_lines


class Job:
    """A `resmlp-mt translate` that can be restarted, with its memory over time."""

    def __init__(self, arguments: argparse.Namespace, source: Path, target: Path) -> None:
        self._command = [sys.executable, "-m", "resmlp_mt.cli.main", "translate", arguments.model, "--input", source]
        self._command += ["--output", target, "--resume", "--quiet", "--threads", arguments.threads]
        self._command += ["--beam", arguments.beam]
        self._threads = arguments.threads
        self.memory: list[tuple[float, int]] = []  # seconds since the start, and KiB

    def run(self, kill_after: float | None = None) -> bool:
        """Runs to the end, or kills the process after some seconds; returns whether it ended by itself."""
        environment = {**os.environ, "OMP_NUM_THREADS": str(self._threads)}
        start = time.monotonic()
        process = subprocess.Popen([str(arg) for arg in self._command], env=environment)
        while process.poll() is None:
            seconds = time.monotonic() - start
            if memory := _resident_kib(process.pid):
                self.memory.append((seconds, memory))
            if kill_after is not None and seconds > kill_after:
                process.send_signal(signal.SIGKILL)
                process.wait()
                return False
            time.sleep(POLL_SECONDS)
        if process.returncode:
            raise RuntimeError(f"the job ended with status {process.returncode}")
        return True


def _resident_kib(process: int) -> int:
    try:
        status = Path(f"/proc/{process}/status").read_text()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS")), 0)


def lines_at(path: Path, indices: Sequence[int]) -> Iterator[bytes]:
    """The lines with these indices, in the order of the file."""
    wanted = set(indices)
    with path.open("rb") as file:  # binary mode splits at line feeds only
        yield from (line[:-1] for index, line in enumerate(file) if index in wanted)


def count_out_of_place(arguments: argparse.Namespace, source: Path, target: Path, long_lines: Sequence[int]) -> int:
    """Translates a sample of lines again; returns the number of lines whose translation in the job differs."""
    from dataclasses import replace

    from resmlp_mt.translation.translator import Translator

    generator = random.Random(arguments.seed + 1)
    indices = sorted({*generator.sample(range(arguments.lines), min(SAMPLE, arguments.lines)), *long_lines[:2]})
    translator = Translator.from_pretrained(arguments.model)
    settings = replace(translator.config.decoding, beam_size=arguments.beam)
    texts = [line.decode("utf-8", "replace") for line in lines_at(source, indices)]
    expected = translator.translate(texts, settings=settings)
    actual = [line.decode("utf-8") for line in lines_at(target, indices)]
    return sum(a != b for a, b in itertools.zip_longest(expected, actual))


def main() -> None:
    """Runs the test and writes the results; exits with status 1 if it fails."""
    arguments = parse_arguments()
    with tempfile.TemporaryDirectory() as folder:
        watch = MachineWatch(arguments.threads)
        result = soak(arguments, Path(folder))
    machine = watch.finish()
    write_json(arguments.output, {"machine": machine, **result})
    print(machine_line(machine))
    for name, value in result.items():
        print(f"{name:28} {value}")
    if not result["passed"]:
        sys.exit(1)


def soak(arguments: argparse.Namespace, folder: Path) -> dict[str, object]:
    """Runs both jobs and compares their outputs."""
    source, whole, killed = folder / "in.txt", folder / "whole.txt", folder / "killed.txt"
    long_lines = make_text(source, read_real_text(arguments.text), arguments.lines, arguments.seed)
    job = Job(arguments, source, whole)
    start = time.monotonic()
    job.run()
    seconds = time.monotonic() - start
    second = Job(arguments, source, killed)
    generator = random.Random(arguments.seed)
    kills = sum(not second.run(kill_after=generator.uniform(0.05, 0.9) * seconds) for _ in range(arguments.kills))
    second.run()
    with whole.open("rb") as file:
        lines_out = sum(1 for _ in file)
    out_of_place = count_out_of_place(arguments, source, whole, long_lines)
    early = max((kib for at, kib in job.memory if at < seconds / 4), default=0) / 1024
    peak = max(kib for _, kib in job.memory + second.memory) / 1024
    same_bytes = file_digest(whole) == file_digest(killed)
    return {
        "passed": lines_out == arguments.lines and not out_of_place and same_bytes and peak <= arguments.memory,
        "lines in": arguments.lines,
        "lines out": lines_out,
        "lines of 5,000 words": len(long_lines),
        "of 200 sampled, out of place": out_of_place,
        "seconds": round(seconds, 1),
        "lines per second": round(arguments.lines / seconds, 1),
        "MiB, first quarter": round(early),
        "MiB, at most": round(peak),
        "kills": kills,
        "same bytes when killed": same_bytes,
    }


if __name__ == "__main__":
    main()
