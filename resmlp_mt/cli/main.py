"""`resmlp-mt SUBCOMMAND ...`: runs a subcommand and reports bad input in one line, with exit status 2."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from resmlp_mt.common import threads
from resmlp_mt.common.command_line import CommandParser
from resmlp_mt.common.errors import ResMLPError
from resmlp_mt.common.version import __version__

# subcommand -> (module of resmlp_mt.cli, summary). A module has add_arguments(parser) and run(args) -> status. It is
# imported only when its subcommand is used, so that the others start fast.
SUBCOMMANDS: dict[str, tuple[str, str]] = {
    "prepare": ("prepare", "prepare parallel text for training; same as `python -m data_prep`"),
    "train": ("train", "train and score a model on prepared data or from a recipe"),
    "average": ("average", "average several checkpoints of a training run"),
    "bundle": ("bundle", "package a checkpoint as a folder that translates raw text"),
    "quantize": ("quantize", "make a bundle with int8 weights, for fast translation on CPUs"),
    "shortlist": ("shortlist", "find the target sub-words for each source sub-word, for speed in int8"),
    "doctor": ("doctor", "check the installation and report problems"),
    "evaluate": ("evaluate", "score the translations of a test set"),
    "interactive": ("interactive", "translate interactively at a prompt"),
    "translate": ("translate", "translate text, line by line"),
    "compare": ("compare", "train several systems in the same way and compare them"),
    "sweep": ("sweep", "train a system with many settings and find the best"),
    "data-report": ("data_report", "write an HTML report of a prepared data set"),
    "inspect": ("inspect", "draw and measure the mixing matrices of a model"),
    "report": ("report", "write an HTML report of one or several training runs"),
    "vision": ("vision", "classify images: convert, predict, evaluate, probe"),
}


def _parser(chosen: str | None) -> argparse.ArgumentParser:
    parser = CommandParser(prog="resmlp-mt", description="Attention-free ResMLP translation.")
    parser.add_argument("--version", action="version", version=f"resmlp-mt {__version__}")
    subparsers = parser.add_subparsers(dest="subcommand", metavar="SUBCOMMAND", required=True)
    for name, (module, summary) in SUBCOMMANDS.items():
        subparser = subparsers.add_parser(name, help=summary, description=summary)
        if name == chosen:
            importlib.import_module(f"resmlp_mt.cli.{module}").add_arguments(subparser)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one subcommand.

    Args:
        argv: the arguments; by default those of this process.

    Returns:
        The exit status: 0, or 2 after bad input, or 130 after an interrupt.
    """
    threads.spin_briefly(os.environ)  # before torch loads OpenMP
    given = list(sys.argv[1:] if argv is None else argv)
    chosen = next((arg for arg in given if not arg.startswith("-")), None)
    if sys.stderr is None:  # closed; `print` would write to the standard output instead
        sys.stderr = Path(os.devnull).open("w")  # noqa: SIM115
    if sys.stdout is None:
        message = "the standard output is closed; redirect it, if only to /dev/null"
        print(f"resmlp-mt: {message}", file=sys.stderr)
        return 2
    try:
        if given[:1] == ["prepare"]:
            return int(importlib.import_module("resmlp_mt.cli.prepare").main(given[1:]))
        parser = _parser(chosen)
        args, rest = parser.parse_known_args(given)
        args.rest = rest
        module = importlib.import_module(f"resmlp_mt.cli.{SUBCOMMANDS[args.subcommand][0]}")
        if rest and not getattr(module, "PASSES_UNKNOWN_ARGUMENTS", False):
            parser.error(f"unrecognized arguments: {' '.join(rest)}")
        status = int(module.run(args))
        sys.stdout.flush()  # a full disk may raise an error only here
        return status
    except ResMLPError as error:
        print(f"resmlp-mt {chosen}: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:
        # The reader of our output has closed it (`| head`): nothing is left to write, or to flush at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        print(f"resmlp-mt {chosen}: {_describe(error)}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"resmlp-mt {chosen}: interrupted", file=sys.stderr)
        return 130
    finally:
        _drop_unwritable_output()


def _describe(error: OSError) -> str:
    reason = error.strerror or error
    if error.filename is not None:
        return f"cannot read or write {error.filename} ({reason}); check its name and permissions"
    return f"cannot write to the standard output ({reason})"


def _drop_unwritable_output() -> None:
    """Keeps Python from failing again at exit, when it flushes output that cannot be written."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


if __name__ == "__main__":
    sys.exit(main())
