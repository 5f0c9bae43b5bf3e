"""Evaluates a system on a test set: checks counts and raw references, and reports intervals and hashes."""

from __future__ import annotations

import resource
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from operator import ne
from pathlib import Path
from typing import Any

from resmlp_mt.common.data_folder import longest_source
from resmlp_mt.common.data_manifest import DataManifest, read_manifest
from resmlp_mt.common.errors import ResMLPError
from resmlp_mt.common.files import lines_digest
from resmlp_mt.common.versions import versions
from resmlp_mt.translation.evaluation import scores as scoring
from resmlp_mt.translation.evaluation.leaks import find_leaks
from resmlp_mt.translation.jobs import Job
from resmlp_mt.translation.output import OutputFormat
from resmlp_mt.translation.search.settings import SearchSettings
from resmlp_mt.translation.text.lines import read_lines
from resmlp_mt.translation.translator import Translator
from resmlp_mt.translation.types import Translation

FORMAT = 1
_MAX_TOKENISED_SHARE = 0.01
_KIBIBYTE = 1024


@dataclass(frozen=True)
class TestSet:
    """A test set.

    Attributes:
        name: for tables and the model card.
        sources, references: raw lines.
        data: prepared data folder whose training data is searched for the test lines, or None.
    """

    name: str
    sources: list[str]
    references: list[str]
    data: Path | None = None


def load_test_set(
    data: Path | None, split: str, source: Path | None, reference: Path | None, languages: tuple[str, str]
) -> TestSet:
    """Reads a test set from a prepared data folder, or from two files.

    Raises:
        ResMLPError: if the test set is missing, only one of the two files is given, they differ in length, or the
            references are not raw text.
    """
    for given, missing, path in (("--source", "--reference", reference), ("--reference", "--source", source)):
        if path is None and (source is not None or reference is not None):
            raise ResMLPError(f"{given} requires {missing}; give both files, or neither with --data")
    name = split
    if source is None or reference is None:
        if data is None:
            raise ResMLPError("a test set is required; give --data DIR, or --source F and --reference F")
        source, reference = (data / "raw" / f"{split}.{lang}" for lang in languages)
        for path in (source, reference):
            if not path.is_file():
                raise ResMLPError(
                    f"the raw test set {path} is missing; prepare the data with `python -m data_prep`, or give "
                    "--source and --reference"
                )
        manifest = read_manifest(data) or DataManifest()
        name = f"{manifest.settings.get('corpus', data.name)} {split}"
    elif data is None:
        name = reference.name
    test_set = TestSet(name, read_lines(source), read_lines(reference), data)
    scoring.check_counts(sources=test_set.sources, references=test_set.references)
    refuse_segmented(str(reference), test_set.references)
    return test_set


def refuse_segmented(name: str, lines: Sequence[str]) -> None:
    """Refuses tokenised text, whose scores would be too high.

    Raises:
        ResMLPError: if lines contain sub-words of BPE or sentencepiece, or escaped characters of the Moses tokenizer.
    """
    marks = ("@@ ", "\u2581", "&apos;", "&quot;", "&#91;")
    marked = sum(any(mark in line for mark in marks) for line in lines)
    if marked > _MAX_TOKENISED_SHARE * len(lines):
        raise ResMLPError(
            f"{name} must be raw text, but {marked} of {len(lines)} lines contain sub-words or escaped tokens; "
            "give the original file"
        )


@dataclass(frozen=True)
class Baseline:
    """Another system's translations of a test set.

    Attributes:
        texts: raw translations.
        about: their origin, for the report.
    """

    texts: list[str]
    about: dict[str, Any]


@dataclass(frozen=True)
class Run:
    """The translations of a test set, with the seconds of translating and the peak memory of the process."""

    translations: list[Translation]
    seconds: float
    peak_megabytes: float

    @property
    def texts(self) -> list[str]:
        """The best translation of each line."""
        return [translation.text for translation in self.translations]


def job_of(settings: SearchSettings, too_long: str = "split", constraints: bool = False) -> Job:
    """The job of translating a test set to plain text; otherwise as in `resmlp-mt translate`."""
    return Job(settings, OutputFormat(), too_long, constraints)


def translate_test_set(translator: Translator, test_set: TestSet, job: Job) -> Run:
    """Translates the sources of a test set."""
    start = time.perf_counter()
    translations = job.translate(translator, test_set.sources, 1)
    seconds = time.perf_counter() - start
    # The peak of the process is in KiB on Linux.
    return Run(translations, seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / _KIBIBYTE)


def evaluate(
    translator: Translator,
    test_set: TestSet,
    job: Job,
    baseline: Baseline | None = None,
    tokenised: bool = False,
    resamples: int = scoring.RESAMPLES,
    trials: int = scoring.TRIALS,
) -> tuple[dict[str, Any], list[str]]:
    """Translates a test set and scores the translations.

    Args:
        translator: of the system.
        test_set: the test set.
        job: from `job_of`.
        baseline: another system, for comparison.
        tokenised: whether to compute tokenised scores too.
        resamples: number of bootstrap resamples; 0 for no intervals and no paired bootstrap.
        trials: number of trials of the approximate randomisation; 0 to skip it.

    Returns:
        The report, ready for JSON, and the translations.

    Raises:
        ResMLPError: if the numbers of lines differ.
    """
    lang = translator.config.languages[1]
    run = translate_test_set(translator, test_set, job)
    texts, references = run.texts, test_set.references
    scores = scoring.all_scores(texts, references, lang, resamples)
    if tokenised:
        scores += scoring.tokenised_scores(texts, references, lang, resamples)
    others = None if baseline is None else baseline.texts
    comparisons = [] if others is None else scoring.compare(texts, others, references, lang, resamples, trials)
    sources = [job.request(line, 1).text for line in test_set.sources]  # without their constraints
    lengths = [max(len(tokens) - 1, 1) for tokens in translator.source.encode(sources)]
    manifest = read_manifest(test_set.data) if test_set.data else None
    longest = _longest_trained(translator, test_set, manifest)
    buckets = scoring.by_length(lengths, texts, references, lang, longest, others)
    report = {
        "format": FORMAT,
        "test_set": test_set.name,
        "sentences": len(references),
        "scores": scoring.as_json(scores),
        "comparisons": scoring.as_json(comparisons),
        "lines_unlike_baseline": None if others is None else sum(map(ne, texts, others)),
        "by_length": scoring.as_json(buckets),
        "lines_not_translated_whole": [t.note for t in run.translations if t.note],
        "in_training": find_leaks(sources, translator.source, test_set.data, manifest, translator.config.languages),
        "speed": _speed(run, translator.backend.device),
        "hashes": {
            "sources": lines_digest(test_set.sources),
            "references": lines_digest(references),
            "translations": lines_digest(texts),
            "baseline": None if others is None else lines_digest(others),
            "model": translator.config.digests,
        },
        "settings": asdict(job.settings),
        "too_long": job.too_long,
        "constraints": job.constraints,
        "baseline": None if baseline is None else baseline.about,
        "versions": versions(),
    }
    return report, texts


def _speed(run: Run, device: str) -> dict[str, Any]:
    return {
        "seconds": run.seconds,
        "sentences_per_second": len(run.translations) / run.seconds,
        "tokens_per_second": sum(translation.tokens for translation in run.translations) / run.seconds,
        "peak_megabytes": run.peak_megabytes,
        "device": device,
    }


def _longest_trained(translator: Translator, test_set: TestSet, manifest: DataManifest | None) -> int | None:
    """Sub-words of the longest training source, without the end of the sentence."""
    if test_set.data is None:
        return None
    longest = longest_source(test_set.data, manifest, translator.config.languages)
    return None if longest is None else longest - 1
