"""`resmlp-mt vision SUBCOMMAND ...`: runs a subcommand for images."""

from __future__ import annotations

import argparse
import importlib
from collections.abc import Sequence

from resmlp_mt.common.command_line import CommandParser

# subcommand -> summary. The module `resmlp_mt.cli.vision_NAME` has add_arguments(parser) and run(args) -> status,
# and is imported only when its subcommand is used.
SUBCOMMANDS: dict[str, str] = {
    "convert": "convert weights between deit, timm and this toolkit, also to another image size",
    "predict": "classify images",
    "evaluate": "measure the accuracy of a classifier on a labelled data set",
    "knn": "classify by the nearest neighbours of frozen features",
    "linear-probe": "train a linear layer on frozen features",
}


class _LazyParser(CommandParser):
    """The parser of one subcommand; imports the module with its options on first use."""

    def parse_known_args(  # type: ignore[override]  # one signature instead of typeshed's overloads
        self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> tuple[argparse.Namespace, list[str]]:
        """Adds the options of the subcommand and parses the arguments."""
        if self.get_default("run_vision") is None:
            name = self.prog.split()[-1].replace("-", "_")
            module = importlib.import_module(f"resmlp_mt.cli.vision_{name}")
            module.add_arguments(self)
            self.set_defaults(run_vision=module.run)
        return super().parse_known_args(args, namespace)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the subcommands."""
    kinds = parser.add_subparsers(
        dest="vision_subcommand", metavar="SUBCOMMAND", required=True, parser_class=_LazyParser
    )
    for name, summary in SUBCOMMANDS.items():
        kinds.add_parser(name, help=summary, description=summary)


def run(args: argparse.Namespace) -> int:
    """Runs the chosen subcommand."""
    return int(args.run_vision(args))
