"""Prepares a large generated corpus with all steps of data_prep, and extrapolates the time to WMT14.

The steps are cleaning, removal of duplicates, leak check, a vocabulary from a sample, and shards. Prints a table of the
steps' times and the peak memory of all processes together, and writes JSON:

    python scripts/benchmarks/prepare_scale.py --pairs 10000000 --output results/prepare_scale.json

10 million pairs require about 6 GB of disk in --folder; the files are removed at the end.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from resmlp_mt.common.files import write_json
from resmlp_mt.experiments.measure.machine import MachineWatch
from resmlp_mt.experiments.measure.process_memory import run_measured
from resmlp_mt.experiments.measure.side_by_side import print_table

# Pairs and bytes of both sides' text (huggingface/datasets, datasets/wmt14/dataset_infos.json); time is linear.
WMT14 = {"en-de": (4_508_785, 1_358_410_408), "en-fr": (40_836_715, 14_752_554_924)}
VOCABULARY = 200_000
LETTERS = np.array(list("etaoinshrdlucmfwygpbvkäöüß"))
CHUNK = 100_000
MEAN_WORDS = 25
REPEATED_SHARE = 0.02


def parse_arguments() -> argparse.Namespace:
    """Parses the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, nargs="+", default=[1_000_000, 10_000_000])
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--shard-pairs", type=int, default=5_000_000)
    parser.add_argument(
        "--folder", type=Path, default=Path(tempfile.gettempdir()), help="folder for the text and the data set"
    )
    parser.add_argument("--output", type=Path, default=Path("results/prepare_scale.json"))
    return parser.parse_args()


def make_words(generator: np.random.Generator) -> list[str]:
    """Generates distinct words of 2 to 12 letters."""
    words: dict[str, None] = {}
    while len(words) < VOCABULARY:
        lengths = generator.integers(2, 13, VOCABULARY)
        drawn = "".join(LETTERS[generator.integers(0, len(LETTERS), int(lengths.sum()))])
        ends = np.cumsum(lengths)
        words.update(dict.fromkeys(drawn[end - length : end] for length, end in zip(lengths, ends, strict=True)))
    return list(words)[:VOCABULARY]


def generate(folder: Path, pairs: int) -> None:
    """Writes `train.en` and `train.de`: words drawn by Zipf's law; one pair in fifty repeats the one before."""
    generator = np.random.default_rng(1)
    words = np.array(make_words(generator), dtype=object)
    frequency = 1 / np.arange(1, VOCABULARY + 1)
    cumulative = np.cumsum(frequency / frequency.sum())
    with (
        (folder / "train.en").open("w", encoding="utf-8") as src,
        (folder / "train.de").open("w", encoding="utf-8") as tgt,
    ):
        for start in range(0, pairs, CHUNK):
            size = min(CHUNK, pairs - start)
            lengths = generator.integers(3, 2 * MEAN_WORDS - 3, size)
            ranks = np.searchsorted(cumulative, generator.random(int(lengths.sum()))).clip(max=VOCABULARY - 1)
            ends = np.cumsum(lengths)
            repeated = generator.random(size) < REPEATED_SHARE
            for file, drawn in ((src, words[ranks]), (tgt, words[VOCABULARY - 1 - ranks])):
                texts = [" ".join(drawn[end - length : end]) for end, length in zip(ends, lengths, strict=True)]
                for index in np.flatnonzero(repeated[1:]) + 1:
                    texts[index] = texts[index - 1]
                file.write("\n".join(texts) + "\n")


def measure(pairs: int, arguments: argparse.Namespace) -> dict[str, Any]:
    """Generates text, prepares it, and removes both."""
    folder = Path(tempfile.mkdtemp(dir=arguments.folder))
    try:
        generate(folder, pairs)
        steps: dict[str, float] = {}
        last = time.perf_counter()

        def add_time(line: str) -> None:
            nonlocal last
            now = time.perf_counter()
            step = line.partition("]")[0].lstrip("[")
            steps[step] = steps.get(step, 0.0) + now - last
            last = now

        command = [sys.executable, "-m", "data_prep", "files", "--pair", "en-de", "--from-dir", str(folder)]
        command += ["--out", str(folder / "out"), "--shard-pairs", str(arguments.shard_pairs), "--vocab-size", "32000"]
        root = str(Path(__file__).resolve().parents[2])
        environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": root}
        seconds, peak = run_measured([*command, "--workers", str(arguments.workers)], environment, add_time)
        text = sum((folder / f"train.{lang}").stat().st_size for lang in ("en", "de"))
        written = sum(path.stat().st_size for path in (folder / "out").rglob("*") if path.is_file())
    finally:
        shutil.rmtree(folder)
    return {
        "pairs": pairs,
        "text_bytes": text,
        "written_bytes": written,
        "seconds": seconds,
        "steps": steps,
        "peak_mib": peak / 1024,
    }


def main() -> None:
    """Measures all sizes, prints the tables and writes the JSON file."""
    arguments = parse_arguments()
    watch = MachineWatch(arguments.workers)
    rows = [measure(pairs, arguments) for pairs in arguments.pairs]
    machine = watch.finish()
    steps = list(rows[-1]["steps"])
    print_table(
        ["pairs", "MB of text", "minutes", "peak MiB", *(f"{step}, s" for step in steps)],
        [
            [f"{row['pairs']:,}", row["text_bytes"] / 1e6, row["seconds"] / 60, row["peak_mib"]]
            + [row["steps"].get(step, 0.0) for step in steps]
            for row in rows
        ],
        machine,
    )
    largest = rows[-1]
    # The vocabulary is learned from a sample of fixed size; everything else grows with the text.
    fixed = largest["steps"].get("vocabulary", 0.0)
    per_byte = (largest["seconds"] - fixed) / largest["text_bytes"]
    expected = {pair: fixed + per_byte * size for pair, (_, size) in WMT14.items()}
    print()
    print_table(
        ["WMT14", "pairs", "expected hours"],
        [[pair, f"{WMT14[pair][0]:,}", seconds / 3600] for pair, seconds in expected.items()],
        machine,
    )
    result = {
        "machine": machine,
        "command": " ".join(sys.argv),
        "rows": rows,
        "wmt14_expected_seconds": expected,
    }
    write_json(arguments.output, result)


if __name__ == "__main__":
    main()
