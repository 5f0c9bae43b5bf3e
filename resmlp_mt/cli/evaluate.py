"""`resmlp-mt evaluate`: scores that can be published."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from resmlp_mt import files
from resmlp_mt.cli import decoding
from resmlp_mt.errors import ResMLPError
from resmlp_mt.translation import evaluate as evaluation
from resmlp_mt.translation.evaluate_scores import RESAMPLES, TRIALS
from resmlp_mt.translation.lines import read_lines
from resmlp_mt.translation.packaging import add_scores
from resmlp_mt.translation.translator import Translator


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of this subcommand."""
    decoding.add_model_arguments(parser)
    parser.add_argument(
        "--data", type=Path, help="prepared data folder, with raw/SPLIT.LANG; also to look for leaks in"
    )
    parser.add_argument("--split", default="test", help="of --data (default: test)")
    parser.add_argument("--source", type=Path, help="raw sources, one a line")
    parser.add_argument("--reference", type=Path, help="raw references, one a line")
    parser.add_argument("--baseline", type=Path, help="another bundle, or its raw translations of the same test set")
    parser.add_argument(
        "--tokenised",
        action="store_true",
        help="also BLEU of tokens, of lower-cased tokens and of split compounds, labelled",
    )
    parser.add_argument("--json", type=Path, help="write the report with all hashes and settings")
    parser.add_argument("--figure", type=Path, help="draw the scores, by length too (.svg, .png or .pdf)")
    parser.add_argument("--translations", type=Path, help="write the translations")
    parser.add_argument("--update-card", action="store_true", help="write the scores into the bundle's model card")
    parser.add_argument("--resamples", type=int, default=RESAMPLES, help=f"of the bootstrap (default: {RESAMPLES})")
    parser.add_argument("--trials", type=int, default=TRIALS, help=f"of the randomisation (default: {TRIALS})")
    decoding.add_search_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Evaluates, prints the scores, and writes what was asked for."""
    translator = decoding.load_translator(args)
    settings = decoding.search_settings(args, translator.config.decoding)
    test_set = evaluation.load_test_set(args.data, args.split, args.source, args.reference, translator.config.languages)
    baseline = _load_baseline(args, test_set)
    report, texts = evaluation.evaluate(
        translator, test_set, settings, baseline, args.tokenised, args.resamples, args.trials
    )
    print(_describe(report))
    if args.json:
        files.write_json(args.json, report)
    if args.translations:
        files.write_text(args.translations, "".join(f"{text}\n" for text in texts))
    if args.figure:
        from resmlp_mt.translation.evaluate_figure import draw_scores

        draw_scores(args.figure, report)
    if args.update_card:
        scores = [{**score, "test_set": report["test_set"]} for score in report["scores"] if not score["label"]]
        add_scores(args.model, scores)
    return 0


def _load_baseline(args: argparse.Namespace, test_set: evaluation.TestSet) -> list[str] | None:
    if args.baseline is None:
        return None
    if args.baseline.is_dir():
        other = Translator.from_pretrained(args.baseline, device=args.device, dtype=args.dtype)
        return evaluation.translate_test_set(other, test_set, other.config.decoding).texts
    lines = read_lines(args.baseline)
    if len(lines) != len(test_set.references):
        raise ResMLPError(
            f"{args.baseline} must have a line for each of the {len(test_set.references)} references, but has "
            f"{len(lines)}; give the translations of this test set"
        )
    evaluation.refuse_segmented(str(args.baseline), lines)
    return lines


def _describe(report: dict[str, Any]) -> str:
    """The report in words, for a terminal."""
    lines = [f"{report['test_set']}: {report['sentences']} sentences", ""]
    for score in report["scores"]:
        label = f"  ({score['label']})" if score["label"] else ""
        lines.append(
            f"{score['metric']:26} {score['score']:6.2f} ± {score['interval']:.2f}  {score['signature']}{label}"
        )
    for row in report["comparisons"]:
        lines.append(
            f"{row['metric']:26} {row['system']:6.2f} against {row['baseline']:.2f}  p = {row['p_bootstrap']:.4f} "
            f"(paired bootstrap), {row['p_randomisation']:.4f} (approximate randomisation)"
        )
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
        lines.append(f"{len(cut)} lines are longer than the model and were split")
    return "\n".join(lines)


def _describe_leaks(found: dict[str, Any], sentences: int) -> str:
    if not found["checked"]:
        return f"whether test lines occur in training is not known: {found['reason']}"
    if not found["lines"]:
        return "no test source occurs in the training data"
    numbers = ", ".join(map(str, found["lines"][:10])) + ("..." if len(found["lines"]) > 10 else "")
    return f"WARNING: {len(found['lines'])} of {sentences} test sources occur in the training data: lines {numbers}"
