"""`resmlp-mt doctor`: checks the installation and says how to fix problems."""

from __future__ import annotations

import argparse
from pathlib import Path

from resmlp_mt.common.errors import ResMLPError
from resmlp_mt.translation import doctor
from resmlp_mt.translation.text.lines import read_lines


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of this subcommand."""
    parser.add_argument(
        "--model", type=Path, help="also check that translations of this bundle do not depend on the batch"
    )
    parser.add_argument("--text", type=Path, help="lines to translate for that check")
    parser.add_argument("--lines", type=int, default=200, help="number of lines to translate (default: 200)")
    parser.add_argument("--device", default="cpu", help="cpu, cuda or cuda:N (default: cpu)")
    parser.add_argument("--dtype", default="auto", help="data type of the model, see `resmlp-mt translate --help`")


def run(args: argparse.Namespace) -> int:
    """Prints the findings; the exit status is 1 if there is a problem."""
    if (args.model is None) != (args.text is None):
        raise ResMLPError("--model and --text require each other; give both or neither")
    print(doctor.describe_versions())
    findings = [*doctor.check_installation(), doctor.check_int8_engine(), *doctor.check_threads()]
    if args.model is not None:
        # Imported late: the checks above also work without torch.
        from resmlp_mt.translation.invariance import check_batch_invariance
        from resmlp_mt.translation.translator import Translator

        translator = Translator.from_pretrained(args.model, device=args.device, dtype=args.dtype)
        findings += check_batch_invariance(translator, read_lines(args.text)[: args.lines])
    for finding in findings:
        print(f"{'ok  ' if finding.has_passed else 'FAIL'} {finding.subject:26} {finding.message}")
    return 0 if all(finding.has_passed for finding in findings) else 1
