"""`resmlp-mt train DATA`."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from resmlp_mt.experiments.recipes.command import add_arguments
from resmlp_mt.experiments.recipes.command import run as run_recipe

__all__ = ["PASSES_UNKNOWN_ARGUMENTS", "add_arguments", "run"]

PASSES_UNKNOWN_ARGUMENTS = True  # to `run`, as args.rest


def run(args: argparse.Namespace) -> int:
    """Trains and scores; returns the exit status."""
    bin_folder = Path(sys.argv[0]).absolute().parent  # also if its environment is not activated
    if (bin_folder / "fairseq-train").exists():
        os.environ["PATH"] = f"{bin_folder}{os.pathsep}{os.environ.get('PATH', '')}"
    return run_recipe(args, args.rest)
