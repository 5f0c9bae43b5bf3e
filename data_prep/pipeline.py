"""The whole way from a corpus to a data set, one step after the other."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data_prep import clean, folder, manifest, select
from data_prep.acquire import LocalPart, Place, acquire
from data_prep.binarise import CHUNK_PAIRS, BinarisedText, tasks_of, write_split
from data_prep.blocks import Block, training_chunks
from data_prep.corpora import CORPORA
from data_prep.corpora.base import Request, test_split
from data_prep.files import whole_file
from data_prep.keys import SRC, TGT, key_table
from data_prep.progress import bar, say
from data_prep.read import Pair, read_line_pairs
from data_prep.segment import dictionary_symbols, load_model, model_names, write_dictionary
from data_prep.settings import Settings
from data_prep.steps import Steps, remove_partial_files
from data_prep.vocabulary import learn_vocabulary, use_vocabulary
from data_prep.workers import ordered_map
from resmlp_mt.errors import ResMLPError

CLEAN_CHUNK_PAIRS = 5000
BLOCK_PAIRS = 500_000
# No more than this share of a corpus is set aside when it has no valid or test of its own.
LARGEST_SHARE_SET_ASIDE = 0.1


@dataclass(frozen=True)
class Run:
    """How to work, as opposed to what to make.

    Attributes:
        out: the output folder.
        workers: number of processes.
        overwrite: start anew.
        cache: folder of downloads.
        mirrors: base addresses tried first.
        models: given sentencepiece models.
        command: the command line, for the manifest.
    """

    out: Path
    workers: int
    cache: Path
    overwrite: bool = False
    mirrors: tuple[str, ...] = ()
    models: tuple[Path, ...] = ()
    command: str = ""


def prepare(request: Request, settings: Settings, run: Run) -> dict[str, Any]:
    """Prepares a data set, or what is missing of it.

    Args:
        request: what is wanted of the corpus.
        settings: what the data set shall hold.
        run: how to work.

    Returns:
        The manifest.

    Raises:
        ResMLPError: for everything that a user can mend.
    """
    finished = folder.open_folder(run.out, settings, run.overwrite)
    if finished is not None and manifest.files_are_whole(run.out, finished):
        say("done", f"{run.out} is prepared already")
        return finished
    return Pipeline(request, settings, run).run()


class Pipeline:
    """One run. Each method is a step, and leaves a record when its files are whole.

    Args:
        request: what is wanted of the corpus.
        settings: what the data set shall hold.
        run: how to work.
    """

    def __init__(self, request: Request, settings: Settings, run: Run) -> None:
        self._request = request
        self._settings = settings
        self._run = run
        self._out = run.out
        self._work = run.out / folder.WORK
        self._steps = Steps(self._work)

    def run(self) -> dict[str, Any]:
        """Takes every step that has not been taken, and writes the manifest."""
        remove_partial_files(self._out)
        parts = CORPORA[self._settings.corpus].parts(self._request)
        place = Place(self._request.from_dir, self._run.cache, self._work / "unpacked", self._run.mirrors)
        local_parts, sources = acquire(parts, place)
        train = [part for part in local_parts if part.part.split == "train"]
        held_out = [part for part in local_parts if part.part.split != "train"]

        splits = self._steps.once("held_out", lambda: self._write_held_out(held_out))
        cleaned = {part.part.name: self._clean(part, number) for number, part in enumerate(train)}
        blocks = [Block(**block, folder=self._work / "clean") for part in cleaned.values() for block in part["blocks"]]
        selected = self._steps.once("select", lambda: self._select(blocks, splits))
        splits = {**splits, **selected["splits"]}
        self._steps.once("vocabulary", lambda: self._vocabulary(blocks, selected["pairs"]))
        train_texts = self._binarise_train(blocks, selected["pairs"])
        held_out_texts = {
            split: self._steps.once(f"binarise-{split}", lambda split=split: self._binarise_held_out(split))
            for split in splits
        }
        self._write_dictionaries(train_texts)
        result = manifest.compose(
            self._settings, self._run, local_parts, sources, splits, cleaned, selected, train_texts, held_out_texts
        )
        manifest.write(self._out, result)
        self._steps.clear()
        return result

    def _write_held_out(self, parts: list[LocalPart]) -> dict[str, Any]:
        """Writes the raw valid and test texts beside the data, as they are, and keeps their keys."""
        splits, keys = {}, []
        for part in parts:
            pairs = list(self._read(part))
            self._check_count(part, len(pairs))
            keys.append(self._write_raw(part.part.split, pairs))
            splits[part.part.split] = {"name": part.part.name, "pairs": len(pairs)}
            say("read", f"{part.part.split} ({part.part.name}): {len(pairs):,} pairs")
        np.save(self._work / "held_out.npy", np.concatenate([np.zeros((0, 4), np.uint64), *keys]))
        return splits

    def _write_raw(self, split: str, pairs: list[Pair]) -> NDArray[np.uint64]:
        sides = list(zip(*pairs, strict=True)) or [(), ()]
        for lang, lines in zip(self._settings.languages, sides, strict=True):
            with whole_file(self._raw(split, lang)) as file:
                file.write("".join(f"{line}\n" for line in lines).encode())
        return key_table(*sides)

    def _raw(self, split: str, lang: str) -> Path:
        return self._out / folder.RAW / f"{split}.{lang}"

    def _read(self, part: LocalPart) -> Iterator[Pair]:
        remove = self._settings.invalid_utf8 == "remove" and part.part.split == "train"
        return iter(part.part.read(*part.texts, errors="surrogateescape" if remove else "strict"))

    @staticmethod
    def _check_count(part: LocalPart, found: int) -> None:
        expected = part.part.expected_pairs
        if expected is not None and found != expected:
            raise ResMLPError(
                f"{part.part.name} must have {expected:,} pairs ({part.part.origin}), but {found:,} were read from "
                f"{', '.join(str(text) for text in part.texts)}; get it again"
            )

    def _clean(self, part: LocalPart, number: int) -> dict[str, Any]:
        """Cleans a part in blocks; an interrupted run goes on after its last whole block."""
        pairs = self._read(part)
        blocks: list[dict[str, Any]] = []
        name = f"clean-{number:03d}"
        if self._steps.is_done(name):
            return self._steps.once(name, dict)
        with bar(f"clean {part.part.name}", part.part.expected_pairs, "pairs") as progress:
            while True:
                block_name = f"{name}-{len(blocks):05d}"
                stretch = islice(pairs, BLOCK_PAIRS)
                block = Block(self._work / "clean", number * 100_000 + len(blocks), part.part.name, part.part.weight)
                if self._steps.is_done(block_name):
                    for _ in stretch:
                        pass
                first_line = len(blocks) * BLOCK_PAIRS + 1
                done = self._steps.once(block_name, lambda: self._clean_block(block, stretch, first_line, progress))  # noqa: B023
                blocks.append(done)
                if done["counts"]["read"] < BLOCK_PAIRS:
                    break
        counts = sum((Counter(block["counts"]) for block in blocks), Counter())
        self._check_count(part, counts["read"])
        say("clean", f"{part.part.name}: {counts['read']:,} pairs read, {counts['read'] * 2 - counts.total():,} left")
        return self._steps.once(
            name,
            lambda: {
                "counts": dict(counts),
                "removed": [pair for block in blocks for pair in block["removed"]],
                "blocks": [{key: block[key] for key in ("number", "part", "weight")} for block in blocks],
            },
        )

    def _clean_block(self, block: Block, pairs: Iterator[Pair], first_line: int, progress: Any) -> dict[str, Any]:
        counts: Counter[str] = Counter(read=0)
        removed: list[dict[str, Any]] = []
        keys, lines = [np.zeros((0, 4), np.uint64)], [np.zeros(0, np.int64)]
        chunks = _chunks(pairs, block.part, first_line)
        with whole_file(block.path("src")) as src_file, whole_file(block.path("tgt")) as tgt_file:
            results = ordered_map(clean.clean_chunk, chunks, self._run.workers, clean.start_worker, (self._settings,))
            for result in results:
                src_file.write(result.src_text)
                tgt_file.write(result.tgt_text)
                keys.append(result.keys)
                lines.append(result.lines)
                for pair in result.removed:
                    if self._settings.keep_removed or counts[pair.rule] < clean.EXAMPLES_PER_RULE:
                        removed.append(asdict(pair))
                counts.update(result.counts)
                progress.update(result.counts["read"])
        np.save(block.path("keys.npy"), np.concatenate(keys))
        np.save(block.path("lines.npy"), np.concatenate(lines))
        return {
            "number": block.number,
            "part": block.part,
            "weight": block.weight,
            "counts": dict(counts),
            "removed": removed,
        }

    def _select(self, blocks: list[Block], splits: dict[str, Any]) -> dict[str, Any]:
        """Removes duplicates and leaks, and sets valid and test aside where the corpus has none."""
        selection = select.Selection(blocks)
        if select.DUPLICATE not in self._settings.skip_rules:
            selection.remove_repeats(select.PAIR, select.DUPLICATE)
        if select.NEAR_DUPLICATE not in self._settings.skip_rules:
            selection.remove_repeats(select.NEAR_PAIR, select.NEAR_DUPLICATE)
        held_out = np.load(self._work / "held_out.npy")
        selection.remove_leaks(held_out[:, SRC], held_out[:, TGT])
        made = {}
        for split, size in ((test_split(0), self._settings.test_size), ("valid", self._settings.valid_size)):
            if split not in splits and size > 0:
                made[split] = self._set_aside(selection, blocks, split, size)
        counts, part_pairs = selection.write()
        pairs = sum(part_pairs.values())
        say("select", f"{pairs:,} training pairs; left out: {', '.join(f'{n:,} {rule}' for rule, n in counts.items())}")
        if pairs == 0:
            raise ResMLPError(
                f"{self._settings.corpus} must leave training pairs, but every one was removed; see the table"
            )
        return {"counts": dict(counts), "parts": part_pairs, "pairs": pairs, "splits": made}

    def _set_aside(self, selection: select.Selection, blocks: list[Block], split: str, size: int) -> dict[str, Any]:
        size = min(size, int(selection.left() * LARGEST_SHARE_SET_ASIDE))
        places = selection.set_aside(size, self._settings.seed)
        keys = selection.keys_at(places)
        selection.remove_leaks(keys[:, SRC], keys[:, TGT])
        wanted = set(places.tolist())
        everything = (pair for block in blocks for pair in block.pairs())
        self._write_raw(split, [pair for place, pair in enumerate(everything) if place in wanted])
        return {"name": "set aside from the training text", "pairs": size}

    def _vocabulary(self, blocks: list[Block], pairs: int) -> dict[str, Any]:
        if self._run.models:
            use_vocabulary(list(self._run.models), self._out, self._settings)
        else:
            learn_vocabulary(blocks, pairs, self._out, self._work, self._settings, self._run.workers)
        return {}

    def _models(self) -> tuple[Path, ...]:
        return tuple(self._out / name for name in model_names(self._settings))

    def _binarise_train(self, blocks: list[Block], pairs: int) -> list[dict[str, Any]]:
        shards = -(-pairs // self._settings.shard_pairs)
        copies = self._settings.dropout_copies
        sampled = self._settings.bpe_dropout > 0
        results = []
        for number, target in enumerate(folder.training_folders(self._out, shards * copies)):
            copy, shard = divmod(number, shards)
            # Far enough apart that no two tasks of all copies share a seed.
            seed = self._settings.seed * 1_000_003 + number * 10_000_019 if sampled else None
            results.append(
                self._steps.once(
                    f"binarise-train-{copy:03d}-{shard:05d}",
                    lambda shard=shard, target=target, seed=seed: self._binarise(
                        "train", training_chunks(blocks, shard, shards, CHUNK_PAIRS), target, seed, -(-pairs // shards)
                    ),
                )
            )
        return results

    def _binarise_held_out(self, split: str) -> dict[str, Any]:
        pairs = read_line_pairs(*(self._raw(split, lang) for lang in self._settings.languages))
        return self._binarise(split, iter(lambda: list(islice(pairs, CHUNK_PAIRS)), []), self._out, None, None)

    def _binarise(
        self, split: str, chunks: Iterator[list[Pair]], target: Path, seed: int | None, total: int | None
    ) -> dict[str, Any]:
        settings = self._settings
        prefixes = tuple(target / f"{split}.{settings.pair}.{lang}" for lang in settings.languages)
        tasks = tasks_of(chunks, is_train=split == "train", sampling_seed=seed)
        assert len(prefixes) == 2
        text = write_split(tasks, prefixes, settings, self._models(), self._run.workers, total)
        if split == "train":
            for lang, counts in zip(settings.languages, text.counts, strict=True):
                np.save(self._work / f"counts-{target.name if target != self._out else 'shard1'}.{lang}.npy", counts)
        say(
            "binarise", f"{target.name}/{split}: {text.pairs:,} pairs, {text.tokens[0]:,} and {text.tokens[1]:,} tokens"
        )
        return _without_counts(text)

    def _write_dictionaries(self, train_texts: list[dict[str, Any]]) -> None:
        """Writes fairseq's dictionaries from the models, with the counts of the training data."""
        folders = folder.training_folders(self._out, len(train_texts))
        names = ["shard1", *(path.name for path in folders[1:])]
        counts = [
            sum(np.load(self._work / f"counts-{name}.{lang}.npy") for name in names)
            for lang in self._settings.languages
        ]
        if self._settings.joint:
            counts = [counts[0] + counts[1]] * 2
        models = self._models()
        for lang, model, lang_counts in zip(self._settings.languages, (models[0], models[-1]), counts, strict=True):
            symbols = dictionary_symbols(load_model(model))
            for target in folders:
                write_dictionary(target / f"dict.{lang}.txt", symbols, lang_counts[-len(symbols) :].tolist())


def _chunks(pairs: Iterator[Pair], part: str, first_line: int) -> Iterator[clean.Chunk]:
    while chunk := list(islice(pairs, CLEAN_CHUNK_PAIRS)):
        yield clean.Chunk(part, first_line, [src for src, _ in chunk], [tgt for _, tgt in chunk])
        first_line += len(chunk)


def _without_counts(text: BinarisedText) -> dict[str, Any]:
    return {name: value for name, value in vars(text).items() if name != "counts"}
