"""Honest scores: the counts are right, the references raw, the uncertainty said, and everything hashed."""

from __future__ import annotations

import resource
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from resmlp_mt.errors import ResMLPError, require
from resmlp_mt.files import lines_digest
from resmlp_mt.translation import evaluate_scores as scoring
from resmlp_mt.translation.lines import read_lines
from resmlp_mt.translation.packaging import MANIFEST, read_manifest
from resmlp_mt.translation.records import Request, Translation
from resmlp_mt.translation.search_settings import SearchSettings
from resmlp_mt.translation.training_data import has_training_data, longest_sources, read_binarised, training_folders
from resmlp_mt.translation.translator import Translator
from resmlp_mt.versions import versions

FORMAT = 1
_SEGMENTED_SHARE = 0.01
_KIBIBYTE = 1024


@dataclass(frozen=True)
class TestSet:
    """A test set.

    Attributes:
        name: for tables and the model card.
        sources, references: raw lines.
        data: prepared data folder to look for the test lines in, or None.
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
        ResMLPError: when there are none, they differ in length, or the references are not raw text.
    """
    name = split
    if source is None or reference is None:
        require(
            data is not None, "the test set", "--data DIR, or --source F and --reference F", "not given", "give either"
        )
        assert data is not None
        source, reference = (data / "raw" / f"{split}.{lang}" for lang in languages)
        for path in (source, reference):
            said = "prepare the data with `python -m data_prep`, or give --source and --reference"
            require(path.is_file(), "the raw test set", "a file", path, said)
        name = f"{read_manifest(data).get('settings', {}).get('corpus', data.name)} {split}"
    elif data is None:
        name = reference.name
    test_set = TestSet(name, read_lines(source), read_lines(reference), data)
    scoring.check_counts(sources=test_set.sources, references=test_set.references)
    refuse_segmented(str(reference), test_set.references)
    return test_set


def refuse_segmented(name: str, lines: Sequence[str]) -> None:
    """Refuses text that has been taken apart: scores on it would look better than they are.

    Raises:
        ResMLPError: when lines hold sub-words of BPE or sentencepiece, or escaped characters of Moses tokens.
    """
    marks = ("@@ ", "\u2581", "&apos;", "&quot;", "&#91;")
    marked = sum(any(mark in line for mark in marks) for line in lines)
    if marked > _SEGMENTED_SHARE * len(lines):
        raise ResMLPError(
            f"{name} must be raw text, but {marked} of {len(lines)} lines hold sub-words or escaped tokens; "
            "give the untouched file"
        )


@dataclass(frozen=True)
class Run:
    """What translating a test set gave and took: seconds of translating alone, and peak memory of the process."""

    translations: list[Translation]
    seconds: float
    peak_megabytes: float

    @property
    def texts(self) -> list[str]:
        return [translation.text for translation in self.translations]


def translate_test_set(translator: Translator, test_set: TestSet, settings: SearchSettings) -> Run:
    """Translates the sources of a test set; lines longer than the model are split."""
    requests = [Request(line, number) for number, line in enumerate(test_set.sources, 1)]
    start = time.perf_counter()
    translations = translator.translate_requests(requests, settings)
    seconds = time.perf_counter() - start
    # The peak of the process is in KiB on Linux.
    return Run(translations, seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / _KIBIBYTE)


def evaluate(
    translator: Translator,
    test_set: TestSet,
    settings: SearchSettings,
    baseline: Sequence[str] | None = None,
    tokenised: bool = False,
    resamples: int = scoring.RESAMPLES,
    trials: int = scoring.TRIALS,
) -> tuple[dict[str, Any], list[str]]:
    """Translates a test set and scores the translations.

    Args:
        translator: of the system.
        test_set: what to translate.
        settings: of the search.
        baseline: raw translations of the same test set by another system.
        tokenised: whether tokenised scores are wanted too.
        resamples: of the bootstrap.
        trials: of the approximate randomisation.

    Returns:
        The report, as JSON holds it, and the translations.

    Raises:
        ResMLPError: when numbers of lines differ.
    """
    lang = translator.config.languages[1]
    run = translate_test_set(translator, test_set, settings)
    texts, references = run.texts, test_set.references
    scores = scoring.all_scores(texts, references, lang, resamples)
    if tokenised:
        scores += scoring.tokenised_scores(texts, references, lang, resamples)
    comparisons = [] if baseline is None else scoring.compare(texts, baseline, references, lang, resamples, trials)
    encoded = translator.source.encode(test_set.sources)
    lengths = [max(len(tokens) - 1, 1) for tokens in encoded]
    manifest = read_manifest(test_set.data) if test_set.data else {}
    buckets = scoring.by_length(
        lengths, texts, references, lang, _longest_trained(translator, test_set, manifest), baseline
    )
    report = {
        "format": FORMAT,
        "test_set": test_set.name,
        "sentences": len(references),
        "scores": scoring.as_json(scores),
        "comparisons": scoring.as_json(comparisons),
        "by_length": scoring.as_json(buckets),
        "lines_not_translated_whole": [t.note for t in run.translations if t.note],
        "in_training": find_leaks(test_set, encoded, manifest, translator.config.languages),
        "speed": {
            "seconds": run.seconds,
            "sentences_per_second": len(texts) / run.seconds,
            "tokens_per_second": sum(translation.tokens for translation in run.translations) / run.seconds,
            "peak_megabytes": run.peak_megabytes,
            "device": str(translator.models[0].device),
        },
        "hashes": {
            "sources": lines_digest(test_set.sources),
            "references": lines_digest(references),
            "translations": lines_digest(texts),
            "baseline": None if baseline is None else lines_digest(baseline),
            "model": translator.config.digests,
        },
        "settings": asdict(settings),
        "versions": versions(),
    }
    return report, texts


def _longest_trained(translator: Translator, test_set: TestSet, manifest: dict[str, Any]) -> int | None:
    """Sub-words of the longest training source, without its end."""
    if test_set.data is None:
        return None
    longest = longest_sources(test_set.data, manifest, translator.config.languages)
    return None if longest is None else longest - 1


def find_leaks(
    test_set: TestSet, encoded: Sequence[Sequence[int]], manifest: dict[str, Any], languages: tuple[str, str]
) -> dict[str, Any]:
    """Says which test sources occur in the training data, as far as that can be known.

    Args:
        test_set: the test set.
        encoded: its sources in tokens.
        manifest: of its data folder.
        languages: source and target.

    Returns:
        "checked", and either the numbers of the "lines" found (from 1), or the "reason" why nothing was checked.
    """
    data = test_set.data
    if data is None or not has_training_data(data, languages):
        return {"checked": False, "reason": "no binarised training data; give the data folder with --data"}
    if manifest.get("settings", {}).get("bpe_dropout"):
        return {"checked": False, "reason": f"segmented at random (bpe_dropout in {MANIFEST})"}
    found: set[int] = set()
    for folder in training_folders(data, manifest):
        found |= set(
            read_binarised(folder / f"train.{languages[0]}-{languages[1]}.{languages[0]}").positions_of(encoded)
        )
    return {"checked": True, "lines": [position + 1 for position in sorted(found)]}
