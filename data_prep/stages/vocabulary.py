"""The vocabulary of a data set: sentencepiece models, trained on a sample of the training text or given."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from data_prep.formats.blocks import Block, training_chunks
from data_prep.formats.text_files import Pair
from data_prep.settings import Settings
from data_prep.stages.job import Job
from data_prep.stages.subwords import train_model
from data_prep.workers import ordered_map
from resmlp_mt.common.errors import ResMLPError
from resmlp_mt.common.files import open_whole_file
from resmlp_mt.common.progress import log
from resmlp_mt.translation.text.normalization import TextPreparation
from resmlp_mt.translation.text.sentencepiece_model import load_model

_CHUNK_PAIRS = 5000
# For --vocab-size 0: (minimum number of training pairs, number of pieces).
_SIZES = ((1_000_000, 32000), (200_000, 16000), (20_000, 8000), (2_000, 4000), (0, 1000))


def vocabulary_size(settings: Settings, pairs: int) -> int:
    """The number of pieces: the given one, or one that suits the number of training pairs."""
    return settings.vocab_size or next(size for min_pairs, size in _SIZES if pairs >= min_pairs)


def learn_vocabulary(job: Job, blocks: list[Block], pairs: int) -> dict[str, Any]:
    """Trains the sentencepiece models on a sample of the training pairs.

    Args:
        job: the run.
        blocks: all blocks, after selection.
        pairs: the number of training pairs.

    Returns:
        The number of sentences of each language in the "sample".
    """
    settings = replace(job.settings, vocab_size=vocabulary_size(job.settings, pairs))
    samples = [job.work / f"sample.{lang}" for lang in settings.languages]
    _write_samples(samples, _sampled(blocks, pairs, settings.sentencepiece_sample), settings, job.run.workers)
    if settings.joint:
        samples = [_joined(samples, job.work / "sample")]
    for path, sample in zip(job.models, samples, strict=True):
        size = sample.stat().st_size
        log(
            "vocabulary",
            f"{path.name}: training {settings.vocab_size:,} {settings.model_type} pieces on {size:,} bytes",
        )
        train_model(sample, path, settings)
        log("vocabulary", f"{path.name}: trained")
    return {"sample": min(pairs, settings.sentencepiece_sample)}


def _joined(samples: list[Path], joint: Path) -> Path:
    with open_whole_file(joint) as whole:
        for sample in samples:
            with sample.open("rb") as part:
                shutil.copyfileobj(part, whole)
    return joint


def use_vocabulary(job: Job) -> dict[str, Any]:
    """Copies given sentencepiece models into the data set.

    Raises:
        ResMLPError: their number is not 1 for a joint and 2 for separate vocabularies, or one cannot be read.
    """
    given, targets = job.run.models, job.models
    if len(given) != len(targets):
        raise ResMLPError(
            f"--sentencepiece-model is given {len(given)} times instead of {len(targets)}; give it once for a joint "
            "vocabulary, twice for separate ones"
        )
    for path, target in zip(given, targets, strict=True):
        load_model(path)
        with open_whole_file(target) as file:
            file.write(path.read_bytes())
    return {}


def _sampled(blocks: list[Block], pairs: int, size: int) -> Iterator[list[Pair]]:
    """Evenly spaced pairs of the training text; all of them if there are at most `size`."""
    size = min(size, pairs)
    number = 0
    for chunk in training_chunks(blocks, 0, 1, _CHUNK_PAIRS):
        yield [pair for index, pair in enumerate(chunk, number) if (index + 1) * size // pairs > index * size // pairs]
        number += len(chunk)


def _write_samples(samples: list[Path], chunks: Iterator[list[Pair]], settings: Settings, workers: int) -> None:
    # Without Moses, preparation is faster than sending text between processes.
    workers = workers if settings.tokenizer == "moses" or settings.normalize_punctuation else 1
    with open_whole_file(samples[0]) as src_file, open_whole_file(samples[1]) as tgt_file:
        for src_text, tgt_text in ordered_map(_prepare_chunk, chunks, workers, _start_worker, (settings,)):
            src_file.write(src_text)
            tgt_file.write(tgt_text)


_preparations: list[TextPreparation]


def _start_worker(settings: Settings) -> None:
    global _preparations
    _preparations = [TextPreparation(settings.text, lang) for lang in settings.languages]


def _prepare_chunk(pairs: list[Pair]) -> tuple[bytes, ...]:
    return tuple(
        "".join(f"{prepare(pair[side])}\n" for pair in pairs).encode() for side, prepare in enumerate(_preparations)
    )
