"""`resmlp-mt prepare`: the same as `python -m data_prep`, which parses its own arguments."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from data_prep import command_line


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares nothing: `main` has its own parser."""


def main(args: Sequence[str]) -> int:
    """Prepares a corpus; returns the exit status."""
    return command_line.main(args, prog="resmlp-mt prepare")
