"""Applies the cleaning rules to the training text, block by block."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict
from itertools import islice
from typing import Any

import numpy as np

from data_prep.formats.blocks import Block, write_array
from data_prep.formats.text_files import Pair
from data_prep.stages import cleaning_rules as clean
from data_prep.stages.acquire import LocalPart
from data_prep.stages.held_out import check_count, read_part
from data_prep.stages.job import Job
from data_prep.stages.removed import RemovedPairs
from data_prep.workers import ordered_map
from resmlp_mt.common.files import open_whole_file
from resmlp_mt.common.progress import log, progress_bar

CHUNK_PAIRS = 5000
BLOCK_PAIRS = 500_000
_MOST_BLOCKS_OF_A_PART = 100_000


def clean_part(job: Job, part: LocalPart, number: int) -> dict[str, Any]:
    """Cleans a part in blocks; an interrupted run continues after its last complete block.

    Args:
        job: the run.
        part: a part of the training text.
        number: its index among these parts.

    Returns:
        "counts" of the pairs read and removed by each rule, "examples" of removed pairs, and "blocks".
    """
    name = f"clean-{number:03d}"
    if job.steps.is_done(name):
        return job.steps.record(name)
    pairs = read_part(job, part)
    records: list[dict[str, Any]] = []
    with progress_bar(f"clean {part.part.name}", part.part.expected_pairs, "pairs") as progress:
        while not records or records[-1]["counts"]["read"] == BLOCK_PAIRS:
            index = number * _MOST_BLOCKS_OF_A_PART + len(records)
            block = Block(job.work / "clean", index, part.part.name, part.part.weight)
            block_pairs = _counted(islice(pairs, BLOCK_PAIRS), progress)
            step = f"{name}-{len(records):05d}"
            if job.steps.is_done(step):
                for _ in block_pairs:
                    pass
                records.append(job.steps.record(step))
            else:
                records.append(
                    job.steps.finish(step, _clean_block(job, block, block_pairs, len(records) * BLOCK_PAIRS + 1))
                )
    counts = sum((Counter(record["counts"]) for record in records), Counter())
    check_count(part, counts["read"])
    log("clean", f"{part.part.name}: {counts['read']:,} pairs read, {2 * counts['read'] - counts.total():,} left")
    return job.steps.finish(
        name,
        {
            "counts": dict(counts),
            "examples": RemovedPairs.shortened([pair for record in records for pair in record["examples"]]),
            "blocks": [record["block"] for record in records],
        },
    )


def blocks_of(job: Job, cleaned: list[dict[str, Any]]) -> list[Block]:
    """The blocks that `clean_part` has recorded, in order."""
    return [Block(job.work / "clean", **block) for record in cleaned for block in record["blocks"]]


def _counted(pairs: Iterator[Pair], progress: Any) -> Iterator[Pair]:
    for pair in pairs:
        yield pair
        progress.update()


def _clean_block(job: Job, block: Block, pairs: Iterator[Pair], first_line: int) -> dict[str, Any]:
    counts: Counter[str] = Counter(read=0)
    keys, lines = [np.zeros((0, 4), np.uint64)], [np.zeros(0, np.int64)]
    removed = RemovedPairs(block.path("removed.jsonl") if job.settings.keep_removed else None)
    chunks = _chunks(pairs, block.part, first_line)
    with open_whole_file(block.path("src")) as src_file, open_whole_file(block.path("tgt")) as tgt_file, removed:
        for result in ordered_map(clean.clean_chunk, chunks, job.run.workers, clean.start_worker, (job.settings,)):
            src_file.write(result.src_text)
            tgt_file.write(result.tgt_text)
            keys.append(result.keys)
            lines.append(result.lines)
            for pair in result.removed:
                removed.add(pair)
            counts.update(result.counts)
    write_array(block.path("keys.npy"), np.concatenate(keys))
    write_array(block.path("lines.npy"), np.concatenate(lines))
    return {
        "counts": dict(counts),
        "examples": RemovedPairs.shortened(asdict(pair) for pair in removed.examples),
        "block": {"number": block.number, "part": block.part, "weight": block.weight},
    }


def _chunks(pairs: Iterator[Pair], part: str, first_line: int) -> Iterator[clean.Chunk]:
    while chunk := list(islice(pairs, CHUNK_PAIRS)):
        yield clean.Chunk(part, first_line, [src for src, _ in chunk], [tgt for _, tgt in chunk])
        first_line += len(chunk)
