"""Compares data_prep with spm_encode and fairseq-preprocess: tokenizes and binarises the same text with both.

Both run in turn (A B A B ...), each with two processes: two parallel spm_encode and then fairseq-preprocess with two
workers, against data_prep with two workers. Their output files must be byte-identical. Then data_prep binarises
generated text, and ten times as much, to measure the growth of its memory. Prints tables and writes JSON:

    python scripts/benchmarks/binarise.py --train multi30k/train --train tatoeba/train --output results/binarise.json

If spm_encode is not installed, sentencepiece's Python library encodes the files instead.
"""

from __future__ import annotations

import argparse
import filecmp
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from itertools import islice
from pathlib import Path
from typing import Any

from resmlp_mt.common.files import write_json
from resmlp_mt.experiments.measure.machine import MachineWatch
from resmlp_mt.experiments.measure.process_memory import run_measured
from resmlp_mt.experiments.measure.side_by_side import median_ratio, print_table

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from data_prep.corpora import CORPORA
from data_prep.corpora.base import Request
from data_prep.formats.text_files import read_line_pairs
from data_prep.settings import Settings
from data_prep.stages.binarise import CHUNK_PAIRS, tasks_of, write_split
from data_prep.stages.subwords import train_model
from resmlp_mt.translation.text.dictionary import write_dictionary
from resmlp_mt.translation.text.sentencepiece_model import dictionary_symbols, load_model

PROCESSES = 2
ENCODE_IN_PYTHON = """
import sys, sentencepiece
model = sentencepiece.SentencePieceProcessor(model_file=sys.argv[1])
lines = sys.stdin.buffer.read().decode().split("\\n")[:-1]
for start in range(0, len(lines), 10000):
    for pieces in model.encode(lines[start : start + 10000], out_type=str):
        sys.stdout.write(" ".join(pieces) + "\\n")
"""


def parse_arguments() -> argparse.Namespace:
    """Parses the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--train", action="append", metavar="PREFIX", help="as in `python -m data_prep files`")
    parser.add_argument("--pair", default="en-de")
    parser.add_argument("--vocab-size", type=int, default=16000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--generated", type=int, default=200_000, help="number of generated pairs; ten times as many are binarised too"
    )
    parser.add_argument("--output", type=Path, default=Path("results/binarise.json"))
    parser.add_argument("--worker", type=Path, metavar="FOLDER", help=argparse.SUPPRESS)
    return parser.parse_args()


def bench_settings(pair: str, vocab_size: int) -> Settings:
    """Settings with which data_prep, like fairseq-preprocess, keeps every pair."""
    src, tgt = pair.split("-")
    return Settings("files", src, tgt, vocab_size=vocab_size, max_subwords=10**9)


def write_text(folder: Path, arguments: argparse.Namespace) -> int:
    """Joins the corpora into `text.LANG`; returns the number of pairs."""
    source, target = arguments.pair.split("-")
    request = Request(source, target, train=tuple((path, 1.0) for path in arguments.train))
    pairs = 0
    with (folder / f"text.{source}").open("wb") as src, (folder / f"text.{target}").open("wb") as tgt:
        for part in CORPORA["files"].parts(request):
            for pair in part.read(*(member.source.local for member in part.members), errors="strict"):
                # fairseq-preprocess splits at every kind of whitespace, so single spaces replace them.
                for file, text in zip((src, tgt), pair, strict=True):
                    file.write(f"{' '.join(text.split())}\n".encode())
                pairs += 1
    return pairs


def generate_text(folder: Path, languages: list[str], pairs: int) -> None:
    """Writes `text.LANG` of random words, some frequent and most rare."""
    generator = random.Random(1)
    letters = "etaoinshrdlucmfwygpb"
    words = ["".join(generator.choices(letters, k=generator.randint(2, 11))) for _ in range(30_000)]
    weights = [1 / rank for rank in range(1, len(words) + 1)]
    pool = generator.choices(words, weights, k=1_000_000)
    folder.mkdir()
    for lang in languages:
        with (folder / f"text.{lang}").open("w", encoding="utf-8") as file:
            for _ in range(pairs):
                start = generator.randrange(len(pool) - 40)
                file.write(" ".join(pool[start : start + generator.randint(5, 40)]) + "\n")


def work(folder: Path, arguments: argparse.Namespace) -> None:
    """Binarises `text.LANG` of a folder with data_prep's own functions."""
    settings = bench_settings(arguments.pair, arguments.vocab_size)
    source, target = settings.languages
    pairs = read_line_pairs(folder / f"text.{source}", folder / f"text.{target}")
    chunks = iter(lambda: list(islice(pairs, CHUNK_PAIRS)), [])
    tasks = tasks_of(chunks, is_train=True, sampling_seed=None)
    prefix = folder / "ours" / f"train.{arguments.pair}"
    prefixes = (Path(f"{prefix}.{source}"), Path(f"{prefix}.{target}"))
    write_split(tasks, prefixes, settings, [folder / "spm.model"], PROCESSES, total=None)


def run_ours(folder: Path, arguments: argparse.Namespace) -> tuple[float, int]:
    """Times data_prep; returns seconds and peak memory in KiB."""
    shutil.rmtree(folder / "ours", ignore_errors=True)
    command = [sys.executable, __file__, "--worker", str(folder), "--pair", arguments.pair]
    return run_measured([*command, "--vocab-size", str(arguments.vocab_size)], os.environ | {"OMP_NUM_THREADS": "1"})


def run_theirs(folder: Path, arguments: argparse.Namespace) -> tuple[float, float, int]:
    """Times spm_encode and fairseq-preprocess; returns the seconds of both and the latter's peak memory in KiB."""
    shutil.rmtree(folder / "theirs", ignore_errors=True)
    languages = arguments.pair.split("-")
    model = folder / "spm.model"
    program = (
        ["spm_encode", f"--model={model}"]
        if shutil.which("spm_encode")
        else [sys.executable, "-c", ENCODE_IN_PYTHON, str(model)]
    )
    start = time.perf_counter()
    encoders = []
    for lang in languages:
        with (folder / f"text.{lang}").open("rb") as text, (folder / f"pieces.{lang}").open("wb") as pieces:
            encoders.append(subprocess.Popen(program, stdin=text, stdout=pieces))
    statuses = [encoder.wait() for encoder in encoders]
    if any(statuses):
        raise RuntimeError("the encoding of the text failed")
    encoding = time.perf_counter() - start
    options = ["--source-lang", languages[0], "--target-lang", languages[1], "--destdir", str(folder / "theirs")]
    options += [
        f"--trainpref={folder / 'pieces'}",
        f"--srcdict={folder / 'dict.txt'}",
        f"--tgtdict={folder / 'dict.txt'}",
    ]
    command = [sys.executable, "-m", "fairseq_cli.preprocess", *options, "--workers", str(PROCESSES)]
    seconds, peak = run_measured(command, os.environ | {"OMP_NUM_THREADS": "1"})
    return encoding, seconds, peak


def require_equal(folder: Path) -> None:
    """Raises an error if the files of the two systems differ."""
    names = sorted(path.name for path in (folder / "ours").iterdir())
    _, different, missing = filecmp.cmpfiles(folder / "ours", folder / "theirs", names, shallow=False)
    if different or missing or len(names) != 4:
        raise RuntimeError(f"the files of both systems must be equal, but {different or missing or names} differ")


def main() -> None:
    """Runs both systems in turn and reports the results."""
    arguments = parse_arguments()
    if arguments.worker:
        work(arguments.worker, arguments)
        return
    watch = MachineWatch(PROCESSES)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        pairs = write_text(folder, arguments)
        sample = folder / "sample"
        with sample.open("wb") as whole:
            for lang in arguments.pair.split("-"):
                whole.write((folder / f"text.{lang}").read_bytes())
        train_model(sample, folder / "spm.model", bench_settings(arguments.pair, arguments.vocab_size))
        symbols = dictionary_symbols(load_model(folder / "spm.model"))
        write_dictionary(folder / "dict.txt", symbols, [1] * len(symbols))
        ours, theirs = [], []
        for _ in range(arguments.rounds):
            theirs.append(run_theirs(folder, arguments))
            ours.append(run_ours(folder, arguments))
            require_equal(folder)
        growth = measure_growth(folder, arguments)
    report(arguments, watch.finish(), pairs, ours, theirs, growth)


def measure_growth(folder: Path, arguments: argparse.Namespace) -> list[dict[str, float]]:
    """Measures data_prep on generated text, and on ten times as much."""
    rows = []
    for pairs in (arguments.generated, 10 * arguments.generated):
        target = folder / f"generated-{pairs}"
        generate_text(target, arguments.pair.split("-"), pairs)
        shutil.copy(folder / "spm.model", target)
        seconds, peak = run_ours(target, arguments)
        rows.append({"pairs": pairs, "seconds": seconds, "peak_mib": peak / 1024})
        shutil.rmtree(target)
    return rows


def report(
    arguments: argparse.Namespace,
    machine: dict[str, Any],
    pairs: int,
    ours: list[tuple[float, int]],
    theirs: list[tuple[float, float, int]],
    growth: list[dict[str, float]],
) -> None:
    """Prints the tables and writes the JSON file."""
    our_seconds = [seconds for seconds, _ in ours]
    their_seconds = [encoding + binarising for encoding, binarising, _ in theirs]
    ratio = median_ratio(their_seconds, our_seconds)
    encoder = "spm_encode" if shutil.which("spm_encode") else "sentencepiece's Python library"
    rows = [
        [f"{encoder}, two processes", statistics.median(row[0] for row in theirs), ""],
        [
            "fairseq-preprocess --workers 2",
            statistics.median(row[1] for row in theirs),
            max(r[2] for r in theirs) / 1024,
        ],
        ["both", statistics.median(their_seconds), ""],
        ["data_prep, 2 workers", statistics.median(our_seconds), max(row[1] for row in ours) / 1024],
    ]
    print(f"{pairs:,} pairs, {arguments.vocab_size:,} pieces, median of {arguments.rounds} rounds\n")
    print_table(["command", "seconds", "peak MiB"], rows, machine)
    print(f"\ndata_prep is {ratio:.1f} times as fast; the files are byte-identical\n")
    print_table(["generated pairs", "seconds", "peak MiB"], [list(row.values()) for row in growth], machine)
    result = {
        "machine": machine,
        "command": " ".join(sys.argv),
        "pairs": pairs,
        "encoder": encoder,
        "ours_seconds": our_seconds,
        "theirs_encoding_seconds": [row[0] for row in theirs],
        "theirs_binarising_seconds": [row[1] for row in theirs],
        "ratio": ratio,
        "ours_peak_mib": max(row[1] for row in ours) / 1024,
        "theirs_peak_mib": max(row[2] for row in theirs) / 1024,
        "growth": growth,
    }
    write_json(arguments.output, result)


if __name__ == "__main__":
    main()
