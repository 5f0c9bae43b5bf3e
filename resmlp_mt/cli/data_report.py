"""`resmlp-mt data-report DIR`: an HTML report of a prepared data set."""

from __future__ import annotations

import argparse
from pathlib import Path

from resmlp_mt.common import files
from resmlp_mt.common.data_folder import data_files
from resmlp_mt.common.errors import ResMLPError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the subcommand's arguments."""
    parser.add_argument("folder", type=Path, metavar="DIR", help="data set prepared by `python -m data_prep`")
    parser.add_argument("--output", type=Path, metavar="FILE", help="HTML file to write (default: DIR/report.html)")


def run(args: argparse.Namespace) -> int:
    """Writes the report and prints its path.

    Returns:
        The exit status, 0.

    Raises:
        ResMLPError: if the folder contains no data set, or matplotlib is missing.
    """
    inputs = {"DIR": data_files(args.folder)}
    files.check_outputs({"--output": args.output or args.folder / "report.html"}, inputs)
    try:
        from data_prep.report.report import write_report
    except ImportError as error:
        raise ResMLPError(f"data-report requires the package {error.name}; run `pip install {error.name}`") from error
    print(write_report(args.folder, args.output))
    return 0
