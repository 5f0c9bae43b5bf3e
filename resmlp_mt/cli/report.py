"""`resmlp-mt report RUN...`: an HTML report of one or several training runs."""

from __future__ import annotations

import argparse
from pathlib import Path

from resmlp_mt.common.errors import ResMLPError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the subcommand's arguments."""
    parser.add_argument("runs", type=Path, nargs="+", metavar="RUN", help="checkpoint folder or fairseq log")
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("report.html"),
        metavar="FILE",
        help="HTML file to write (default: report.html)",
    )
    parser.add_argument(
        "--names", nargs="+", metavar="NAME", help="names of the runs, in the same order (default: their folders)"
    )


def run(args: argparse.Namespace) -> int:
    """Writes the report and prints its path.

    Returns:
        The exit status, 0.

    Raises:
        ResMLPError: if a RUN contains no training records, or matplotlib is missing.
    """
    try:
        from resmlp_mt.training import report_page
    except ImportError as error:
        raise ResMLPError(f"report requires the package {error.name}; run `pip install {error.name}`") from error
    from resmlp_mt.common import files
    from resmlp_mt.training.history import read_histories, run_files

    files.check_outputs({"--out": args.out}, {"RUN": run_files(args.runs)})
    files.write_text(args.out, report_page.page(read_histories(args.runs, args.names)))
    print(args.out)
    return 0
