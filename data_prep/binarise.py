"""Segments and binarises text in parallel: from sentences to fairseq's files without any text in between."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import numpy as np
import sentencepiece
from numpy.typing import NDArray

from data_prep.indexed import IndexedWriter
from data_prep.progress import bar
from data_prep.read import Pair
from data_prep.segment import UNKNOWN, Segmenter
from data_prep.settings import Settings
from data_prep.workers import ordered_map
from resmlp_mt.errors import ResMLPError

CHUNK_PAIRS = 5000
EXAMPLES = 20
TOO_MANY_PIECES = "too many pieces"
NO_PIECES = "no pieces"
# The round trip is checked on every held-out sentence and on every twentieth training sentence.
_TRAIN_CHECK_STRIDE = 20


@dataclass
class Task:
    """Consecutive pairs to binarise.

    Attributes:
        pairs: source and target sentences.
        is_train: training pairs may be left out and may be sampled; held-out ones are kept as they are.
        sampling_seed: of the segmentation; None for the one best.
    """

    pairs: list[Pair]
    is_train: bool
    sampling_seed: int | None = None


@dataclass
class Binarised:
    """A binarised chunk: for each side the ids and the sizes; what was left out; what went wrong."""

    token_ids: list[NDArray[np.integer]]
    sizes: list[NDArray[np.int64]]
    left_out: dict[str, int]
    unknown: list[int]
    unknown_examples: list[str]
    round_trips: int
    faults: list[str]


@dataclass
class BinarisedText:
    """What is known of a binarised split.

    Attributes:
        pairs: sentence pairs written.
        tokens: ids written on each side, ends of sentences included.
        left_out: pairs left out by each rule.
        unknown: ids that stand for unknown pieces, on each side.
        unknown_examples: some sentences that hold them.
        round_trips: sentences whose pieces were put together again and compared.
        faults: sentences that did not come back the same.
        counts: how often each id occurs, both sides of `(2, vocabulary)`; ragged when vocabularies differ.
    """

    pairs: int = 0
    tokens: list[int] = field(default_factory=lambda: [0, 0])
    left_out: dict[str, int] = field(default_factory=lambda: {TOO_MANY_PIECES: 0, NO_PIECES: 0})
    unknown: list[int] = field(default_factory=lambda: [0, 0])
    unknown_examples: list[str] = field(default_factory=list)
    round_trips: int = 0
    faults: list[str] = field(default_factory=list)
    counts: list[NDArray[np.int64]] = field(default_factory=list)


class Binariser:
    """Both sides' segmenters.

    Args:
        settings: the configuration.
        models: the sentencepiece models, one or two.
    """

    def __init__(self, settings: Settings, models: tuple[Path, ...]) -> None:
        self._max_subwords = settings.max_subwords
        paths = (models[0], models[-1])
        self.sides = [Segmenter(path, settings, lang) for path, lang in zip(paths, settings.languages, strict=True)]

    def binarise(self, task: Task) -> Binarised:
        """Segments the pairs of a task on both sides and leaves out what cannot be trained on."""
        texts = [[side.prepare(pair[column]) for pair in task.pairs] for column, side in enumerate(self.sides)]
        sample = task.sampling_seed is not None
        encoded = [side.encode(text, sample) for side, text in zip(self.sides, texts, strict=True)]
        result = Binarised(
            token_ids=[token_ids for token_ids, _, _ in encoded],
            sizes=[sizes for _, sizes, _ in encoded],
            left_out={},
            unknown=[],
            unknown_examples=[],
            round_trips=0,
            faults=[],
        )
        self._check_round_trips(result, task, texts, [pieces for _, _, pieces in encoded])
        if task.is_train:
            self._leave_out(result)
        self._count_unknown(result, texts)
        return result

    def _check_round_trips(
        self, result: Binarised, task: Task, texts: list[list[str]], pieces: list[list[list[int]]]
    ) -> None:
        stride = _TRAIN_CHECK_STRIDE if task.is_train else 1
        for side, side_texts, side_pieces in zip(self.sides, texts, pieces, strict=True):
            unknown = side.model.unk_id()
            for text, ids in islice(zip(side_texts, side_pieces, strict=True), 0, None, stride):
                result.round_trips += 1
                if side.round_trip_fault(text, ids) and unknown not in ids:
                    result.faults.append(text)

    def _leave_out(self, result: Binarised) -> None:
        # The end of the sentence is no piece.
        longest = np.maximum(*result.sizes) - 1
        shortest = np.minimum(*result.sizes) - 1
        result.left_out = {
            TOO_MANY_PIECES: int(np.count_nonzero(longest > self._max_subwords)),
            NO_PIECES: int(np.count_nonzero(shortest == 0)),
        }
        keep = (longest <= self._max_subwords) & (shortest > 0)
        if keep.all():
            return
        for side in range(2):
            result.token_ids[side] = result.token_ids[side][np.repeat(keep, result.sizes[side])]
            result.sizes[side] = result.sizes[side][keep]

    @staticmethod
    def _count_unknown(result: Binarised, texts: list[list[str]]) -> None:
        for side, token_ids in enumerate(result.token_ids):
            places = np.flatnonzero(token_ids == UNKNOWN)
            result.unknown.append(len(places))
            if len(result.sizes[side]) == len(texts[side]):
                sentences = np.unique(np.searchsorted(np.cumsum(result.sizes[side]), places, side="right"))
                result.unknown_examples += [texts[side][sentence] for sentence in sentences[:EXAMPLES]]


_binariser: Binariser


def start_worker(settings: Settings, models: tuple[Path, ...]) -> None:
    """Prepares this process for `binarise_task`."""
    global _binariser
    _binariser = Binariser(settings, models)


def binarise_task(task: Task) -> Binarised:
    """Binarises one task with the segmenters of this process."""
    if task.sampling_seed is None:
        return _binariser.binarise(task)
    # sentencepiece seeds its generator once per thread: a thread of its own makes a task's sampling repeatable,
    # whichever process gets it.
    sentencepiece.set_random_generator_seed(task.sampling_seed)
    results: list[Binarised] = []
    thread = threading.Thread(target=lambda: results.append(_binariser.binarise(task)))
    thread.start()
    thread.join()
    return results[0]


def tasks_of(chunks: Iterable[list[Pair]], is_train: bool, sampling_seed: int | None) -> Iterator[Task]:
    """Makes a task of every chunk, each with a sampling seed of its own."""
    for number, pairs in enumerate(chunks):
        yield Task(pairs, is_train, None if sampling_seed is None else (sampling_seed + number) % (1 << 32))


def write_split(
    tasks: Iterable[Task],
    prefixes: tuple[Path, Path],
    settings: Settings,
    models: tuple[Path, ...],
    workers: int,
    total: int | None,
) -> BinarisedText:
    """Binarises a split; its four files appear when all is done.

    Args:
        tasks: the sentences.
        prefixes: the source's and the target's path without `.bin` and `.idx`.
        settings: the configuration.
        models: the sentencepiece models.
        workers: number of processes.
        total: number of pairs, for the progress bar.

    Returns:
        Counts and checks.

    Raises:
        ResMLPError: when pieces do not give a sentence back.
    """
    vocab_sizes = [side.vocab_size for side in Binariser(settings, models).sides]
    text = BinarisedText(counts=[np.zeros(size, np.int64) for size in vocab_sizes])
    with (
        IndexedWriter(prefixes[0], vocab_sizes[0]) as src_writer,
        IndexedWriter(prefixes[1], vocab_sizes[1]) as tgt_writer,
        bar("binarise", total, "pairs") as progress,
    ):
        for result in ordered_map(binarise_task, tasks, workers, start_worker, (settings, models)):
            for side, writer in enumerate((src_writer, tgt_writer)):
                writer.add(result.token_ids[side], result.sizes[side])
                text.counts[side] += np.bincount(result.token_ids[side], minlength=vocab_sizes[side])
            _add(text, result)
            progress.update(len(result.sizes[0]))
    return text


def _add(text: BinarisedText, result: Binarised) -> None:
    if result.faults:
        raise ResMLPError(
            f"the sentencepiece model must give every sentence back, but changes {result.faults[0][:200]!r}; "
            "use a model with the normalisation nmt_nfkc"
        )
    text.pairs += len(result.sizes[0])
    for rule, count in result.left_out.items():
        text.left_out[rule] += count
    for side in range(2):
        text.tokens[side] += len(result.token_ids[side])
        text.unknown[side] += result.unknown[side]
    text.unknown_examples = (text.unknown_examples + result.unknown_examples)[:EXAMPLES]
    text.round_trips += result.round_trips
