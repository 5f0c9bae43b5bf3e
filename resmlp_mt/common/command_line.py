"""The argument parser of every command line of this project."""

from __future__ import annotations

import argparse
from typing import NoReturn


class CommandParser(argparse.ArgumentParser):
    """An `ArgumentParser` that reports a usage error in one line that points to `--help`, with exit status 2.

    Its subparsers have the same class.
    """

    def error(self, message: str) -> NoReturn:
        """Reports a usage error and ends the process."""
        self.exit(2, f"{self.prog}: {' '.join(message.split())}; see `{self.prog} --help`\n")
