"""`resmlp-mt sweep`."""

from __future__ import annotations

import argparse

from resmlp_mt.experiments.compare.command import guarded
from resmlp_mt.experiments.sweep import add_arguments, sweep

__all__ = ["add_arguments", "run"]


def run(args: argparse.Namespace) -> int:
    """Runs the sweep; returns the exit status."""
    return guarded("resmlp-mt sweep", sweep, args)
