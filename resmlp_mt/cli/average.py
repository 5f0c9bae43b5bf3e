"""`resmlp-mt average`: averages checkpoints of one training run."""

from __future__ import annotations

import argparse
from pathlib import Path

from resmlp_mt.common import files
from resmlp_mt.common.errors import ResMLPError
from resmlp_mt.common.tensor_files import write_checkpoint
from resmlp_mt.translation.bundle.checkpoint_import import average_checkpoints, best_checkpoints, last_checkpoints


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of this subcommand."""
    parser.add_argument("checkpoints", type=Path, nargs="+", help="checkpoints, or one folder with --last or --best")
    parser.add_argument("--out", type=Path, required=True, help="output file")
    group = parser.add_mutually_exclusive_group()
    group.add_argument("--last", type=int, metavar="N", help="the last N numbered checkpoints of the folder")
    group.add_argument("--best", type=int, metavar="N", help="the N checkpoints with the best validation score")


def run(args: argparse.Namespace) -> int:
    """Writes the averaged checkpoint."""
    paths = args.checkpoints
    if args.last is not None or args.best is not None:
        count = args.last if args.last is not None else args.best
        if len(paths) != 1:
            raise ResMLPError(f"--last and --best take one folder, but {len(paths)} paths were given")
        if count < 1:
            raise ResMLPError(f"the number of checkpoints must be at least 1, but is {count}")
        paths = last_checkpoints(paths[0], count) if args.last is not None else best_checkpoints(paths[0], count)
    files.check_outputs({"--out": args.out}, {"CHECKPOINTS": paths})
    content = average_checkpoints(paths)
    write_checkpoint(args.out, content)
    print(f"{args.out}: the average of {', '.join(path.name for path in paths)}")
    return 0
