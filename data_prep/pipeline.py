"""Runs all stages from a corpus to a data set."""

from __future__ import annotations

from itertools import islice
from typing import Any

from data_prep import folder, manifest
from data_prep.corpora import CORPORA
from data_prep.corpora.base import Request
from data_prep.formats.text_files import read_line_pairs
from data_prep.overrides import override_sources
from data_prep.settings import Settings
from data_prep.stages.acquire import LocalPart, Locations, acquire
from data_prep.stages.binarise import CHUNK_PAIRS, tasks_of, write_split
from data_prep.stages.cleaning import blocks_of, clean_part
from data_prep.stages.cleaning_rules import Cleaner
from data_prep.stages.held_out import write_held_out
from data_prep.stages.job import Job, Run
from data_prep.stages.removed import write_by_rule
from data_prep.stages.steps import Steps, remove_partial_files
from data_prep.stages.training import binarise_training, select_training, write_dictionaries
from data_prep.stages.vocabulary import learn_vocabulary, use_vocabulary
from resmlp_mt.common.data_manifest import DataManifest, SourceRecord
from resmlp_mt.common.progress import log


def prepare(request: Request, settings: Settings, run: Run) -> DataManifest:
    """Prepares a data set, or completes that of an interrupted run.

    Args:
        request: the user's request.
        settings: the configuration of the data set.
        run: options that do not affect the result.

    Returns:
        The manifest.

    Raises:
        ResMLPError: for all errors that a user can correct.
    """
    # Reports a missing library or an unknown language at once, not after a download.
    Cleaner(settings)
    parts = override_sources(CORPORA[settings.corpus].parts(request), run.overrides)
    finished = folder.open_folder(run.out, settings, run.overwrite)
    if finished is not None:
        manifest.refuse_changed_inputs(run.out, finished, parts)
        if manifest.files_are_whole(run.out, finished):
            Steps(run.out / folder.WORK).clear()
            log("done", f"{run.out} is already prepared")
            return finished
    job = Job(settings, run)
    with folder.locked(job.work):
        remove_partial_files(run.out)
        locations = Locations(request.from_dir, run.cache, job.work / "unpacked", run.mirrors)
        local_parts, sources = acquire(parts, locations)
        job.steps.forget_unless_equal("inputs", {"sources": sources})
        result = _run_stages(job, local_parts, sources)
    job.steps.clear()
    return result


def _run_stages(job: Job, parts: list[LocalPart], sources: list[SourceRecord]) -> DataManifest:
    steps = job.steps
    train = [part for part in parts if part.part.split == "train"]
    own_splits = steps.once("held-out", lambda: write_held_out(job, [part for part in parts if part not in train]))
    cleaned = [clean_part(job, part, number) for number, part in enumerate(train)]
    blocks = blocks_of(job, cleaned)
    selected = steps.once("select", lambda: select_training(job, blocks, own_splits))
    pairs = selected["pairs"]
    if job.run.models:
        steps.once("vocabulary", lambda: use_vocabulary(job))
    else:
        steps.once("vocabulary", lambda: learn_vocabulary(job, blocks, pairs))
    train_texts = binarise_training(job, blocks, pairs)
    splits = {**own_splits, **selected["splits"]}
    held_out_texts = {split: steps.once(f"binarise-{split}", _HeldOutStep(job, split)) for split in splits}
    write_dictionaries(job, train_texts)
    if job.settings.keep_removed:
        write_by_rule(sorted(job.work.rglob("*.jsonl")), job.out / folder.REMOVED)
    records = manifest.Records(parts, sources, splits, cleaned, selected, train_texts, held_out_texts)
    return manifest.write(job, records)


class _HeldOutStep:
    """Binarises one held-out split when called."""

    def __init__(self, job: Job, split: str) -> None:
        self._job = job
        self._split = split

    def __call__(self) -> dict[str, Any]:
        job, split = self._job, self._split
        pairs = read_line_pairs(*job.raw(split))
        chunks = iter(lambda: list(islice(pairs, CHUNK_PAIRS)), [])
        tasks = tasks_of(chunks, is_train=False, sampling_seed=None)
        text = write_split(tasks, job.prefixes(job.out, split), job.settings, job.models, job.run.workers, total=None)
        log("binarise", f"{split}: {text.pairs:,} pairs, {text.tokens[0]:,} and {text.tokens[1]:,} tokens")
        if sum(text.unknown):
            log(
                "binarise",
                f"{split} has {sum(text.unknown):,} pieces that are not in the vocabulary, for example in "
                f"{text.unknown_examples[0]!r}; --byte-fallback spells them as bytes",
            )
        return text.as_json()
