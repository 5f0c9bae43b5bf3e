"""Patches of how fairseq searches for translations and prints them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from fairseq import search, utils
from fairseq.ngram_repeat_block import NGramRepeatBlock

from resmlp_mt.common.errors import ResMLPError
from resmlp_mt.fairseq_plugin.patches.patching import wrap_function


def fix_replace_unk_alignments() -> None:
    """Lets --replace-unk, with --print-alignment, copy the source words that unknown words are aligned to.

    Symptom: `FileNotFoundError: '@@ '` without an alignment dictionary; with one, `TypeError: list indices must be
    integers or slices, not tuple`.
    Cause: the default dictionary is called "@@ ", and alignments have become (source, target) pairs.
    Source: facebookresearch/fairseq#3533.
    """

    def load_align_dict(original: Callable[..., Any], replace_unk: str | None) -> dict[str, str] | None:
        return original("" if replace_unk == "@@ " else replace_unk)

    def replace_unk(
        original: Callable[..., Any],
        hypo_str: str,
        src_str: str,
        alignment: Any,
        align_dict: dict[str, str],
        unk: str,
    ) -> str:
        target, source = hypo_str.split(), src_str.split()
        if unk in target and not isinstance(alignment, list):
            raise ResMLPError("--replace-unk must be used with --print-alignment, but it is missing; add it")
        for source_index, target_index in alignment:
            if target_index < len(target) and target[target_index] == unk:
                target[target_index] = align_dict.get(source[source_index], source[source_index])
        return " ".join(target)

    wrap_function(utils, "load_align_dict", load_align_dict)
    wrap_function(utils, "replace_unk", replace_unk)


def fix_diverse_beam_order() -> None:
    """Lets --diverse-beam-groups punish each sentence for its own overlaps.

    Symptom: `IndexError: index 9 is out of bounds for dimension 0 with size 8`, or the overlaps of another sentence.
    Cause: the search gets a sentence's number in the data set and takes it for its row in the batch.
    Source: facebookresearch/fairseq#5069, which brought it.
    """

    def step(
        original: Callable[..., Any],
        diverse: search.DiverseBeamSearch,
        step: int,
        lprobs: torch.Tensor,
        scores: torch.Tensor | None,
        prev_output_tokens: torch.Tensor | None = None,
        original_batch_idxs: torch.Tensor | None = None,
    ) -> Any:
        if step == 0:
            diverse.sentences_of_rows = original_batch_idxs
        rows = original_batch_idxs
        if rows is not None and diverse.sentences_of_rows is not None:
            rows = rows.unsqueeze(1).eq(diverse.sentences_of_rows).int().argmax(dim=1)
        return original(diverse, step, lprobs, scores, prev_output_tokens, rows)

    wrap_function(search.DiverseBeamSearch, "step", step)


def allow_ngram_blocking_on_cpu() -> None:
    """Makes --no-repeat-ngram-size work without fairseq's CUDA extension.

    Symptom: translations on the CPU repeat what they must not.
    Cause: `NGramRepeatBlock` looks for the newest tokens at the end of a buffer that is still filled with padding.
    No upstream issue; read in `_no_repeat_ngram` of 0.12.3.1.
    """

    def no_repeat_ngram(
        original: Callable[..., Any],
        block: NGramRepeatBlock,
        tokens: torch.Tensor,
        lprobs: torch.Tensor,
        bsz: int,
        beam_size: int,
        step: int,
    ) -> torch.Tensor:
        return original(block, tokens[:, : step + 1], lprobs, bsz, beam_size, step)

    wrap_function(NGramRepeatBlock, "_no_repeat_ngram", no_repeat_ngram)
