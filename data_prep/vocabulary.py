"""The vocabulary of a data set: learned from a sample of its training text, or given."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from data_prep.blocks import Block, training_chunks
from data_prep.files import whole_file
from data_prep.progress import say
from data_prep.read import Pair
from data_prep.segment import load_model, model_names, train_model
from data_prep.settings import Settings
from data_prep.tokenise import TextPreparation
from data_prep.workers import ordered_map
from resmlp_mt.errors import ResMLPError

_CHUNK_PAIRS = 5000
# (from this many training pairs on, pieces), for --vocab-size 0.
_SIZES = ((1_000_000, 32000), (200_000, 16000), (20_000, 8000), (2_000, 4000), (0, 1000))


def vocabulary_size(settings: Settings, pairs: int) -> int:
    """The number of pieces: the one asked for, or one that suits the number of training pairs."""
    return settings.vocab_size or next(size for least, size in _SIZES if pairs >= least)


def learn_vocabulary(blocks: list[Block], pairs: int, out: Path, work: Path, settings: Settings, workers: int) -> None:
    """Learns the sentencepiece models from a sample of the training pairs.

    Args:
        blocks: all blocks, selected.
        pairs: the number of training pairs.
        out: the folder for the models.
        work: a folder for the sample.
        settings: the configuration.
        workers: number of processes that prepare the sample.
    """
    settings = replace(settings, vocab_size=vocabulary_size(settings, pairs))
    samples = [work / f"sample.{lang}" for lang in settings.languages]
    _write_samples(samples, _sampled(blocks, pairs, settings.sentencepiece_sample), settings, workers)
    names = model_names(settings)
    if settings.joint:
        joint = work / "sample"
        with whole_file(joint) as whole:
            for sample in samples:
                with sample.open("rb") as part:
                    shutil.copyfileobj(part, whole)
        samples = [joint]
    for name, sample in zip(names, samples, strict=True):
        say(
            "vocabulary",
            f"{name}: {settings.vocab_size:,} pieces ({settings.model_type}) from {sample.stat().st_size:,} B",
        )
        train_model(sample, out / name, settings)


def use_vocabulary(given: list[Path], out: Path, settings: Settings) -> None:
    """Copies given sentencepiece models into the data set.

    Raises:
        ResMLPError: when their number is not 1 for a joint and 2 for separate vocabularies, or one cannot be read.
    """
    names = model_names(settings)
    if len(given) != len(names):
        raise ResMLPError(
            f"--sentencepiece-model must name {len(names)} files ({', '.join(names)}), but names {len(given)}; "
            "give one for each vocabulary"
        )
    for path, name in zip(given, names, strict=True):
        load_model(path)
        with whole_file(out / name) as file:
            file.write(path.read_bytes())


def _sampled(blocks: list[Block], pairs: int, size: int) -> Iterator[list[Pair]]:
    number = 0
    for chunk in training_chunks(blocks, 0, 1, _CHUNK_PAIRS):
        # Evenly spaced over the whole corpus; all of it when it is small.
        chosen = [
            pair
            for place, pair in enumerate(chunk, number)
            if size >= pairs or (place + 1) * size // pairs > place * size // pairs
        ]
        number += len(chunk)
        if chosen:
            yield chosen


def _write_samples(samples: list[Path], chunks: Iterator[list[Pair]], settings: Settings, workers: int) -> None:
    with whole_file(samples[0]) as src_file, whole_file(samples[1]) as tgt_file:
        # Without Moses there is hardly anything to prepare, and sending text about would cost more.
        workers = workers if settings.tokenizer == "moses" or settings.normalize_punctuation else 1
        for src_text, tgt_text in ordered_map(_prepare_chunk, chunks, workers, _start_worker, (settings,)):
            src_file.write(src_text)
            tgt_file.write(tgt_text)


_preparations: list[TextPreparation]


def _start_worker(settings: Settings) -> None:
    global _preparations
    _preparations = [TextPreparation(settings, lang) for lang in settings.languages]


def _prepare_chunk(pairs: list[Pair]) -> tuple[bytes, ...]:
    return tuple(
        "".join(f"{prepare(pair[side])}\n" for pair in pairs).encode() for side, prepare in enumerate(_preparations)
    )
