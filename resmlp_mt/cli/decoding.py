"""Options that several subcommands share: the model, the device, and the search."""

from __future__ import annotations

import argparse
import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from resmlp_mt.common import threads
from resmlp_mt.common.errors import ResMLPError
from resmlp_mt.translation.bundle.format import bundle_files
from resmlp_mt.translation.engine.batching import BatchLimits
from resmlp_mt.translation.planning import TOO_LONG
from resmlp_mt.translation.search.settings import CONSTRAINT_ORDERS, SearchSettings
from resmlp_mt.translation.translator import AUTO, DTYPES, FLOAT32, Translator

# option -> (field of SearchSettings, type, help)
_SEARCH: dict[str, tuple[str, Any, str]] = {
    "--beam": ("beam_size", int, "beam size"),
    "--lenpen": ("length_penalty", float, "length penalty: above 1 favours long translations, below 1 short ones"),
    "--unkpen": ("unknown_penalty", float, "penalty for unknown words"),
    "--min-len": ("min_len", int, "minimum output length in sub-words"),
    "--max-len-a": ("max_len_a", float, "a in the maximum output length a * source length + b, in sub-words"),
    "--max-len-b": ("max_len_b", int, "b in the maximum output length"),
    "--no-repeat-ngram": ("no_repeat_ngram", int, "repeat no n-gram of this length"),
    "--temperature": ("temperature", float, "softmax temperature: the logits are divided by it"),
    "--sampling-topk": ("sampling_topk", int, "sample from the k most probable sub-words"),
    "--sampling-topp": (
        "sampling_topp",
        float,
        "sample from the smallest set of sub-words with this total probability",
    ),
    "--seed": ("seed", int, "random seed for sampling"),
    "--diverse-groups": ("diverse_groups", int, "number of groups for diverse beam search"),
    "--diverse-strength": ("diverse_strength", float, "strength of the diversity penalty"),
    "--sibling-penalty": ("sibling_penalty", float, "penalty for each better continuation of the same beam"),
}


def add_model_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of the model and the device."""
    parser.add_argument("model", type=Path, help="folder of a bundle, see `resmlp-mt bundle`")
    parser.add_argument(
        "--ensemble", type=Path, nargs="+", default=[], metavar="MODEL", help="further bundles for an ensemble"
    )
    parser.add_argument("--device", default="cpu", help="cpu, cuda or cuda:N (default: cpu)")
    parser.add_argument(
        "--dtype",
        choices=DTYPES,
        default=AUTO,
        help="data type of the model (default: auto, which is int8 for a quantized bundle on a CPU, else float32)",
    )
    parser.add_argument(
        "--shortlist",
        type=Path,
        metavar="FILE",
        help="limit the target sub-words of each sentence, for speed in int8; see `resmlp-mt shortlist`",
    )
    parser.add_argument("--workers", type=int, metavar="N", help="batches in parallel (default: one per CPU)")
    parser.add_argument(
        "--threads",
        type=int,
        metavar="N",
        help="translate one batch at a time with this number of threads (default: see --workers)",
    )
    parser.add_argument(
        "--batch-size", type=int, default=64, help="maximum number of sentences in a batch (default: 64)"
    )
    parser.add_argument(
        "--batch-memory",
        type=int,
        default=1024,
        metavar="MB",
        help="memory limit for a batch; each worker has one batch (default: 1024)",
    )


def model_inputs(args: argparse.Namespace) -> dict[str, list[Path]]:
    """The files of the models of `add_model_arguments`, for `files.check_outputs`."""
    further = [file for folder in args.ensemble for file in bundle_files(folder)]
    return {
        "MODEL": bundle_files(args.model),
        "--ensemble": further,
        "--shortlist": [args.shortlist] if args.shortlist else [],
    }


def add_search_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of the search; their defaults are the bundle's."""
    group = parser.add_argument_group("search", "defaults are those of the model's config.json")
    for option, (name, kind, text) in _SEARCH.items():
        group.add_argument(option, dest=name, type=kind, help=text)
    group.add_argument("--sampling", action="store_true", default=None, help="sample translations instead of searching")
    group.add_argument(
        "--constraints", choices=CONSTRAINT_ORDERS, help="require the phrases after tabs, in this order or in any order"
    )
    group.add_argument(
        "--too-long",
        choices=TOO_LONG,
        default="split",
        help="how to handle lines that are too long for the model (default: split)",
    )


def load_translator(args: argparse.Namespace, line_by_line: bool = False) -> Translator:
    """Loads the model of `add_model_arguments`.

    Args:
        args: the parsed options.
        line_by_line: lines are translated one at a time, so idle CPUs share the work of each.

    Raises:
        ResMLPError: when an option is out of range or the model cannot be read.
    """
    import torch

    from resmlp_mt.common.allocator import keep_freed_memory

    load = threads.LoadOfOthers()
    workers = _workers(args)
    keep_freed_memory(shared=workers > 1)
    chosen = args.threads or threads.chosen_by_user(os.environ)
    torch.set_num_threads(chosen or 1)
    translator = Translator.from_pretrained(
        args.model,
        *args.ensemble,
        device=args.device,
        dtype=args.dtype,
        limits=BatchLimits(args.batch_size, args.batch_memory),
        workers=workers,
        shortlist=args.shortlist,
    )
    if args.dtype == AUTO and translator.dtype != FLOAT32:
        print(f"computing in {translator.dtype}", file=sys.stderr)
    if line_by_line and not chosen:
        most = threads.for_step(translator.weights_per_step, threads.usable_cpus())
        translator.threads_by_load = threads.ThreadsByLoad(most, load)
    return translator


def _workers(args: argparse.Namespace) -> int:
    for option, count in (("--threads", args.threads), ("--workers", args.workers)):
        threads.require_count(option, count)
    if (args.threads or 1) > 1 and (args.workers or 1) > 1:
        raise ResMLPError(f"--threads must be 1 with several --workers, not {args.threads}; leave one of the two out")
    one_cpu_or_device = args.threads or threads.chosen_by_user(os.environ) or args.device != "cpu"
    return args.workers or (1 if one_cpu_or_device else threads.default_workers(threads.usable_cpus()))


def search_settings(args: argparse.Namespace, defaults: SearchSettings, nbest: int = 1) -> SearchSettings:
    """The settings of `add_search_arguments`."""
    names = [name for name, _, _ in _SEARCH.values()]
    given = {name: getattr(args, name) for name in (*names, "sampling") if getattr(args, name) is not None}
    if args.constraints:
        given["constraint_order"] = args.constraints
    beam_size = given.get("beam_size", max(defaults.beam_size, nbest))
    return replace(defaults, **{**given, "beam_size": beam_size, "nbest": nbest})
