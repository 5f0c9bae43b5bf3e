"""Scores of translations with confidence intervals and sacrebleu signatures."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from sacrebleu.metrics.bleu import BLEU
from sacrebleu.metrics.chrf import CHRF
from sacrebleu.metrics.ter import TER

from resmlp_mt.common.errors import ResMLPError
from resmlp_mt.translation.evaluation.significance import PairedTests

RESAMPLES = 1000
TRIALS = 10_000
NOT_COMPARABLE = "not comparable with other publications' detokenised scores"
LOWER_CASED_BLEU = "lower-cased tokenised BLEU"
_LENGTHS = (0, 10, 20, 30, 40, 60, 100)  # upper bounds of the length buckets, in sub-words
_HYPHEN = re.compile(r"(?<=\S)-(?=\S)")
_TOKENIZERS = {"zh": "zh", "ja": "ja-mecab", "ko": "ko-mecab"}


@dataclass(frozen=True)
class Score:
    """The score of a test set by one metric.

    Attributes:
        metric: name of the metric.
        score: from 0 to 100 (for TER there is no upper bound, and lower is better).
        interval: half the width of the 95% confidence interval of bootstrap resampling; None without resampling.
        signature: sacrebleu's signature, which describes how the score was computed.
        label: a warning if the score must not be compared with others.
    """

    metric: str
    score: float
    interval: float | None
    signature: str
    label: str = ""

    def __str__(self) -> str:
        interval = "" if self.interval is None else f" ± {self.interval:.2f}"
        label = f"  ({self.label})" if self.label else ""
        return f"{self.metric:26} {self.score:6.2f}{interval}  {self.signature}{label}"


@dataclass(frozen=True)
class Comparison:
    """A system compared with a baseline by one metric, with p-values of their difference.

    Attributes:
        metric: name of the metric.
        system, baseline: the scores.
        p_bootstrap: p-value of paired bootstrap resampling (Koehn 2004); None if it was not run.
        p_randomisation: p-value of paired approximate randomisation (Riezler and Maxwell 2005); None if it was not run.
    """

    metric: str
    system: float
    baseline: float
    p_bootstrap: float | None
    p_randomisation: float | None

    def __str__(self) -> str:
        tests = (("paired bootstrap", self.p_bootstrap), ("approximate randomisation", self.p_randomisation))
        p_values = ", ".join(f"p = {p:.4f} ({name})" for name, p in tests if p is not None)
        return f"{self.metric:26} {self.system:6.2f} against {self.baseline:.2f}  {p_values}".rstrip()


@dataclass(frozen=True)
class Bucket:
    """Scores of the sentences in a range of source lengths."""

    name: str
    sentences: int
    bleu: float
    chrf: float
    baseline_bleu: float | None = None
    beyond_training: bool = False


def check_counts(**files: Sequence[object]) -> None:
    """Checks that all files have the same number of lines, and at least one.

    Raises:
        ResMLPError: if not; names the numbers.
    """
    counts = {name: len(lines) for name, lines in files.items()}
    if len(set(counts.values())) > 1:
        described = ", ".join(f"{count} {name}" for name, count in counts.items())
        raise ResMLPError(f"the numbers of lines differ: {described}; line n of each file must be the same sentence")
    if min(counts.values()) == 0:
        raise ResMLPError("the test set is empty; check the files")


def check_resampling(resamples: int, trials: int) -> None:
    """Checks the numbers of resamples and trials.

    Raises:
        ResMLPError: if one is out of range.
    """
    if resamples < 0 or resamples == 1:
        raise ResMLPError(f"--resamples must be 0 or at least 2, but is {resamples}; use 0 for no intervals")
    if trials < 0:
        raise ResMLPError(f"--trials must be at least 0, but is {trials}; use 0 for no randomisation test")


def bleu_tokenizer(lang: str) -> str:
    """The tokenizer that sacrebleu uses by default for a target language."""
    return _TOKENIZERS.get(lang, "13a")


def bleu_score(hypotheses: Sequence[str], references: Sequence[str], lang: str) -> float:
    """BLEU of detokenised text against raw references, as used in validation, `evaluate` and tests."""
    check_counts(translations=hypotheses, references=references)
    return float(BLEU(tokenize=bleu_tokenizer(lang)).corpus_score(list(hypotheses), [list(references)]).score)


def _metrics(lang: str) -> dict[str, Callable[[], Any]]:
    return {"BLEU": lambda: BLEU(tokenize=bleu_tokenizer(lang)), "chrF": CHRF, "TER": TER}


def all_scores(
    hypotheses: Sequence[str], references: Sequence[str], lang: str, resamples: int = RESAMPLES
) -> list[Score]:
    """BLEU, chrF and TER with bootstrap intervals.

    Args:
        hypotheses: raw translations.
        references: raw references.
        lang: target language, which determines BLEU's tokenizer.
        resamples: number of bootstrap resamples; 0 for no intervals.
    """
    check_counts(translations=hypotheses, references=references)
    return [_score(name, make(), hypotheses, references, resamples) for name, make in _metrics(lang).items()]


def _score(
    name: str, metric: Any, hypotheses: Sequence[str], references: Sequence[str], resamples: int, label: str = ""
) -> Score:
    _make_scores_floats(metric)
    result = metric.corpus_score(list(hypotheses), [list(references)], n_bootstrap=resamples)
    signature = metric.get_signature().format(short=False)
    return Score(name, float(result.score), float(result._ci) if resamples else None, signature, label)


def _make_scores_floats(metric: Any) -> None:
    """Makes sacrebleu return the scores of resamples as `float`.

    A resample without any match has a `float` score, others a NumPy `float32`. sacrebleu 2.6 passes them to
    `statistics.mean`, which cannot add the two types.
    """
    compute = metric._compute_score_from_stats

    def compute_in_floats(stats: Any) -> Any:
        score = compute(stats)
        score.score = float(score.score)
        return score

    metric._compute_score_from_stats = compute_in_floats


def tokenised_scores(
    hypotheses: Sequence[str], references: Sequence[str], lang: str, resamples: int = RESAMPLES
) -> list[Score]:
    """Labelled BLEU of Moses tokens: lower-cased, as they are, and with compounds split at hyphens.

    Source: the compound splitting of Luong et al. 2015, used for English to German by Vaswani et al. 2017.
    """
    sides = [_moses_tokens(lines, lang) for lines in (hypotheses, references)]
    split = [[_HYPHEN.sub(" ##AT##-##AT## ", line) for line in side] for side in sides]
    scores = [lower_cased_score(hypotheses, references, lang, resamples)]
    for name, (hypothesis_tokens, reference_tokens) in (("tokenised BLEU", sides), ("compound-split BLEU", split)):
        metric = BLEU(tokenize="none", force=True)
        scores.append(_score(name, metric, hypothesis_tokens, reference_tokens, resamples, NOT_COMPARABLE))
    return scores


def lower_cased_score(
    hypotheses: Sequence[str], references: Sequence[str], lang: str, resamples: int = RESAMPLES
) -> Score:
    """Labelled BLEU of lower-cased Moses tokens, as papers on multi30k report it.

    Source: multi-bleu.perl on the lower-cased tokens of Moses, as in Wu et al. 2021 (ACL, "Good for Misconceived
    Reasons").
    Note: they score the data set's tokenised files, whose punctuation was normalised first. That changes no token of
    test 2016 in German or French and is not done here.
    """
    hypothesis_tokens, reference_tokens = (
        _moses_tokens([line.lower() for line in lines], lang) for lines in (hypotheses, references)
    )
    metric = BLEU(lowercase=True, tokenize="none", force=True)
    return _score(LOWER_CASED_BLEU, metric, hypothesis_tokens, reference_tokens, resamples, NOT_COMPARABLE)


def _moses_tokens(lines: Sequence[str], lang: str) -> list[str]:
    from sacremoses import MosesTokenizer

    tokenise = MosesTokenizer(lang).tokenize
    return [tokenise(line, return_str=True, escape=False) for line in lines]


def compare(
    hypotheses: Sequence[str],
    baseline: Sequence[str],
    references: Sequence[str],
    lang: str,
    resamples: int = RESAMPLES,
    trials: int = TRIALS,
) -> list[Comparison]:
    """Tests whether a system differs significantly from a baseline on the same test set.

    Args:
        hypotheses: raw translations of the system.
        baseline: raw translations of the baseline.
        references: raw references.
        lang: target language.
        resamples: number of resamples of the paired bootstrap; 0 to skip it.
        trials: number of trials of the paired approximate randomisation; 0 to skip it.
    """
    check_counts(translations=hypotheses, baseline=baseline, references=references)
    comparisons = []
    for name, make in _metrics(lang).items():
        tests = PairedTests(make(), hypotheses, baseline, references)
        p_bootstrap = tests.bootstrap(resamples) if resamples else None
        p_randomisation = tests.randomisation(trials) if trials else None
        comparisons.append(Comparison(name, *tests.scores, p_bootstrap, p_randomisation))
    return comparisons


def by_length(
    lengths: Sequence[int],
    hypotheses: Sequence[str],
    references: Sequence[str],
    lang: str,
    longest_trained: int | None = None,
    baseline: Sequence[str] | None = None,
) -> list[Bucket]:
    """Scores by source length. Quality often drops at lengths that are rare in the training data.

    Args:
        lengths: source lengths in sub-words.
        hypotheses: raw translations.
        references: raw references.
        lang: target language.
        longest_trained: sub-words of the longest training source, if known; longer sources have separate buckets.
        baseline: raw translations of a baseline.
    """
    check_counts(sources=lengths, translations=hypotheses, references=references)
    edges = sorted({*_LENGTHS, longest_trained or 0})
    buckets = []
    for low, high in itertools.pairwise([*edges, max(*lengths, edges[-1]) + 1]):
        indices = [index for index, length in enumerate(lengths) if low < length <= high]
        if not indices:
            continue
        selected, selected_references = [hypotheses[i] for i in indices], [references[i] for i in indices]
        buckets.append(
            Bucket(
                name=f"{low + 1} to {high}" if high <= edges[-1] else f"over {low}",
                sentences=len(indices),
                bleu=bleu_score(selected, selected_references, lang),
                chrf=CHRF().corpus_score(selected, [selected_references]).score,
                baseline_bleu=None
                if baseline is None
                else bleu_score([baseline[i] for i in indices], selected_references, lang),
                beyond_training=longest_trained is not None and low >= longest_trained,
            )
        )
    return buckets


def as_json(rows: Sequence[Score | Comparison | Bucket]) -> list[dict[str, Any]]:
    """Rows as JSON objects."""
    return [asdict(row) for row in rows]
