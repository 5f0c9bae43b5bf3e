"""Patches of fairseq's search and of its output of translations."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from fairseq import search, utils
from fairseq.ngram_repeat_block import NGramRepeatBlock

from resmlp_mt.common.errors import ResMLPError
from resmlp_mt.fairseq_plugin.patches.patching import wrap_function


def fix_replace_unk_alignments() -> None:
    """Makes --replace-unk with --print-alignment replace unknown words by the source words they are aligned to.

    Defect: without an alignment dictionary `load_align_dict` (`fairseq.utils`) tries to open a file named "@@ ", the
        option's default: `FileNotFoundError: '@@ '`. With one, `replace_unk` (`fairseq.utils`) expects one source index
        per target word, but the search returns (source, target) pairs: `TypeError: list indices must be integers or
        slices, not tuple`.
    Patch: treats "@@ " as no dictionary, and reads the pairs.
    Upstream: facebookresearch/fairseq#3533.
    """

    def load_align_dict(original: Callable[..., Any], replace_unk: str | None) -> dict[str, str] | None:
        return original("" if replace_unk == "@@ " else replace_unk)

    def replace_unk(
        _original: Callable[..., Any],
        hypo_str: str,
        src_str: str,
        alignment: Any,
        align_dict: dict[str, str],
        unk: str,
    ) -> str:
        target, source = hypo_str.split(), src_str.split()
        if unk in target and not isinstance(alignment, list):
            raise ResMLPError("--replace-unk requires --print-alignment; add it")
        for source_index, target_index in alignment:
            if target_index < len(target) and target[target_index] == unk:
                target[target_index] = align_dict.get(source[source_index], source[source_index])
        return " ".join(target)

    wrap_function(utils, "load_align_dict", load_align_dict)
    wrap_function(utils, "replace_unk", replace_unk)


def fix_diverse_beam_order() -> None:
    """Makes --diverse-beam-groups penalize each sentence for the overlap of its own groups.

    Defect: `DiverseBeamSearch.step` (`fairseq.search`) receives the index of each sentence in the data set and uses it
        as a row index of `group_overlap`, which has a row per sentence of the batch. The result is `IndexError: index 9
        is out of bounds for dimension 0 with size 8`, or the overlap of another sentence.
    Patch: maps the indices to the rows of the first step.
    Upstream: facebookresearch/fairseq#5069, the change that introduced it.
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
            diverse.sentence_ids = original_batch_idxs
        rows = original_batch_idxs
        if rows is not None and diverse.sentence_ids is not None:
            rows = rows.unsqueeze(1).eq(diverse.sentence_ids).int().argmax(dim=1)  # index in the first step's batch
        return original(diverse, step, lprobs, scores, prev_output_tokens, rows)

    wrap_function(search.DiverseBeamSearch, "step", step)


def allow_ngram_blocking_on_cpu() -> None:
    """Makes --no-repeat-ngram-size work without fairseq's CUDA extension.

    Defect: without the extension, which needs a GPU, translations contain n-grams that should be blocked.
        `NGramRepeatBlock._no_repeat_ngram` (`fairseq.ngram_repeat_block`) takes the last n-gram from the end of the
        token buffer, which is padding until the maximum length is reached.
    Patch: passes only the tokens generated so far.
    Upstream: no issue; found in the source of 0.12.3.1.
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
