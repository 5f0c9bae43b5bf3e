"""`resmlp-mt bundle`: packs a checkpoint into a folder that translates raw text."""

from __future__ import annotations

import argparse
from pathlib import Path

from resmlp_mt.common import files
from resmlp_mt.common.data_folder import data_files
from resmlp_mt.common.errors import ResMLPError
from resmlp_mt.translation.bundle.format import INT8, NONE, bundle_files
from resmlp_mt.translation.bundle.packaging import bundle_checkpoint
from resmlp_mt.translation.search.settings import SearchSettings
from resmlp_mt.translation.text.normalization import TOKENIZERS, TextSettings


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of this subcommand."""
    parser.add_argument("checkpoint", type=Path, help="checkpoint of fairseq-train or `resmlp-mt average`")
    parser.add_argument("--data", type=Path, required=True, help="data folder that the model was trained on")
    parser.add_argument("--out", type=Path, required=True, help="output folder")
    parser.add_argument("--licence", default="", help="licence of the model, for the model card")
    parser.add_argument("--note", default="", help="note about the model, for the model card")
    parser.add_argument("--beam", type=int, default=4, help="beam size of the bundle (default: 4)")
    parser.add_argument("--lenpen", type=float, default=1.0, help="length penalty of the bundle (default: 1.0)")
    parser.add_argument(
        "--max-len-a", type=float, default=0.0, help="a in the maximum output length a * source length + b (default: 0)"
    )
    parser.add_argument("--max-len-b", type=int, default=200, help="b in the maximum output length (default: 200)")
    parser.add_argument(
        "--int8", action="store_true", help="quantize the weights to int8, as `resmlp-mt quantize` does"
    )
    group = parser.add_argument_group("preparation of the text", "needed if the data folder has no manifest.json")
    group.add_argument("--tokenizer", choices=TOKENIZERS, help="tokenizer applied before sentencepiece")
    group.add_argument("--normalize-punctuation", action="store_true", help="normalise punctuation as Moses does")
    group.add_argument("--lowercase", action="store_true", help="convert the text to lower case")


def run(args: argparse.Namespace) -> int:
    """Writes the bundle."""
    if not args.data.is_dir():
        raise ResMLPError(f"the folder {args.data} of --data does not exist; check the name")
    inputs = {"CHECKPOINT": args.checkpoint, "--data": data_files(args.data)}
    files.check_outputs({"--out": bundle_files(args.out)}, inputs)
    given = args.tokenizer or args.normalize_punctuation or args.lowercase
    text = TextSettings(args.tokenizer or "none", args.normalize_punctuation, args.lowercase) if given else None
    decoding = SearchSettings(
        beam_size=args.beam, length_penalty=args.lenpen, max_len_a=args.max_len_a, max_len_b=args.max_len_b
    )
    quantization = INT8 if args.int8 else NONE
    bundle_checkpoint(args.checkpoint, args.data, args.out, decoding, args.licence, args.note, text, quantization)
    print(f"{args.out}: try `echo ... | resmlp-mt translate {args.out}`")
    return 0
