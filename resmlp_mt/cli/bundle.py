"""`resmlp-mt bundle`: from a checkpoint to a folder that translates raw text."""

from __future__ import annotations

import argparse
from pathlib import Path

from resmlp_mt.common import files
from resmlp_mt.common.data_folder import data_files
from resmlp_mt.common.errors import require
from resmlp_mt.translation.bundle.format import bundle_files
from resmlp_mt.translation.bundle.packaging import bundle_checkpoint
from resmlp_mt.translation.search.settings import SearchSettings
from resmlp_mt.translation.text.normalization import TOKENIZERS, TextSettings


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of this subcommand."""
    parser.add_argument("checkpoint", type=Path, help="from fairseq-train or `resmlp-mt average`")
    parser.add_argument("--data", type=Path, required=True, help="folder that the model was trained on")
    parser.add_argument("--out", type=Path, required=True, help="folder of the bundle")
    parser.add_argument("--licence", default="", help="of the model, for its card")
    parser.add_argument("--note", default="", help="a sentence about the model, for its card")
    parser.add_argument("--beam", type=int, default=4, help="default of the search (default: 4)")
    parser.add_argument("--lenpen", type=float, default=1.0, help="default of the search (default: 1.0)")
    parser.add_argument("--max-len-a", type=float, default=0.0, help="default of the search (default: 0)")
    parser.add_argument("--max-len-b", type=int, default=200, help="default of the search (default: 200)")
    group = parser.add_argument_group("preparation of the text", "where the data has no manifest.json that says it")
    group.add_argument("--tokenizer", choices=TOKENIZERS, help="before sentencepiece")
    group.add_argument("--normalize-punctuation", action="store_true", help="as Moses does it")
    group.add_argument("--lowercase", action="store_true", help="no capitals")


def run(args: argparse.Namespace) -> int:
    """Makes the bundle."""
    require(args.data.is_dir(), "--data", "a folder", args.data, "check the name")
    inputs = {"CHECKPOINT": args.checkpoint, "--data": data_files(args.data)}
    files.check_outputs({"--out": bundle_files(args.out)}, inputs)
    given = args.tokenizer or args.normalize_punctuation or args.lowercase
    text = TextSettings(args.tokenizer or "none", args.normalize_punctuation, args.lowercase) if given else None
    decoding = SearchSettings(
        beam_size=args.beam, length_penalty=args.lenpen, max_len_a=args.max_len_a, max_len_b=args.max_len_b
    )
    bundle_checkpoint(args.checkpoint, args.data, args.out, decoding, args.licence, args.note, text)
    print(f"{args.out}: try `echo ... | resmlp-mt translate {args.out}`")
    return 0
