"""From cleaned blocks to the training data: selects pairs and binarises the shards."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from data_prep import folder
from data_prep.corpora.base import test_split
from data_prep.formats.blocks import Block, training_chunks
from data_prep.keys import NEAR_PAIR, PAIR, SRC, TGT
from data_prep.stages import selection as select
from data_prep.stages.binarise import CHUNK_PAIRS, tasks_of, write_split
from data_prep.stages.held_out import held_out_keys, write_raw
from data_prep.stages.job import Job
from data_prep.stages.removed import EXAMPLES_PER_RULE, RemovedPair, RemovedPairs
from resmlp_mt.common.data_folder import dictionary_path
from resmlp_mt.common.errors import ResMLPError
from resmlp_mt.common.progress import log
from resmlp_mt.translation.text.dictionary import write_dictionary
from resmlp_mt.translation.text.sentencepiece_model import dictionary_symbols, load_model

# At most this share of a corpus is set aside if it has no valid or test set.
LARGEST_SHARE_SET_ASIDE = 0.1


def select_training(job: Job, blocks: list[Block], splits: dict[str, Any]) -> dict[str, Any]:
    """Removes duplicates and leaks, and sets valid and test pairs aside if the corpus has none.

    Args:
        job: the run.
        blocks: all blocks.
        splits: the held-out splits that the corpus has.

    Returns:
        "counts" of removed pairs by rule, "examples" of them, the number of training "pairs" and the same by part in
        "parts", and the "splits" that were set aside.
    """
    selection = select.Selection(blocks)
    for column, rule in ((PAIR, select.DUPLICATE), (NEAR_PAIR, select.NEAR_DUPLICATE)):
        if rule not in job.settings.skip_rules:
            selection.remove_repeats(column, rule)
    keys = held_out_keys(job)
    selection.remove_leaks(keys[:, SRC], keys[:, TGT])
    made = {}
    for split, size in ((test_split(0), job.settings.test_size), ("valid", job.settings.valid_size)):
        if split not in splits and size > 0:
            made[split] = _set_aside(job, selection, blocks, split, size)
    counts, part_pairs = selection.write()
    pairs = sum(part_pairs.values())
    left_out = ", ".join(f"{count:,} {rule}" for rule, count in counts.items())
    log("select", f"{pairs:,} training pairs; left out: {left_out}")
    if pairs == 0:
        raise ResMLPError(
            "no training pair is left: every one was removed; see the counts above and relax a rule with --skip-rule "
            "or its limit"
        )
    examples = _record_removed(job, blocks)
    return {"counts": dict(counts), "examples": examples, "pairs": pairs, "parts": part_pairs, "splits": made}


def _set_aside(job: Job, selection: select.Selection, blocks: list[Block], split: str, size: int) -> dict[str, Any]:
    size = min(size, int(selection.left() * LARGEST_SHARE_SET_ASIDE))
    indexes = selection.set_aside(size, job.settings.seed)
    keys = selection.keys_at(indexes)
    selection.remove_leaks(keys[:, SRC], keys[:, TGT])
    wanted = set(indexes.tolist())
    everything = (pair for block in blocks for pair in block.pairs())
    write_raw(job, split, [pair for index, pair in enumerate(everything) if index in wanted])
    return {"name": "set aside from the training text", "pairs": size}


def _record_removed(job: Job, blocks: list[Block]) -> list[dict[str, Any]]:
    """Collects pairs that the selection left out: examples, and with `--keep-removed` all of them in files."""
    examples: list[dict[str, Any]] = []
    missing = dict.fromkeys(select.REASON.values(), EXAMPLES_PER_RULE)
    for block in blocks:
        reasons = block.reasons()
        wanted = reasons > 0 if job.settings.keep_removed else _first_of_each(reasons, missing)
        if not wanted.any():
            continue
        path = block.path("left-out.jsonl") if job.settings.keep_removed else None
        lines = block.lines()
        with RemovedPairs(path) as removed:
            for index, (src, tgt) in enumerate(block.pairs()):
                if wanted[index]:
                    rule = select.RULES[int(reasons[index]) - 1]
                    removed.add(RemovedPair(rule, block.part, int(lines[index]), src, tgt))
        examples += [vars(pair) for pair in removed.examples]
    return RemovedPairs.shortened(examples)


def _first_of_each(reasons: NDArray[np.uint8], missing: dict[int, int]) -> NDArray[np.bool_]:
    wanted = np.zeros(len(reasons), bool)
    for number, count in missing.items():
        indexes = np.flatnonzero(reasons == number)[:count]
        wanted[indexes] = True
        missing[number] -= len(indexes)
    return wanted


def binarise_training(job: Job, blocks: list[Block], pairs: int) -> list[dict[str, Any]]:
    """Binarises the training text, shard by shard; an interrupted run continues after the last complete shard.

    Args:
        job: the run.
        blocks: all blocks, after selection.
        pairs: the number of training pairs.

    Returns:
        The counts of each shard.
    """
    shards = -(-pairs // job.settings.shard_pairs)
    targets = folder.training_folders(job.out, shards * job.settings.dropout_copies)
    return [
        job.steps.record(_step(number))
        if job.steps.is_done(_step(number))
        else job.steps.finish(_step(number), _binarise_shard(job, blocks, pairs, number, len(targets)))
        for number in range(len(targets))
    ]


def _step(number: int) -> str:
    return f"binarise-train-{number:05d}"


def _binarise_shard(job: Job, blocks: list[Block], pairs: int, number: int, folders: int) -> dict[str, Any]:
    shards = folders // job.settings.dropout_copies
    target = folder.training_folders(job.out, folders)[number]
    # The seeds of shards are so far apart that no two tasks share a seed.
    seed = job.settings.seed * 1_000_003 + number * 10_000_019 if job.settings.bpe_dropout > 0 else None
    text = write_split(
        tasks_of(training_chunks(blocks, number % shards, shards, CHUNK_PAIRS), is_train=True, sampling_seed=seed),
        job.prefixes(target, "train"),
        job.settings,
        job.models,
        job.run.workers,
        total=-(-pairs // shards),
        removed_path=job.work / f"binarised-{number:05d}.jsonl" if job.settings.keep_removed else None,
    )
    log(
        "binarise",
        f"train {number + 1}/{folders}: {text.pairs:,} pairs, {text.tokens[0]:,} and {text.tokens[1]:,} tokens",
    )
    return text.as_json()


def write_dictionaries(job: Job, train_texts: list[dict[str, Any]]) -> None:
    """Writes fairseq's dictionaries, with the counts of the training data, into every training folder."""
    counts = [np.sum([text["counts"][side] for text in train_texts], axis=0) for side in range(2)]
    if job.settings.joint:
        counts = [counts[0] + counts[1]] * 2
    models = (job.models[0], job.models[-1])
    for lang, model, lang_counts in zip(job.settings.languages, models, counts, strict=True):
        symbols = dictionary_symbols(load_model(model))
        for target in folder.training_folders(job.out, len(train_texts)):
            write_dictionary(dictionary_path(target, lang), symbols, lang_counts[-len(symbols) :].tolist())
