"""`resmlp-mt evaluate`: scores a model on a test set."""

from __future__ import annotations

import argparse
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from resmlp_mt.cli import decoding
from resmlp_mt.common import files
from resmlp_mt.common.data_folder import data_files
from resmlp_mt.common.errors import ResMLPError
from resmlp_mt.translation.bundle.format import CARD, CONFIG, bundle_files
from resmlp_mt.translation.bundle.packaging import add_scores
from resmlp_mt.translation.evaluation import evaluation
from resmlp_mt.translation.evaluation.figure import check_figure, draw_scores
from resmlp_mt.translation.evaluation.scores import RESAMPLES, TRIALS, Comparison, Score, check_resampling
from resmlp_mt.translation.jobs import Job
from resmlp_mt.translation.text.lines import read_lines
from resmlp_mt.translation.translator import Translator

_PAST = {"split": "split", "truncate": "truncated", "copy": "copied"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of this subcommand."""
    decoding.add_model_arguments(parser)
    parser.add_argument(
        "--data", type=Path, help="prepared data folder with raw/SPLIT.LANG; its training data is checked for leaks"
    )
    parser.add_argument("--split", default="test", help="split of --data (default: test)")
    parser.add_argument("--source", type=Path, help="raw sources, one per line; requires --reference")
    parser.add_argument("--reference", type=Path, help="raw references, one per line; requires --source")
    parser.add_argument("--baseline", type=Path, help="another bundle, or its raw translations of the same test set")
    parser.add_argument(
        "--tokenised", action="store_true", help="also report tokenised, lower-cased tokenised and compound-split BLEU"
    )
    parser.add_argument("--json", type=Path, help="write the report as JSON, with all digests and settings")
    parser.add_argument(
        "--figure", type=Path, help="plot the scores, overall and by source length (.svg, .png or .pdf)"
    )
    parser.add_argument("--translations", type=Path, help="write the translations to this file")
    parser.add_argument("--update-card", action="store_true", help="write the scores into the bundle's model card")
    parser.add_argument(
        "--resamples", type=int, default=RESAMPLES, help=f"bootstrap resamples; 0 for none (default: {RESAMPLES})"
    )
    parser.add_argument(
        "--trials", type=int, default=TRIALS, help=f"randomisation trials; 0 for none (default: {TRIALS})"
    )
    decoding.add_search_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Evaluates, writes the requested files, and prints the scores."""
    _check(args)
    translator = decoding.load_translator(args)
    job = _job(args, translator)
    test_set = evaluation.load_test_set(args.data, args.split, args.source, args.reference, translator.config.languages)
    baseline = _load_baseline(args, test_set, translator)
    report, texts = evaluation.evaluate(
        translator, test_set, job, baseline, args.tokenised, args.resamples, args.trials
    )
    report["models"] = [
        {"path": str(path), "digests": digests}
        for path, digests in zip((args.model, *args.ensemble), translator.identity["models"], strict=True)
    ]
    try:
        _write(args, report, texts)
    except ResMLPError:
        with suppress(BrokenPipeError):
            print(_describe(report), flush=True)
        raise
    print(_describe(report))  # last, since the reader of a pipe may stop early
    return 0


def _check(args: argparse.Namespace) -> None:
    """Refuses, before the work, options that contradict each other and outputs that cannot be written."""
    check_resampling(args.resamples, args.trials)
    if args.ensemble and args.update_card:
        raise ResMLPError(
            "--update-card cannot be combined with --ensemble, whose score is not that of the model; leave one out"
        )
    if args.figure:
        check_figure(args.figure)
    outputs = {"--json": args.json, "--figure": args.figure, "--translations": args.translations}
    inputs = {
        **decoding.model_inputs(args),
        "--data": data_files(args.data) if args.data else None,
        "--source": args.source,
        "--reference": args.reference,
        "--baseline": bundle_files(args.baseline) if args.baseline and args.baseline.is_dir() else args.baseline,
    }
    files.check_outputs(outputs, inputs)
    if args.update_card:
        files.check_outputs({"--update-card": [args.model / CONFIG, args.model / CARD]}, {})


def _job(args: argparse.Namespace, translator: Translator) -> Job:
    settings = decoding.search_settings(args, translator.config.decoding)
    return evaluation.job_of(settings, args.too_long, bool(args.constraints))


def _load_baseline(
    args: argparse.Namespace, test_set: evaluation.TestSet, translator: Translator
) -> evaluation.Baseline | None:
    """Reads the translations of the baseline, or translates with its bundle and the given search options."""
    path = args.baseline
    if path is None:
        return None
    if path.is_dir():
        other = Translator.from_pretrained(
            path, device=args.device, dtype=args.dtype, limits=translator.limits, workers=translator.workers
        )
        job = _job(args, other)
        texts = evaluation.translate_test_set(other, test_set, job).texts
        about = {"path": str(path), "digests": other.config.digests, "settings": asdict(job.settings)}
        return evaluation.Baseline(texts, about)
    lines = read_lines(path)
    if len(lines) != len(test_set.references):
        raise ResMLPError(
            f"{path} has {len(lines)} lines, but there are {len(test_set.references)} references; give the "
            "translations of this test set"
        )
    evaluation.refuse_segmented(str(path), lines)
    return evaluation.Baseline(lines, {"path": str(path), "digest": files.file_digest(path)})


def _write(args: argparse.Namespace, report: dict[str, Any], texts: list[str]) -> None:
    if args.json:
        files.write_json(args.json, report)
    if args.translations:
        files.write_text(args.translations, "".join(f"{text}\n" for text in texts))
    if args.figure:
        draw_scores(args.figure, report)
    if args.update_card:
        scores = [{**score, "test_set": report["test_set"]} for score in report["scores"] if not score["label"]]
        add_scores(args.model, scores)


def _describe(report: dict[str, Any]) -> str:
    """Formats the report for the terminal."""
    lines = [f"{report['test_set']}: {report['sentences']} sentences", ""]
    lines += [str(Score(**score)) for score in report["scores"]]
    lines += [str(Comparison(**row)) for row in report["comparisons"]]
    if report["comparisons"]:
        lines.append(f"{report['lines_unlike_baseline']} translations differ from those of the baseline")
    lines += ["", "source sub-words     sentences   BLEU   chrF"]
    for bucket in report["by_length"]:
        beyond = "  longer than any in training" if bucket["beyond_training"] else ""
        lines.append(f"{bucket['name']:20} {bucket['sentences']:9} {bucket['bleu']:6.2f} {bucket['chrf']:6.2f}{beyond}")
    speed = report["speed"]
    lines += [
        "",
        f"{speed['sentences_per_second']:.1f} sentences/s, {speed['tokens_per_second']:.0f} tokens/s "
        f"on {speed['device']}, at most {speed['peak_megabytes']:.0f} MiB",
        _describe_leaks(report["in_training"], report["sentences"]),
    ]
    if cut := report["lines_not_translated_whole"]:
        lines.append(f"{len(cut)} lines are longer than the model and were {_PAST[report['too_long']]}")
    return "\n".join(lines)


def _describe_leaks(leaks: dict[str, Any], sentences: int) -> str:
    if not leaks["checked"]:
        return f"test lines were not searched for in the training data: {leaks['reason']}"
    if not leaks["lines"]:
        return "no test source occurs in the training data"
    numbers = ", ".join(map(str, leaks["lines"][:10])) + ("..." if len(leaks["lines"]) > 10 else "")
    return f"WARNING: {len(leaks['lines'])} of {sentences} test sources occur in the training data: lines {numbers}"
