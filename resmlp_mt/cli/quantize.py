"""`resmlp-mt quantize`: makes a bundle with int8 weights, a quarter of the size, for the fast engine on CPUs."""

from __future__ import annotations

import argparse
from pathlib import Path

from resmlp_mt.common import files
from resmlp_mt.translation.bundle.format import PARAMETERS, bundle_files
from resmlp_mt.translation.bundle.packaging import quantize_bundle


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of this subcommand."""
    parser.add_argument("model", type=Path, help="folder of a bundle, see `resmlp-mt bundle`")
    parser.add_argument("--out", type=Path, required=True, help="output folder")


def run(args: argparse.Namespace) -> int:
    """Writes the quantized bundle."""
    files.check_outputs({"--out": bundle_files(args.out)}, {"MODEL": bundle_files(args.model)})
    quantize_bundle(args.model, args.out)
    before, after = ((folder / PARAMETERS).stat().st_size / 1e6 for folder in (args.model, args.out))
    print(f"{args.out}: {after:.1f} MB instead of {before:.1f} MB; try `echo ... | resmlp-mt translate {args.out}`")
    return 0
