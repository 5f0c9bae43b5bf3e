"""The results of a comparison as one table and one JSON object."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from resmlp_mt.common.files import lines_digest
from resmlp_mt.common.versions import versions
from resmlp_mt.experiments.compare.contestants import Contestant
from resmlp_mt.experiments.compare.runs import Plan
from resmlp_mt.translation.evaluation.scores import LOWER_CASED_BLEU, NOT_COMPARABLE, as_json, compare

METRICS = ("BLEU", "chrF")  # metrics of the paired tests
SCORES = (*METRICS, LOWER_CASED_BLEU)


def summarise(contestant: Contestant, runs: Sequence[Mapping[str, Any]], speeds: Sequence[float]) -> dict[str, Any]:
    """Summarises the runs of one system with several seeds.

    Args:
        contestant: the system.
        runs: one per seed: the results of `runs.train` and `runs.translate`, with "seed".
        speeds: generation speed of each round, in target tokens per second.
    """
    return {
        "name": contestant.name,
        "title": contestant.title,
        "words": list(contestant.options),
        "runs": [dict(run) for run in runs],
        "generation_tokens_per_second": list(speeds),
    }


def mean_and_spread(values: Sequence[float]) -> tuple[float, float | None]:
    """The mean, and the standard deviation where there are several values."""
    return statistics.fmean(values), statistics.stdev(values) if len(values) > 1 else None


def mean_text(values: Sequence[float], decimals: int = 2) -> str:
    """The mean, and the standard deviation where there are several values."""
    mean, spread = mean_and_spread(values)
    return f"{mean:.{decimals}f}" if spread is None else f"{mean:.{decimals}f} (s {spread:.{decimals}f})"


def scores_of(result: Mapping[str, Any], metric: str) -> list[dict[str, Any]]:
    """The score of each seed by one metric."""
    return [score for run in result["runs"] for score in run["scores"] if score["metric"] == metric]


def describe_comparison(results: list[dict[str, Any]], plan: Plan, baseline: str) -> dict[str, Any]:
    """Adds the paired tests to the results and writes the table.

    Args:
        results: results of `summarise`.
        plan: plan of the comparison.
        baseline: name of the system that the others are tested against; without it there are no tests.

    Returns:
        "results", "table" (Markdown), "signatures", "versions" and the digest of the references.
    """
    references = plan.references()
    against = next((result for result in results if result["name"] == baseline), None)
    for result in results:
        if against is not None and result is not against:
            result["tests"] = [
                {"seed": run["seed"], **row}
                for run, other in zip(result["runs"], against["runs"], strict=True)
                for row in _tests(run["translations"], other["translations"], references, plan)
            ]
    signatures = {score["metric"]: score["signature"] for r in results for run in r["runs"] for score in run["scores"]}
    return {
        "results": results,
        "table": _table(results, against, signatures, plan),
        "signatures": signatures,
        "versions": versions(),
        "references": lines_digest(references),
    }


def _tests(translations: list[str], baseline: list[str], references: list[str], plan: Plan) -> list[dict[str, Any]]:
    rows = compare(translations, baseline, references, plan.pair[1], plan.resamples, 10 * plan.resamples)
    return [row for row in as_json(rows) if row["metric"] in METRICS]


def _table(
    results: list[dict[str, Any]], against: Mapping[str, Any] | None, signatures: Mapping[str, str], plan: Plan
) -> str:
    header = ["system", "parameters", "without embeddings", "epochs", "updates", "training minutes"]
    header += ["training tokens/s", "peak MiB", "generation tokens/s", *SCORES]
    if against is not None:
        header += [f"p, {metric}" for metric in METRICS]
    rows = [_row(result, against) for result in results]
    notes = _notes(results, against, plan)
    lines = [f"| {' | '.join(cells)} |" for cells in [header, ["---"] * len(header), *rows]]
    lines += ["", *notes, *(f"{metric}: `{signature}`" for metric, signature in signatures.items())]
    return "\n".join(lines) + "\n"


def _row(result: Mapping[str, Any], against: Mapping[str, Any] | None) -> list[str]:
    runs = result["runs"]
    alone = "" if all(run["measured_alone"] for run in runs) else " *"
    speeds = result["generation_tokens_per_second"]
    cells = [
        result["title"],
        f"{runs[0]['parameters']:,}",
        f"{runs[0]['parameters_without_embeddings']:,}",
        _span([run["epochs"] for run in runs]),
        _span([run["updates"] for run in runs]),
        f"{mean_text([run['training_seconds'] / 60 for run in runs], 1)}{alone}",
        f"{statistics.median(run['tokens_per_second'] for run in runs):,.0f}{alone}",
        f"{statistics.median(run['peak_mib'] for run in runs):,.0f}",
        f"{statistics.median(speeds):,.0f}" if speeds else "-",
        *(_score(scores_of(result, metric)) for metric in SCORES),
    ]
    if against is not None:
        cells += [_significance(result, metric) for metric in METRICS]
    return cells


def _span(values: Sequence[float]) -> str:
    low, high = min(values), max(values)
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"


def _score(scores: Sequence[Mapping[str, Any]]) -> str:
    """A score with its bootstrap interval, or the mean and standard deviation over seeds."""
    mean = mean_text([score["score"] for score in scores])
    return mean if len(scores) > 1 else f"{mean} ± {scores[0]['interval']:.2f}"


def _significance(result: Mapping[str, Any], metric: str) -> str:
    values = [
        max(test["p_bootstrap"], test["p_randomisation"])
        for test in result.get("tests", ())
        if test["metric"] == metric
    ]
    return f"{max(values):.4f}" if values else "-"


def _notes(results: list[dict[str, Any]], against: Mapping[str, Any] | None, plan: Plan) -> list[str]:
    runs = [run for result in results for run in result["runs"]]
    several = len({run["seed"] for run in runs}) > 1
    notes = [
        f"{plan.split} of {plan.data.name}, {plan.pair[0]} to {plan.pair[1]}, beam {plan.beam}, length penalty "
        f"{plan.length_penalty:g}, at most {plan.average} checkpoints averaged. Tokens are target sub-words; "
        "parameters without embeddings are those outside tables with one row per vocabulary entry. "
        "Training minutes are computed from the median speed, without validations.",
        f"The {LOWER_CASED_BLEU} is {NOT_COMPARABLE}.",
    ]
    if plan.patience:
        notes.append(f"Trained until {plan.patience} validations brought no better BLEU (greedy search).")
        for result in results:
            if not all(run["converged"] for run in result["runs"]):
                notes.append(f"NOT CONVERGED: {result['title']} reached the maximum number of epochs.")
    notes.append(
        "Scores are the mean over seeds and their standard deviation s."
        if several
        else "Scores are given with half the width of their 95% bootstrap interval."
    )
    if against is not None:
        which = "the largest over seeds, " if several else ""
        notes.append(
            f"p is the probability of such a difference from the {against['title']} if there is none: {which}the "
            "larger of paired bootstrap resampling and paired approximate randomisation."
        )
    if not all(run["measured_alone"] for run in runs):
        notes.append("* Several trainings ran in parallel: these speeds were not measured alone.")
    left_out = {result["title"]: result["runs"][0]["pairs_left_out"] for result in results}
    if len(set(left_out.values())) > 1:
        notes.append(f"NOT THE SAME DATA: pairs too long for the model were left out by {left_out}.")
    return notes
