"""The held-out splits, valid and test: their text is kept unchanged, and their keys find leaks in the training text."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data_prep.formats.blocks import write_array
from data_prep.formats.text_files import Pair
from data_prep.keys import key_table
from data_prep.stages.acquire import LocalPart
from data_prep.stages.job import Job
from resmlp_mt.common.errors import ResMLPError
from resmlp_mt.common.files import open_whole_file
from resmlp_mt.common.progress import log

_KEYS = "held_out.npy"


def write_held_out(job: Job, parts: list[LocalPart]) -> dict[str, Any]:
    """Writes the unchanged text of the held-out parts, and stores its keys.

    Args:
        job: the run.
        parts: the parts of all splits but "train".

    Returns:
        The name in the corpus and the number of pairs of each split.
    """
    splits: dict[str, Any] = {}
    keys = [np.zeros((0, 4), np.uint64)]
    for part in parts:
        pairs = list(read_part(job, part))
        check_count(part, len(pairs))
        keys.append(write_raw(job, part.part.split, pairs))
        splits[part.part.split] = {"name": part.part.name, "pairs": len(pairs)}
        log("read", f"{part.part.split} ({part.part.name}): {len(pairs):,} pairs")
    write_array(job.work / _KEYS, np.concatenate(keys))
    return splits


def held_out_keys(job: Job) -> NDArray[np.uint64]:
    """The keys of all held-out pairs, `(pairs, 4)`."""
    keys: NDArray[np.uint64] = np.load(job.work / _KEYS)
    return keys


def write_raw(job: Job, split: str, pairs: list[Pair]) -> NDArray[np.uint64]:
    """Writes the raw text of a split and returns its keys, `(pairs, 4)`."""
    sides = ([src for src, _ in pairs], [tgt for _, tgt in pairs])
    for path, lines in zip(job.raw(split), sides, strict=True):
        with open_whole_file(path) as file:
            file.write("".join(f"{line}\n" for line in lines).encode())
    return key_table(*sides)


def read_part(job: Job, part: LocalPart) -> Iterator[Pair]:
    """Reads the pairs of a part; invalid bytes are an error, or in training text may be left to the cleaning."""
    remove = job.settings.invalid_utf8 == "remove" and part.part.split == "train"
    return iter(part.part.read(*part.texts, errors="surrogateescape" if remove else "strict"))


def check_count(part: LocalPart, pairs: int) -> None:
    """Compares the number of pairs with the published one.

    Raises:
        ResMLPError: they differ; the message names the part, both numbers and the files.
    """
    expected = part.part.expected_pairs
    if expected is not None and pairs != expected:
        texts = " and ".join(str(text) for text in part.texts)
        raise ResMLPError(
            f"{part.part.name} should have {expected:,} pairs ({part.part.origin}), but {texts} hold {pairs:,}; they "
            "are truncated or altered: download them again"
        )
