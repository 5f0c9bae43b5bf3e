"""`resmlp-mt data-report DIR`: draws a prepared data set on one HTML page."""

from __future__ import annotations

import argparse
from pathlib import Path

from resmlp_mt.common import files
from resmlp_mt.common.data_folder import data_files
from resmlp_mt.common.errors import ResMLPError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the subcommand's arguments."""
    parser.add_argument("folder", type=Path, metavar="DIR", help="a data set that `python -m data_prep` made")
    parser.add_argument("--output", type=Path, metavar="FILE", help="the page (DIR/report.html)")


def run(args: argparse.Namespace) -> int:
    """Writes the page and prints its name.

    Returns:
        The exit status, 0.

    Raises:
        ResMLPError: when the folder holds no data set, or matplotlib is missing.
    """
    inputs = {"DIR": data_files(args.folder)}
    files.check_outputs({"--output": args.output or args.folder / "report.html"}, inputs)
    try:
        from data_prep.report.report import write_report
    except ImportError as error:
        raise ResMLPError(f"data-report needs the package {error.name}; run `pip install {error.name}`") from error
    print(write_report(args.folder, args.output))
    return 0
