"""Scores of translations, with their uncertainty and the sentence that says how they were computed."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from sacrebleu.metrics import BLEU, CHRF, TER

from resmlp_mt.common.errors import require
from resmlp_mt.translation.evaluation.significance import PairedTests

RESAMPLES = 1000
TRIALS = 10_000
NOT_COMPARABLE = "not comparable with other publications' detokenised scores"
LOWER_CASED_BLEU = "lower-cased tokenised BLEU"
_LENGTHS = (0, 10, 20, 30, 40, 60, 100)  # upper ends of the buckets, in sub-words
_HYPHEN = re.compile(r"(?<=\S)-(?=\S)")
_TOKENIZERS = {"zh": "zh", "ja": "ja-mecab", "ko": "ko-mecab"}


@dataclass(frozen=True)
class Score:
    """One metric over a test set.

    Attributes:
        metric: its name.
        score: the value, from 0 to 100 (TER has no upper end, and lower is better).
        interval: half the width of the 95% interval of bootstrap resampling; None without resampling.
        signature: sacrebleu's, which says how it was computed.
        label: a warning, where the score must not be compared with others.
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
    """A metric of a system against a baseline: p is the chance of such a difference without there being one.

    Attributes:
        metric: its name.
        system, baseline: the scores.
        p_bootstrap: of paired bootstrap resampling (Koehn 2004); None where it was not made.
        p_randomisation: of paired approximate randomisation (Riezler and Maxwell 2005); None where it was not made.
    """

    metric: str
    system: float
    baseline: float
    p_bootstrap: float | None
    p_randomisation: float | None

    def __str__(self) -> str:
        tests = (("paired bootstrap", self.p_bootstrap), ("approximate randomisation", self.p_randomisation))
        said = ", ".join(f"p = {p:.4f} ({name})" for name, p in tests if p is not None)
        return f"{self.metric:26} {self.system:6.2f} against {self.baseline:.2f}  {said}".rstrip()


@dataclass(frozen=True)
class Bucket:
    """The sentences of a range of source lengths."""

    name: str
    sentences: int
    bleu: float
    chrf: float
    baseline_bleu: float | None = None
    beyond_training: bool = False


def check_counts(**files: Sequence[object]) -> None:
    """Refuses to score unless all files have equally many lines, at least one.

    Raises:
        ResMLPError: names the counts.
    """
    counts = {name: len(lines) for name, lines in files.items()}
    said = ", ".join(f"{count} {name}" for name, count in counts.items())
    require(len(set(counts.values())) == 1, "the numbers of lines", "equal", said, "line n of all must belong together")
    require(min(counts.values()) > 0, "the test set", "at least one line long", "empty", "check the files")


def check_resampling(resamples: int, trials: int) -> None:
    """Refuses numbers that give no interval and no test.

    Raises:
        ResMLPError: names the option.
    """
    require(resamples == 0 or resamples >= 2, "--resamples", "0 or at least 2", resamples, "0 leaves intervals out")
    require(trials >= 0, "--trials", "at least 0", trials, "0 leaves the randomisation out")


def bleu_tokenizer(lang: str) -> str:
    """The tokenizer that sacrebleu uses by default for a target language."""
    return _TOKENIZERS.get(lang, "13a")


def bleu_score(hypotheses: Sequence[str], references: Sequence[str], lang: str) -> float:
    """BLEU of detokenised text against raw references, the one number that validation, `evaluate` and tests share."""
    check_counts(translations=hypotheses, references=references)
    return BLEU(tokenize=bleu_tokenizer(lang)).corpus_score(list(hypotheses), [list(references)]).score


def _metrics(lang: str) -> dict[str, Callable[[], Any]]:
    return {"BLEU": lambda: BLEU(tokenize=bleu_tokenizer(lang)), "chrF": CHRF, "TER": TER}


def all_scores(
    hypotheses: Sequence[str], references: Sequence[str], lang: str, resamples: int = RESAMPLES
) -> list[Score]:
    """BLEU, chrF and TER with bootstrap intervals.

    Args:
        hypotheses: raw translations.
        references: raw references.
        lang: target language, which decides how BLEU takes text apart.
        resamples: of the bootstrap; 0 for no intervals.
    """
    check_counts(translations=hypotheses, references=references)
    return [_score(name, make(), hypotheses, references, resamples) for name, make in _metrics(lang).items()]


def _score(
    name: str, metric: Any, hypotheses: Sequence[str], references: Sequence[str], resamples: int, label: str = ""
) -> Score:
    _let_scores_be_floats(metric)
    result = metric.corpus_score(list(hypotheses), [list(references)], n_bootstrap=resamples)
    signature = metric.get_signature().format(short=False)
    return Score(name, float(result.score), float(result._ci) if resamples else None, signature, label)


def _let_scores_be_floats(metric: Any) -> None:
    """Makes sacrebleu's scores of resamples plain numbers.

    A resample without a single match scores a `float`, another one a NumPy `float32`, and `statistics.mean`, which
    sacrebleu 2.6 takes of them, refuses to add the two.
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
    """BLEU of Moses tokens, of these in lower case and of these with compounds split at hyphens; labelled.

    Source: the compound splitting of Luong et al. 2015, used for English to German by Vaswani et al. 2017.
    """
    sides = [_moses_tokens(lines, lang) for lines in (hypotheses, references)]
    split = [[_HYPHEN.sub(" ##AT##-##AT## ", line) for line in side] for side in sides]
    found = [lower_cased_score(hypotheses, references, lang, resamples)]
    for name, (texts, right) in (("tokenised BLEU", sides), ("compound-split BLEU", split)):
        found.append(_score(name, BLEU(tokenize="none", force=True), texts, right, resamples, NOT_COMPARABLE))
    return found


def lower_cased_score(
    hypotheses: Sequence[str], references: Sequence[str], lang: str, resamples: int = RESAMPLES
) -> Score:
    """BLEU of lower-cased Moses tokens, as papers on multi30k report it; labelled.

    Source: multi-bleu.perl on the lower-cased tokens of Moses, as in Wu et al. 2021 (ACL, "Good for Misconceived
    Reasons").
    Note: they score the data set's tokenised files, whose punctuation was normalised first. That changes no token of
    test 2016 in German or French, and is left out here.
    """
    texts, right = (_moses_tokens([line.lower() for line in lines], lang) for lines in (hypotheses, references))
    metric = BLEU(lowercase=True, tokenize="none", force=True)
    return _score(LOWER_CASED_BLEU, metric, texts, right, resamples, NOT_COMPARABLE)


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
    """Tests whether a system differs from a baseline on the same test set.

    Args:
        hypotheses, baseline: raw translations of both.
        references: raw references.
        lang: target language.
        resamples: of the paired bootstrap; 0 for none.
        trials: of the paired approximate randomisation; 0 for none.
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
    """Scores by source length: quality often falls where training had few sentences.

    Args:
        lengths: of the sources, in sub-words.
        hypotheses, references: raw.
        lang: target language.
        longest_trained: sub-words of the longest training source, if known; longer ones get buckets of their own.
        baseline: raw translations of a baseline.
    """
    check_counts(sources=lengths, translations=hypotheses, references=references)
    edges = sorted({*_LENGTHS, longest_trained or 0})
    buckets = []
    for low, high in itertools.pairwise([*edges, max(*lengths, edges[-1]) + 1]):
        places = [place for place, length in enumerate(lengths) if low < length <= high]
        if not places:
            continue
        chosen, right = [hypotheses[place] for place in places], [references[place] for place in places]
        buckets.append(
            Bucket(
                name=f"{low + 1} to {high}" if high <= edges[-1] else f"over {low}",
                sentences=len(places),
                bleu=bleu_score(chosen, right, lang),
                chrf=CHRF().corpus_score(chosen, [right]).score,
                baseline_bleu=None if baseline is None else bleu_score([baseline[p] for p in places], right, lang),
                beyond_training=longest_trained is not None and low >= longest_trained,
            )
        )
    return buckets


def as_json(rows: Sequence[Score | Comparison | Bucket]) -> list[dict[str, Any]]:
    """Rows as JSON holds them."""
    return [asdict(row) for row in rows]
