"""`resmlp-mt compare`."""

from __future__ import annotations

import argparse

from resmlp_mt.experiments.compare.command import add_arguments, compare, guarded

__all__ = ["add_arguments", "run"]


def run(args: argparse.Namespace) -> int:
    """Runs the comparison; returns the exit status."""
    return guarded("resmlp-mt compare", compare, args)
