"""`resmlp-mt shortlist`: finds the target sub-words that each source sub-word may be translated with."""

from __future__ import annotations

import argparse
from pathlib import Path

from resmlp_mt.common import files
from resmlp_mt.common.data_folder import data_files, training_folders
from resmlp_mt.common.data_manifest import read_manifest
from resmlp_mt.common.errors import ResMLPError
from resmlp_mt.translation.bundle.packaging import find_languages
from resmlp_mt.translation.lexicon import build_shortlist, estimate_lexicon, measure_coverage, read_pairs
from resmlp_mt.translation.text.dictionary import read_dictionary


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of this subcommand."""
    parser.add_argument("data", type=Path, help="prepared data folder that the model was trained on")
    parser.add_argument("--out", type=Path, required=True, help="output file, in Marian's binary format")
    parser.add_argument(
        "--best", type=int, default=100, metavar="N", help="target sub-words of each source sub-word (default: 100)"
    )
    parser.add_argument(
        "--frequent",
        type=int,
        default=100,
        metavar="N",
        help="most frequent target sub-words, which are in every list (default: 100)",
    )
    parser.add_argument(
        "--max-pairs",
        type=int,
        default=100_000,
        metavar="N",
        help="sentence pairs to learn from, evenly spread over the data (default: 100,000)",
    )


def run(args: argparse.Namespace) -> int:
    """Writes the shortlist and prints its coverage of the validation references."""
    for name, least in (("best", 1), ("frequent", 0), ("max_pairs", 1)):
        if getattr(args, name) < least:
            option = name.replace("_", "-")
            raise ResMLPError(f"--{option} must be at least {least}, but is {getattr(args, name)}")
    if not args.data.is_dir():
        raise ResMLPError(f"the data folder {args.data} does not exist; check the name")
    files.check_outputs({"--out": args.out}, {"DATA": data_files(args.data)})
    pair = find_languages(args.data)
    source, target = (read_dictionary(args.data / f"dict.{lang}.txt") for lang in pair)
    sources, targets = read_pairs(training_folders(args.data, read_manifest(args.data)), pair, "train", args.max_pairs)
    lexicon = estimate_lexicon(sources, targets, len(target))
    shortlist = build_shortlist(lexicon, targets, len(source), args.frequent, args.best, is_joint=source == target)
    shortlist.write(args.out)
    print(f"{args.out}: {args.out.stat().st_size / 1e6:.1f} MB, from {len(sources)} sentence pairs")
    try:
        held_out = read_pairs([args.data], pair, "valid")
    except ResMLPError:
        return 0
    coverage = measure_coverage(shortlist, *held_out)
    print(
        f"of the validation references, {coverage.tokens:.1%} of the sub-words are in the list of their sentence, and "
        f"{coverage.sentences:.1%} of the sentences are covered whole; a list has {coverage.words:.0f} of "
        f"{len(target)} sub-words"
    )
    return 0
