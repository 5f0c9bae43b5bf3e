"""Measures the commands with 1, 2 and the default number of threads, on a quiet machine and beside busy processes.

Each command runs as a user runs it, in a process of its own: with `--threads` (or OMP_NUM_THREADS, where there is no
such option) 1 and 2, and with neither. "Busy" is beside one process for each usable CPU that does nothing but compute.
Speeds are taken from the first result on, without the start of the command. The translator has random weights, 6+2
layers of 256/1536, 32,000 sub-words, and always writes 20 sub-words; the training is of the multi30k size; the images
are classified by a ResMLP-S12. Prints a table and writes JSON; the machine must be idle otherwise:

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
from dataclasses import dataclass
from pathlib import Path

from resmlp_mt.common import threads
from resmlp_mt.common.allocator import NO_THREAD_CACHE
from resmlp_mt.common.files import write_json
from resmlp_mt.experiments.measure.machine import MachineWatch
from resmlp_mt.experiments.measure.side_by_side import print_table

ROOT = Path(__file__).resolve().parents[2]
STATES = ("quiet", "busy")
SETTINGS = ("1", "2", "default")
KEPT = 0.4  # of the quiet speed, that every default should keep beside busy processes
AS_FAST = 0.9  # of the fastest of 1 and 2 threads, below which a default is slower by more than noise
WARM_UP = 5  # updates of a training that do not count
WINDOW = 512  # lines that translate writes at once
PICTURES = 64  # that predict answers at once
VARIABLES = ("OMP_NUM_THREADS", "OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "MKL_NUM_THREADS")


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--commands", nargs="+", choices=tuple(COMMANDS), default=tuple(COMMANDS))
    parser.add_argument("--rounds", type=int, default=3, help="of each measurement; the median counts")
    parser.add_argument("--lines", type=int, default=512, help="of text, and half as many pictures, that count")
    parser.add_argument("--single-lines", type=int, default=40, help="line by line")
    parser.add_argument("--updates", type=int, default=40, help="of a training")
    parser.add_argument("--dim", type=int, default=256)
    parser.add_argument("--hidden", type=int, default=1536)
    parser.add_argument("--vocabulary", type=int, default=32000)
    parser.add_argument("--output", type=Path, default=Path("results/threads.json"))
    return parser.parse_args()


@dataclass(frozen=True)
class Bench:
    """What the measured commands work on."""

    arguments: argparse.Namespace
    folder: Path
    words: list[str]

    @property
    def model(self) -> Path:
        return self.folder / "model"

    def sentences(self, count: int) -> list[str]:
        generator = random.Random(2)
        return [" ".join(generator.choices(self.words, k=19)) for _ in range(count)]

    def write(self, name: str, count: int) -> Path:
        path = self.folder / name
        path.write_text("".join(f"{line}\n" for line in self.sentences(count)), encoding="utf-8")
        return path


# What is measured.


def make_translator(bench: Bench) -> None:
    """Writes a bundle of random weights, whose sub-words are made-up words."""
    import sentencepiece
    import torch

    from resmlp_mt.translation.bundle.format import BundleConfig, Side, write_bundle
    from resmlp_mt.translation.engine.step_model import TranslationModel
    from resmlp_mt.translation.model.build import build_core
    from resmlp_mt.translation.model.config import ModelConfig
    from resmlp_mt.translation.search.settings import SearchSettings
    from resmlp_mt.translation.text.dictionary import SPECIAL_TOKEN_NAMES
    from resmlp_mt.translation.text.normalization import TextSettings

    arguments = bench.arguments
    text = bench.folder / "words.txt"
    text.write_text("\n".join(bench.words) + "\n", encoding="utf-8")
    sentencepiece.SentencePieceTrainer.train(
        input=str(text), model_prefix=str(bench.folder / "spm"), model_type="word", minloglevel=2,
        vocab_size=arguments.vocabulary, character_coverage=1.0, hard_vocab_limit=False,
    )  # fmt: skip
    pieces = sentencepiece.SentencePieceProcessor(model_file=str(bench.folder / "spm.model"))
    symbols = [*SPECIAL_TOKEN_NAMES, *(pieces.id_to_piece(piece) for piece in range(3, pieces.get_piece_size()))]
    sizes = {f"{side}_embed_dim": arguments.dim for side in ("encoder", "decoder")}
    sizes |= {f"{side}_ffn_embed_dim": arguments.hidden for side in ("encoder", "decoder")}
    options = ModelConfig(share_all_embeddings=True, encoder_layers=6, decoder_layers=2, **sizes)
    torch.manual_seed(1)
    model = TranslationModel(*build_core(options, len(symbols), len(symbols)))
    decoding = SearchSettings(beam_size=4, min_len=20, max_len_a=0.0, max_len_b=20)
    side = Side("en", (bench.folder / "spm.model").read_bytes(), symbols)
    config = BundleConfig("resmlp", options, ("en", "de"), True, TextSettings(), decoding, {}, {})
    write_bundle(bench.model, config, model.state_dict(), (side, Side("de", side.sentencepiece, symbols)))


def make_classifier(bench: Bench) -> None:
    """Writes a ResMLP-S12 of random weights, and pictures."""
    import numpy
    import torch
    from PIL import Image

    from resmlp_mt.vision.bundle import save_classifier
    from resmlp_mt.vision.data.preprocessing import Preprocessing
    from resmlp_mt.vision.model.classifier import ClassifierModel
    from resmlp_mt.vision.model.config import ClassifierConfig

    torch.manual_seed(1)
    classifier = ClassifierModel(ClassifierConfig())
    names = [str(number) for number in range(classifier.settings.num_classes)]
    save_classifier(bench.folder / "classifier", classifier, names, Preprocessing())
    (bench.folder / "pictures").mkdir()
    generator = numpy.random.default_rng(1)
    for number in range(PICTURES + bench.arguments.lines // 2):
        pixels = generator.integers(0, 256, (224, 224, 3), dtype=numpy.uint8)
        Image.fromarray(pixels).save(bench.folder / "pictures" / f"{number:05}.png", compress_level=0)


def resmlp_mt(*words: object) -> list[str]:
    return [sys.executable, "-m", "resmlp_mt.cli.main", *map(str, words)]


def environment(count: str = "default") -> dict[str, str]:
    """That of a user who has set nothing, but for the number of threads if it is not the default."""
    variables = {name: value for name, value in os.environ.items() if name not in VARIABLES}
    variables |= {"PYTHONUNBUFFERED": "1", "PYTHONWARNINGS": "ignore", "PYTHONPATH": str(ROOT)}
    return variables if count == "default" else {**variables, "OMP_NUM_THREADS": count}


def option(count: str) -> list[str]:
    return [] if count == "default" else ["--threads", count]


@contextlib.contextmanager
def running(command: list[str], variables: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """A command whose output can be read while it runs, and which must end well.

    Raises:
        RuntimeError: with the end of what it said, if it failed.
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
        said = errors.read().decode(errors="replace")
    if process.returncode != 0:
        raise RuntimeError(f"{' '.join(command)} ended with status {process.returncode}:\n{said[-3000:]}")


def lines_per_second(command: list[str], variables: dict[str, str], at_once: int) -> float:
    """The speed of a command that writes lines, once it has written the first `at_once` of them."""
    with running(command, variables) as process:
        assert process.stdout is not None
        times = [time.perf_counter() for _ in process.stdout]
    return (len(times) - at_once) / (times[-1] - times[at_once - 1])


def answers_per_second(command: list[str], variables: dict[str, str], lines: list[str], heading: bool) -> float:
    """The speed of a command that answers each line before it gets the next one."""
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
    text = bench.write("source.txt", WINDOW + bench.arguments.lines)
    words = resmlp_mt("translate", bench.model, "--input", text, "--quiet", *option(count))
    return lines_per_second(words, environment(), WINDOW)


def translate_line_by_line(bench: Bench, count: str) -> float:
    words = resmlp_mt("translate", bench.model, "--flush", "--quiet", *option(count))
    return answers_per_second(words, environment(), bench.sentences(bench.arguments.single_lines), heading=False)


def interactive(bench: Bench, count: str) -> float:
    words = resmlp_mt("interactive", bench.model, *option(count))
    variables = {**environment(), "XDG_STATE_HOME": str(bench.folder)}  # not the user's history
    return answers_per_second(words, variables, bench.sentences(bench.arguments.single_lines), heading=True)


def evaluate(bench: Bench, count: str) -> float:
    text, report = bench.write("test.txt", bench.arguments.lines), bench.folder / "report.json"
    words = ["evaluate", bench.model, "--source", text, "--reference", text, "--json", report]
    with running(resmlp_mt(*words, "--resamples", 2, "--trials", 2, *option(count)), environment()):
        pass
    return float(json.loads(report.read_text(encoding="utf-8"))["speed"]["sentences_per_second"])


def train(bench: Bench, variables: dict[str, str]) -> float:
    words = [
        *("-m", "fairseq_cli.train", "--user-dir", ROOT / "resmlp_mt", "--task", "dummy_mt", "--cpu"),
        *("--arch", "resmlp_multi30k", "--criterion", "resmlp_label_smoothed_cross_entropy", "--label-smoothing", 0.1),
        *("--dict-size", 8000, "--src-len", 16, "--tgt-len", 16, "--max-tokens", 2048, "--num-workers", 0),
        *("--optimizer", "adagrad", "--lr", 0.2, "--max-update", bench.arguments.updates, "--disable-validation"),
        *("--no-save", "--log-format", "json", "--log-interval", 1, "--save-dir", bench.folder / "run"),
    ]
    with running([sys.executable, *map(str, words)], variables) as process:
        assert process.stdout is not None
        said = process.stdout.read().decode()
    lines = [json.loads(found) for found in re.findall(r"(\{\".*\})$", said, flags=re.MULTILINE)]
    speeds = [float(line["wps"]) for line in lines if "ups" in line and int(line["num_updates"]) > WARM_UP]
    return len(speeds) / sum(1 / speed for speed in speeds)  # of all: threads that wait are slow now and then


def train_by_recipe(bench: Bench, count: str) -> float:
    variables = {**NO_THREAD_CACHE, **environment(count)}
    threads.spin_briefly(variables)  # both as resmlp_mt/experiments/launch.py does
    return train(bench, variables)


def train_alone(bench: Bench, count: str) -> float:
    return train(bench, environment(count))


def predict(bench: Bench, count: str) -> float:
    words = resmlp_mt("vision", "predict", bench.folder / "classifier", bench.folder / "pictures")
    return lines_per_second(words, environment(count), PICTURES)


# name -> (what is measured, what is counted in a second)
COMMANDS: dict[str, tuple[Callable[[Bench, str], float], str]] = {
    "translate": (translate, "sentences"),
    "translate --flush": (translate_line_by_line, "sentences"),
    "interactive": (interactive, "sentences"),
    "evaluate": (evaluate, "sentences"),
    "training, recipe": (train_by_recipe, "tokens"),
    "training, fairseq-train": (train_alone, "tokens"),
    "vision predict": (predict, "images"),
}


# How it is measured.


@contextlib.contextmanager
def others(count: int) -> Iterator[None]:
    """Processes that do nothing but compute, while the block runs."""
    processes = [subprocess.Popen([sys.executable, "-S", "-c", "while True: pass"]) for _ in range(count)]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


def measure(bench: Bench, name: str) -> dict[str, dict[str, list[float]]]:
    """Speeds of a command by setting and state, in rounds, so that a machine that changes does so for all."""
    speeds: dict[str, dict[str, list[float]]] = {count: {state: [] for state in STATES} for count in SETTINGS}
    call, _ = COMMANDS[name]
    for _ in range(bench.arguments.rounds):
        for count in SETTINGS:
            for state in STATES:
                with others(threads.usable_cpus() if state == "busy" else 0):
                    speeds[count][state].append(call(bench, count))
    return speeds


def judge(name: str, medians: dict[str, dict[str, float]]) -> list[str]:
    """Says where a default is not what it should be."""
    quiet, busy = (medians["default"][state] for state in STATES)
    fastest = max(medians[count]["quiet"] for count in ("1", "2"))
    said = []
    if quiet < AS_FAST * fastest:
        said.append(f"{name}: the default has {quiet / fastest:.0%} of the speed of the fastest of 1 and 2 threads")
    if busy < KEPT * quiet:
        said.append(f"{name}: the default keeps {busy / quiet:.0%} of its quiet speed, less than {KEPT:.0%}")
    return said


def main() -> None:
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
    print("\n".join(remarks) or "every default is the fastest of 1 and 2 threads, and keeps enough beside others")
    settings = {key: str(value) if isinstance(value, Path) else value for key, value in vars(arguments).items()}
    write_json(arguments.output, {"machine": machine, "settings": settings, "results": results, "remarks": remarks})


if __name__ == "__main__":
    main()
