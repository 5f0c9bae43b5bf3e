"""A small data folder with a sentencepiece model, and checkpoints in fairseq-train's format."""

from __future__ import annotations

import contextlib
import io
import math
import random
import sys
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from unittest import mock

import sentencepiece
import torch
from fairseq import options, tasks
from fairseq.dataclass.utils import convert_namespace_to_omegaconf
from fairseq_cli import generate, preprocess
from omegaconf import OmegaConf
from toy import shake

from resmlp_mt import register_with_fairseq
from resmlp_mt.translation.bundle.packaging import bundle_checkpoint
from resmlp_mt.translation.search.settings import SearchSettings

TEXT = "ein kleiner hund läuft über die wiese und drei männer sitzen im café: a small dog runs across two men sit"
WORDS = TEXT.split()
# Architectures are tested with small sizes.
SMALL = {
    "--encoder-embed-dim": 24,
    "--decoder-embed-dim": 24,
    "--encoder-ffn-embed-dim": 40,
    "--decoder-ffn-embed-dim": 40,
    "--cross-attention-heads": 2,
    "--max-source-positions": 40,
    "--max-target-positions": 40,
}


def sentence(generator: random.Random, longest: int = 9) -> str:
    """A random sentence."""
    return " ".join(generator.choices(WORDS, k=generator.randrange(1, longest + 1))) + "."


@cache
def data_folder() -> Path:
    """Prepares a data folder, once: two languages, one vocabulary, 20 test sentences."""
    register_with_fairseq()
    folder = Path(mkdtemp(prefix="resmlp-toy-"))
    generator = random.Random(3)
    (folder / "raw").mkdir()
    for split, count in (("train", 200), ("test", 20)):
        for side in ("src", "tgt"):
            text = "".join(f"{sentence(generator)}\n" for _ in range(count))
            (folder / "raw" / f"{split}.{side}").write_text(text, encoding="utf-8")
    train = [str(folder / "raw" / f"train.{side}") for side in ("src", "tgt")]
    sentencepiece.SentencePieceTrainer.train(
        input=",".join(train), model_prefix=str(folder / "spm"), vocab_size=90, model_type="bpe", byte_fallback=False,
        character_coverage=1.0, minloglevel=2,
    )  # fmt: skip
    model = sentencepiece.SentencePieceProcessor(model_file=str(folder / "spm.model"))
    for split in ("train", "test"):
        for side in ("src", "tgt"):
            lines = (folder / "raw" / f"{split}.{side}").read_text(encoding="utf-8").splitlines()
            text = "".join(" ".join(model.encode(line, out_type=str)) + "\n" for line in lines)
            (folder / f"{split}.bpe.{side}").write_text(text, encoding="utf-8")
    args = ["-s", "src", "-t", "tgt", "--joined-dictionary", "--destdir", folder, "--workers", 1]
    args += ["--trainpref", folder / "train.bpe", "--testpref", folder / "test.bpe"]
    preprocess.main(options.get_preprocessing_parser().parse_args([str(arg) for arg in args]))
    return folder


def write_checkpoint(path: Path, arch: str, *args: object, seed: int = 1, small: bool = True) -> Path:
    """Writes a checkpoint with random weights, in fairseq-train's format."""
    register_with_fairseq()
    sizes = [str(arg) for pair in SMALL.items() for arg in pair] if small else []
    command = [str(data_folder()), "--task", "translation", "--arch", arch, *sizes, *map(str, args)]
    cfg = convert_namespace_to_omegaconf(options.parse_args_and_arch(options.get_training_parser(), command))
    task = tasks.setup_task(cfg.task)
    torch.manual_seed(seed)
    model = task.build_model(cfg.model)
    for number in range(4):  # a single perturbation would leave the outputs nearly the same for all sources
        shake(model, 10 * seed + number)
    content = {
        "args": None,
        "cfg": OmegaConf.to_container(cfg, resolve=True, enum_to_str=True),
        "model": model.state_dict(),
        "criterion": None,
        "optimizer_history": [{"optimizer_name": "FairseqAdam", "num_updates": 7, "lr_scheduler_state": {}}],
        "task_state": {},
        "extra_state": {"val_loss": 3.5, "best": 3.5, "epoch": 2, "train_iterator": {"epoch": 2}},
        "last_optimizer_state": {"state": {}},
    }
    torch.save(content, path)
    return path


def write_bundle(
    folder: Path,
    arch: str = "resmlp_tiny",
    decoding: SearchSettings | None = None,
    seed: int = 1,
    options: Sequence[object] = (),
) -> Path:
    """Writes a bundle of a random model; `options` are further options of the architecture."""
    folder.mkdir(parents=True, exist_ok=True)
    checkpoint = write_checkpoint(folder / "checkpoint.pt", arch, "--share-all-embeddings", *options, seed=seed)
    bundle_checkpoint(checkpoint, data_folder(), folder / "model", decoding or SearchSettings(max_len_b=15))
    return folder / "model"


def fairseq_generate(checkpoints: list[Path], *args: object) -> list[list[tuple[float, str]]]:
    """Runs fairseq-generate on the test set; returns each sentence's scores (natural logarithm) and sub-words."""
    command = ["fairseq-generate", data_folder(), "--path", ":".join(map(str, checkpoints)), "--cpu", *args]
    output = io.StringIO()
    with mock.patch.object(sys, "argv", [str(arg) for arg in command]), contextlib.redirect_stdout(output):
        generate.cli_main()
    hypotheses: dict[int, list[tuple[float, str]]] = {}
    for line in output.getvalue().splitlines():
        if line.startswith("H-"):
            number, score, text = line[2:].split("\t")
            hypotheses.setdefault(int(number), []).append((float(score) * math.log(2), text))
    return [hypotheses[number] for number in sorted(hypotheses)]


def raw_lines(side: str = "src") -> list[str]:
    """The raw test set."""
    return (data_folder() / "raw" / f"test.{side}").read_text(encoding="utf-8").splitlines()
