"""`resmlp-mt SUBCOMMAND ...`: finds the subcommand, runs it, and turns bad input into one line and exit status 2."""

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

# subcommand -> (module of resmlp_mt.cli, what it does). A module has add_arguments(parser) and run(args) -> status.
# Modules are imported only when their subcommand is used, so that none makes another one slow to start.
SUBCOMMANDS: dict[str, tuple[str, str]] = {
    "average": ("average", "average several checkpoints of a training"),
    "bundle": ("bundle", "make a folder that translates raw text from a checkpoint"),
    "doctor": ("doctor", "say what is installed and what does not fit together"),
    "evaluate": ("evaluate", "score translations honestly"),
    "interactive": ("interactive", "translate what is typed at a prompt"),
    "translate": ("translate", "translate text, line by line"),
    "compare": ("compare", "train several systems in the same way and compare them"),
    "sweep": ("sweep", "train a system with many settings and find the best"),
    "data-report": ("data_report", "draw a prepared data set on one HTML page"),
    "inspect": ("inspect", "draw what the mixing matrices of a model have learned"),
    "report": ("report", "draw one or several trainings on one HTML page"),
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
        argv: the words after `resmlp-mt`; those of this process when None.

    Returns:
        The exit status: 0, or 2 after bad input, or 130 after an interrupt.
    """
    threads.spin_briefly(os.environ)  # before torch loads OpenMP
    words = list(sys.argv[1:] if argv is None else argv)
    chosen = next((word for word in words if not word.startswith("-")), None)
    if sys.stderr is None:  # closed; `print` would write to the standard output instead
        sys.stderr = Path(os.devnull).open("w")  # noqa: SIM115
    if sys.stdout is None:
        message = "the standard output must be open, but is closed; send it somewhere, if only to /dev/null"
        print(f"resmlp-mt: {message}", file=sys.stderr)
        return 2
    try:
        args = _parser(chosen).parse_args(words)
        module = importlib.import_module(f"resmlp_mt.cli.{SUBCOMMANDS[args.subcommand][0]}")
        status = int(module.run(args))
        sys.stdout.flush()  # a full disk shows only now
        return status
    except ResMLPError as error:
        print(f"resmlp-mt {chosen}: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:
        # The reader of our output has gone (`| head`): nothing more to say, and nothing to flush at exit.
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
        return f"{error.filename} must be readable and writable, but is not ({reason}); check its name and permissions"
    return f"the standard output must be writable, but is not ({reason}); make room"


def _drop_unwritable_output() -> None:
    """Keeps Python from failing once more, at its end, with what could not be written."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


if __name__ == "__main__":
    sys.exit(main())
