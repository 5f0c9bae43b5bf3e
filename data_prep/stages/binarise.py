"""Tokenizes and binarises text in parallel: from sentences to fairseq's files without intermediate text files."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import sentencepiece
from numpy.typing import NDArray

from data_prep.formats.text_files import Pair
from data_prep.settings import Settings
from data_prep.stages.removed import RemovedPair, RemovedPairs
from data_prep.workers import ordered_map
from resmlp_mt.common.errors import ResMLPError
from resmlp_mt.common.indexed_data import IndexedWriter
from resmlp_mt.common.progress import progress_bar
from resmlp_mt.translation.special_tokens import SPECIAL_TOKENS
from resmlp_mt.translation.text.tokenizer import EncodedText, Tokenizer

CHUNK_PAIRS = 5000
TOO_MANY_PIECES = "too many pieces"
NO_PIECES = "no pieces"
UNKNOWN_PIECES = "unknown pieces"
LEFT_OUT_RULES = (NO_PIECES, TOO_MANY_PIECES, UNKNOWN_PIECES)
# The round trip is checked for every held-out sentence and for every twentieth training sentence.
_TRAIN_CHECK_STRIDE = 20
_EXAMPLES = 20


@dataclass(frozen=True)
class Task:
    """Consecutive pairs to binarise.

    Attributes:
        pairs: source and target sentences.
        is_train: training pairs may be left out and sampled; held-out pairs are kept as they are.
        sampling_seed: seed of the sampled segmentation; None for the best segmentation.
    """

    pairs: list[Pair]
    is_train: bool
    sampling_seed: int | None = None


@dataclass
class Binarised:
    """A binarised task.

    Attributes:
        token_ids: the ids of each side, `(tokens,)`.
        sizes: the number of ids of each sentence, for each side `(pairs,)`.
        left_out: the pairs that were left out.
        unknown_examples: held-out sentences with unknown tokens.
        round_trips: number of sentences that were decoded again and compared.
        fault: a sentence that was not decoded to itself, or None.
    """

    token_ids: list[NDArray[np.integer]]
    sizes: list[NDArray[np.int64]]
    left_out: list[RemovedPair] = field(default_factory=list)
    unknown_examples: list[str] = field(default_factory=list)
    round_trips: int = 0
    fault: str | None = None


class Binariser:
    """Converts pairs of sentences to tokens and removes training pairs that are unusable.

    Args:
        settings: the configuration.
        models: the sentencepiece models, one or two.
    """

    def __init__(self, settings: Settings, models: Sequence[Path]) -> None:
        self._max_subwords = settings.max_subwords
        self._dropout = settings.bpe_dropout
        self.sides = [
            Tokenizer.from_model(path, settings.text, lang)
            for path, lang in zip((models[0], models[-1]), settings.languages, strict=True)
        ]

    def binarise(self, task: Task) -> Binarised:
        """Binarises the pairs of a task."""
        texts = [[side.prepare(pair[number]) for pair in task.pairs] for number, side in enumerate(self.sides)]
        dropout = None if task.sampling_seed is None else self._dropout
        encoded = [side.encode_prepared(text, dropout) for side, text in zip(self.sides, texts, strict=True)]
        result = Binarised([side.tokens for side in encoded], [side.sizes for side in encoded])
        self._check_round_trips(result, task, texts, encoded)
        unknown = [_has_unknown(side) for side in encoded]
        if task.is_train:
            self._leave_out(result, task, unknown[0] | unknown[1])
        else:
            for text, has_unknown in zip(texts, unknown, strict=True):
                result.unknown_examples += [text[index] for index in np.flatnonzero(has_unknown)[:_EXAMPLES]]
        return result

    def _check_round_trips(
        self, result: Binarised, task: Task, texts: list[list[str]], encoded: list[EncodedText]
    ) -> None:
        stride = _TRAIN_CHECK_STRIDE if task.is_train else 1
        for side, side_texts, side_encoded in zip(self.sides, texts, encoded, strict=True):
            for text, pieces in islice(zip(side_texts, side_encoded.pieces, strict=True), 0, None, stride):
                result.round_trips += 1
                if side.is_lossy(text, pieces):
                    result.fault = text

    def _leave_out(self, result: Binarised, task: Task, unknown: NDArray[np.bool_]) -> None:
        # The end of the sentence does not count as a piece.
        longest = np.maximum(*result.sizes) - 1
        shortest = np.minimum(*result.sizes) - 1
        broken = {NO_PIECES: shortest == 0, TOO_MANY_PIECES: longest > self._max_subwords, UNKNOWN_PIECES: unknown}
        keep = np.ones(len(task.pairs), bool)
        for rule, breaks in broken.items():
            result.left_out += [RemovedPair(rule, "", 0, *task.pairs[index]) for index in np.flatnonzero(keep & breaks)]
            keep &= ~breaks
        if not keep.all():
            for side in range(2):
                result.token_ids[side] = result.token_ids[side][np.repeat(keep, result.sizes[side])]
                result.sizes[side] = result.sizes[side][keep]


def _has_unknown(text: EncodedText) -> NDArray[np.bool_]:
    """Which sentences contain an unknown token, `(sentences,)`."""
    has_unknown = np.zeros(len(text.sizes), bool)
    ends = np.cumsum(text.sizes)
    has_unknown[np.searchsorted(ends, np.flatnonzero(text.tokens == SPECIAL_TOKENS.unknown), side="right")] = True
    return has_unknown


_binariser: Binariser


def start_worker(settings: Settings, models: Sequence[Path]) -> None:
    """Prepares this process for `binarise_task`."""
    global _binariser
    _binariser = Binariser(settings, models)


def binarise_task(task: Task) -> Binarised:
    """Binarises one task with the tokenizers of this process."""
    if task.sampling_seed is None:
        return _binariser.binarise(task)
    # sentencepiece seeds its random generator once per thread: a new thread per task makes the sampling repeatable,
    # whichever process runs the task.
    sentencepiece.set_random_generator_seed(task.sampling_seed)
    results: list[Binarised] = []
    thread = threading.Thread(target=lambda: results.append(_binariser.binarise(task)))
    thread.start()
    thread.join()
    return results[0]


def tasks_of(chunks: Iterable[list[Pair]], is_train: bool, sampling_seed: int | None) -> Iterator[Task]:
    """Converts every chunk to a task, each with its own sampling seed."""
    for number, pairs in enumerate(chunks):
        yield Task(pairs, is_train, None if sampling_seed is None else (sampling_seed + number) % (1 << 32))


@dataclass
class BinarisedText:
    """The counts of a binarised split or shard.

    Attributes:
        counts: how often each id occurs, for each side `(vocabulary,)`.
        pairs: number of sentence pairs written.
        left_out: number of pairs that each rule left out.
        examples: some of these pairs.
        unknown_examples: held-out sentences with unknown tokens.
        round_trips: number of sentences that were decoded again and compared.
    """

    counts: list[NDArray[np.int64]]
    pairs: int = 0
    left_out: dict[str, int] = field(default_factory=lambda: dict.fromkeys(LEFT_OUT_RULES, 0))
    examples: list[RemovedPair] = field(default_factory=list)
    unknown_examples: list[str] = field(default_factory=list)
    round_trips: int = 0

    @property
    def tokens(self) -> list[int]:
        """Number of ids written on each side, ends of sentences included."""
        return [int(counts.sum()) for counts in self.counts]

    @property
    def unknown(self) -> list[int]:
        """Number of unknown tokens on each side."""
        return [int(counts[SPECIAL_TOKENS.unknown]) for counts in self.counts]

    def add(self, result: Binarised, removed: RemovedPairs) -> None:
        """Adds the result of one task.

        Raises:
            ResMLPError: a sentence was not decoded to itself.
        """
        if result.fault is not None:
            raise ResMLPError(
                f"the sentencepiece model changes the sentence {result.fault[:200]!r} when it is encoded and decoded; "
                "use a model with the normalisation nmt_nfkc"
            )
        self.pairs += len(result.sizes[0])
        for side, token_ids in enumerate(result.token_ids):
            self.counts[side] += np.bincount(token_ids, minlength=len(self.counts[side]))
        for pair in result.left_out:
            self.left_out[pair.rule] += 1
            removed.add(pair)
        self.unknown_examples = (self.unknown_examples + result.unknown_examples)[:_EXAMPLES]
        self.round_trips += result.round_trips

    def as_json(self) -> dict[str, Any]:
        """The counts as JSON values."""
        return {
            "pairs": self.pairs,
            "tokens": self.tokens,
            "unknown": self.unknown,
            "left_out": self.left_out,
            "examples": [vars(pair) for pair in self.examples],
            "unknown_examples": self.unknown_examples,
            "round_trips": self.round_trips,
            "counts": [counts.tolist() for counts in self.counts],
        }


def write_split(
    tasks: Iterable[Task],
    prefixes: tuple[Path, Path],
    settings: Settings,
    models: Sequence[Path],
    workers: int,
    total: int | None,
    removed_path: Path | None = None,
) -> BinarisedText:
    """Binarises a split or a shard; its four files appear together at the end.

    Args:
        tasks: the sentences.
        prefixes: the paths of source and target without `.bin` and `.idx`.
        settings: the configuration.
        models: the sentencepiece models.
        workers: number of processes.
        total: number of pairs, for the progress bar.
        removed_path: a file for all pairs that are left out; None to keep only examples.

    Returns:
        The counts.

    Raises:
        ResMLPError: a sentence was not decoded to itself.
    """
    sizes = [len(side.symbols) for side in Binariser(settings, models).sides]
    text = BinarisedText([np.zeros(size, np.int64) for size in sizes])
    with (
        IndexedWriter(prefixes[0], sizes[0]) as src_writer,
        IndexedWriter(prefixes[1], sizes[1]) as tgt_writer,
        RemovedPairs(removed_path) as removed,
        progress_bar("binarise", total, "pairs") as progress,
    ):
        for result in ordered_map(binarise_task, tasks, workers, start_worker, (settings, models)):
            src_writer.add(result.token_ids[0], result.sizes[0])
            tgt_writer.add(result.token_ids[1], result.sizes[1])
            text.add(result, removed)
            progress.update(len(result.sizes[0]))
    text.examples = removed.examples
    return text
