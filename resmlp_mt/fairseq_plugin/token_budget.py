"""Converts a budget of target tokens to a number of fairseq's batches."""

from __future__ import annotations

import math
from pathlib import Path

from fairseq import tasks
from fairseq.tasks.translation import TranslationConfig

from resmlp_mt import register_with_fairseq


def batches_for_tokens(data: Path, pair: str, max_tokens: int, tokens: int) -> int:
    """Returns the number of batches that hold at least a given number of target tokens, on average.

    Args:
        data: folder prepared by data_prep.
        pair: language pair, such as "de-en".
        max_tokens: maximum number of tokens in a batch.
        tokens: number of target tokens.
    """
    register_with_fairseq()
    source, target = pair.split("-")
    cfg = TranslationConfig(
        data=str(data), source_lang=source, target_lang=target, dataset_impl="mmap", required_seq_len_multiple=1
    )
    task = tasks.get_task("translation").setup_task(cfg)
    task.load_dataset("train")
    dataset = task.dataset("train")
    batches = dataset.batch_by_size(dataset.ordered_indices(), max_tokens=max_tokens, required_batch_size_multiple=8)
    return max(1, math.ceil(tokens * len(batches) / int(dataset.tgt_sizes.sum())))
