r"""Translates a raw test set with any fairseq checkpoint and scores it as `resmlp-mt evaluate` scores a bundle.

This is for the baselines, which cannot be bundled. fairseq-generate translates, the tokenizer of the prepared data
detokenises, and the raw translations are scored against the raw references.

    python -m resmlp_mt.experiments.score_fairseq averaged.pt --data DATA --pair en-de \
        --translations test.de --json test.json
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

from resmlp_mt.common.data_folder import data_files
from resmlp_mt.common.errors import ResMLPError
from resmlp_mt.common.files import check_outputs, file_digest, write_json, write_text
from resmlp_mt.experiments.compare.runs import Plan, raw_translations
from resmlp_mt.translation.evaluation.scores import all_scores, as_json, check_counts, tokenised_scores

BEAM = 4


def parse_arguments() -> argparse.Namespace:
    """Parses the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m resmlp_mt.experiments.score_fairseq",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("checkpoint", type=Path, help="checkpoint of fairseq-train or `resmlp-mt average`")
    parser.add_argument("--data", type=Path, required=True, help="data folder that the model was trained on")
    parser.add_argument("--pair", required=True, metavar="SRC-TGT", help="language pair")
    parser.add_argument("--split", default="test", help="split of the data to translate (default: test)")
    parser.add_argument("--lenpen", type=float, default=1.0, help="length penalty of the search (default: 1.0)")
    parser.add_argument(
        "--tokenised",
        action="store_true",
        help="also report tokenised, lower-cased tokenised and compound-split BLEU",
    )
    parser.add_argument("--translations", type=Path, required=True, help="output file for the translations")
    parser.add_argument("--json", type=Path, required=True, help="output file for the scores")
    return parser.parse_args()


def generate(args: argparse.Namespace, source: str, target: str) -> str:
    """Translates a split with fairseq-generate; returns its standard output.

    Raises:
        ResMLPError: when it fails.
    """
    finished = subprocess.run(
        [
            *("fairseq-generate", args.data, "--user-dir", "resmlp_mt", "--task", "translation", "-s", source),
            *("-t", target, "--path", args.checkpoint, "--gen-subset", args.split, "--beam", str(BEAM), "--lenpen"),
            *(str(args.lenpen), "--batch-size", "64", "--num-workers", "0", "--no-progress-bar"),
        ],
        capture_output=True,
        text=True,
    )
    if finished.returncode:
        reason = (finished.stderr.strip().splitlines() or [f"exit status {finished.returncode}"])[-1]
        raise ResMLPError(f"fairseq-generate failed on {args.split} with {args.checkpoint}: {reason}")
    return finished.stdout


def main() -> int:
    """Translates, scores and writes; returns the exit status."""
    args = parse_arguments()
    source, _, target = args.pair.partition("-")
    plan = Plan(data=args.data, pair=(source, target), work=args.checkpoint.parent, budget=(), split=args.split)
    try:
        outputs = {"--translations": args.translations, "--json": args.json}
        check_outputs(outputs, {"CHECKPOINT": args.checkpoint, "--data": data_files(args.data)})
        references = plan.references()
        translations = raw_translations(plan, generate(args, source, target))
        check_counts(translations=translations, references=references)
        scores = all_scores(translations, references, target)
        if args.tokenised:
            scores += tokenised_scores(translations, references, target)
        write_text(args.translations, "".join(f"{text}\n" for text in translations))
        search = {"beam": BEAM, "lenpen": args.lenpen}
        report = {"checkpoint": file_digest(args.checkpoint), "split": args.split, "search": search}
        write_json(args.json, {**report, "scores": as_json(scores)})
    except ResMLPError as error:
        print(f"score_fairseq: {error}", file=sys.stderr)
        return 2
    print(f"{args.split}: {len(references)} sentences\n")
    for score in scores:
        print(score)
    return 0


if __name__ == "__main__":
    sys.exit(main())
