"""`resmlp-mt report RUN...`: draws one or several trainings on one HTML page."""

from __future__ import annotations

import argparse
from pathlib import Path

from resmlp_mt.common.errors import ResMLPError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the subcommand's arguments."""
    parser.add_argument("runs", type=Path, nargs="+", metavar="RUN", help="a folder of checkpoints, or a fairseq log")
    parser.add_argument("--out", type=Path, default=Path("report.html"), metavar="FILE", help="the page (report.html)")
    parser.add_argument("--names", nargs="+", metavar="NAME", help="of the runs, in the same order (their folders)")


def run(args: argparse.Namespace) -> int:
    """Writes the page and prints its name.

    Returns:
        The exit status, 0.

    Raises:
        ResMLPError: when a RUN holds no training, or matplotlib is missing.
    """
    try:
        from resmlp_mt.training import report_page
    except ImportError as error:
        raise ResMLPError(f"report needs the package {error.name}; run `pip install {error.name}`") from error
    from resmlp_mt.common import files
    from resmlp_mt.training.history import read_histories, run_files

    files.check_outputs({"--out": args.out}, {"RUN": run_files(args.runs)})
    files.write_text(args.out, report_page.page(read_histories(args.runs, args.names)))
    print(args.out)
    return 0
