"""Runs the real fairseq commands in separate processes, and makes their toy data."""

from __future__ import annotations

import json
import os
import random
import re
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
USER_DIR = ROOT / "resmlp_mt"
BIN = Path(sys.executable).parent

TRAINING = [
    *("--task", "translation", "-s", "src", "-t", "tgt", "--arch", "resmlp_tiny", "--share-all-embeddings"),
    *("--criterion", "label_smoothed_cross_entropy", "--label-smoothing", "0.1"),
    *("--optimizer", "adam", "--lr", "0.01", "--lr-scheduler", "inverse_sqrt", "--warmup-updates", "20"),
    *("--max-tokens", "400", "--seed", "1", "--num-workers", "0", "--cpu", "--no-progress-bar", "--log-format", "json"),
    *("--log-interval", "1", "--no-epoch-checkpoints"),
]


def environment() -> dict[str, str]:
    """The environment of a command: one thread, and this checkout importable from anywhere."""
    return {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"}


def run(
    command: str, *args: object, stdin: str | None = None, cwd: Path = ROOT, check: bool = True
) -> subprocess.CompletedProcess[str]:
    """Runs a command of this environment; with `check`, its failure fails the test and shows its output."""
    finished = subprocess.run(
        [BIN / command, *map(str, args)],
        input=stdin,
        capture_output=True,
        text=True,
        cwd=cwd,
        env=environment(),
        timeout=300,
    )
    if check:
        assert finished.returncode == 0, f"{command} failed:\n{finished.stdout[-2000:]}\n{finished.stderr[-3000:]}"
    return finished


def free_port() -> int:
    """A free port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def write_toy_corpus(folder: Path, seed: int = 1) -> None:
    """Writes {train,valid,test}.{src,tgt}: each source word has one target word, and neighbours are swapped."""
    generator = random.Random(seed)
    folder.mkdir(parents=True, exist_ok=True)
    for split, count in (("train", 300), ("valid", 20), ("test", 13)):
        pairs = []
        for _ in range(count):
            words = [generator.randrange(12) for _ in range(generator.randrange(2, 12))]
            swapped = [words[i ^ 1] if (i ^ 1) < len(words) else words[i] for i in range(len(words))]
            pairs.append((" ".join(f"s{w}" for w in words), " ".join(f"t{w}" for w in swapped)))
        for side, language in enumerate(("src", "tgt")):
            (folder / f"{split}.{language}").write_text("".join(f"{pair[side]}\n" for pair in pairs), encoding="utf-8")


def preprocess(text: Path, binary: Path) -> Path:
    """Binarises a toy corpus with the real fairseq-preprocess and one dictionary for both languages."""
    prefixes = [word for split in ("train", "valid", "test") for word in (f"--{split}pref", text / split)]
    run("fairseq-preprocess", "-s", "src", "-t", "tgt", *prefixes, "--destdir", binary, "--joined-dictionary")
    return binary


_RECORD_THREADS = """
import atexit, os, pathlib, sys, time

def note():
    if "fairseq_cli" not in sys.modules:
        return
    deadline = time.monotonic() + 1  # an ended thread is listed a moment longer
    while "gloo" in (names := " ".join(map(name_of, pathlib.Path("/proc/self/task").iterdir()))):
        if time.monotonic() > deadline:
            break
    pathlib.Path(__file__).with_name(f"threads.{os.getpid()}").write_text(names)

def name_of(task):
    try:
        return (task / "comm").read_text().strip()
    except OSError:
        return ""

atexit.register(note)
"""


def record_final_threads(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """Makes later commands record in a new folder the threads that `final_threads` returns."""
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(_RECORD_THREADS)
    monkeypatch.setenv("PYTHONPATH", str(folder))


def final_threads(folder: Path) -> list[str]:
    """The thread names of each fairseq process at the end of Python."""
    return [path.read_text() for path in folder.glob("threads.*")]


def train(data: Path, save: Path, *args: object, user_dir: object = USER_DIR, **options: Any) -> list[dict[str, str]]:
    """Trains with the real fairseq-train and returns its log lines."""
    finished = run("fairseq-train", data, "--user-dir", user_dir, *TRAINING, "--save-dir", save, *args, **options)
    return log_lines(finished.stdout + finished.stderr)


def log_lines(output: str) -> list[dict[str, str]]:
    """The JSON objects that fairseq logged."""
    return [json.loads(line) for line in re.findall(r"(\{\".*\})$", output, flags=re.MULTILINE)]


def losses(lines: list[dict[str, str]]) -> list[float]:
    """The training loss of each update."""
    return [float(line["loss"]) for line in lines if "loss" in line and "ups" in line]


def losses_by_update(lines: list[dict[str, str]]) -> dict[int, float]:
    """The training loss of each update, by its number."""
    return {int(line["num_updates"]): float(line["loss"]) for line in lines if "loss" in line and "ups" in line}


def generated(output: str, kind: str = "H") -> dict[int, list[str]]:
    """The lines of one kind in fairseq-generate's output, by sentence, without the sentence number."""
    lines_by_sentence: dict[int, list[str]] = {}
    for line in output.splitlines():
        match = re.match(rf"{kind}-(\d+)\t(.*)", line)
        if match:
            lines_by_sentence.setdefault(int(match[1]), []).append(match[2])
    return lines_by_sentence
