"""Compares fairseq's own beam search with a ResMLP and with a Transformer of the WMT size.

The systems run in separate processes, in turn (A B A B ...), with random weights and outputs of a fixed length. The
Transformer is unmodified fairseq, without this project loaded. Prints a table and writes JSON:

    python scripts/benchmarks/generation.py --output results/generation.json
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import sys
import time
from pathlib import Path
from typing import Any

from resmlp_mt import register_with_fairseq
from resmlp_mt.common.files import write_json
from resmlp_mt.experiments.measure.machine import MachineWatch
from resmlp_mt.experiments.measure.side_by_side import median_ratio, print_table, run_child

ARCHITECTURES = {"ResMLP-6": "resmlp_wmt_en_de", "Transformer base": "transformer_wmt_en_de"}


def search_parser(description: str | None) -> argparse.ArgumentParser:
    """A parser with the options that the benchmarks of a search share."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 16, 64], help="sentences per batch")
    parser.add_argument("--beam", type=int, default=4)
    parser.add_argument("--source-length", type=int, default=20, help="tokens of the longest source sentence")
    parser.add_argument("--target-length", type=int, default=20, help="generated tokens per sentence")
    parser.add_argument("--vocabulary", type=int, default=32000)
    parser.add_argument("--rounds", type=int, default=5, help="rounds of each system and batch size")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--worker", nargs=2, metavar=("SYSTEM", "BATCH"), help=argparse.SUPPRESS)
    return parser


def parse_arguments() -> argparse.Namespace:
    """Parses the command line."""
    parser = search_parser(__doc__)
    parser.add_argument("--output", type=Path, default=Path("results/generation.json"))
    return parser.parse_args()


def build_model(architecture: str, vocabulary: int) -> tuple[Any, Any]:
    """Builds a fairseq task and model with random weights, prepared for inference as in fairseq-generate."""
    import torch
    from fairseq import options, tasks
    from fairseq.data import Dictionary
    from fairseq.dataclass.utils import convert_namespace_to_omegaconf

    args = ["unused", "--task", "translation", "--arch", architecture, "--share-all-embeddings"]
    if architecture.startswith("resmlp"):
        register_with_fairseq()
    sys.argv = ["bench", *args]
    cfg = convert_namespace_to_omegaconf(options.parse_args_and_arch(options.get_training_parser(), args))
    dictionary = Dictionary()
    for index in range(vocabulary - len(dictionary)):
        dictionary.add_symbol(str(index))
    torch.manual_seed(1)
    task = tasks.TASK_REGISTRY["translation"](cfg.task, dictionary, dictionary)
    model = task.build_model(cfg.model).eval()
    model.prepare_for_inference_(cfg)
    return task, model


def work(arguments: argparse.Namespace) -> None:
    """Runs one system at one batch size and prints its seconds per batch and its memory as JSON."""
    import torch
    from fairseq.sequence_generator import SequenceGenerator

    torch.set_num_threads(arguments.threads)
    architecture, batch = arguments.worker[0], int(arguments.worker[1])
    task, model = build_model(architecture, arguments.vocabulary)
    generator = SequenceGenerator(
        [model],
        task.target_dictionary,
        beam_size=arguments.beam,
        max_len_b=arguments.target_length - 1,
        min_len=arguments.target_length - 1,
    )
    torch.manual_seed(2)
    tokens = torch.randint(4, arguments.vocabulary, (batch, arguments.source_length))
    tokens[:, -1] = task.source_dictionary.eos()
    for row in range(1, batch):  # lengths between three quarters of the longest and the longest
        tokens[row, : row % (arguments.source_length // 4 + 1)] = task.source_dictionary.pad()
    lengths = tokens.ne(task.source_dictionary.pad()).sum(1)
    sample = {"net_input": {"src_tokens": tokens, "src_lengths": lengths}}
    first = {"net_input": {"src_tokens": tokens[:1], "src_lengths": lengths[:1]}}
    generator.generate([model], first)  # one-time allocations do not count as memory of the search
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    seconds, generated = [], 0
    for _ in range(3):  # the first warms up
        start = time.perf_counter()
        hypotheses = generator.generate([model], sample)
        seconds.append(time.perf_counter() - start)
        generated = sum(len(beams[0]["tokens"]) for beams in hypotheses)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(json.dumps({"seconds": min(seconds[1:]), "tokens": generated, "search_kib": peak - before, "peak_kib": peak}))


def measure(arguments: argparse.Namespace, architecture: str, batch: int) -> dict[str, float]:
    """Runs one system in another process; returns its results."""
    passed = [f"--{name}={getattr(arguments, name.replace('-', '_'))}" for name in PASSED]
    output, _ = run_child([__file__, *passed, "--worker", architecture, str(batch)], arguments.threads)
    result: dict[str, float] = json.loads(output.splitlines()[-1])
    return result


PASSED = ("beam", "source-length", "target-length", "vocabulary", "threads")


def main() -> None:
    """Runs all systems in turn, prints the table and writes the JSON file."""
    arguments = parse_arguments()
    if arguments.worker:
        work(arguments)
        return
    watch = MachineWatch(arguments.threads)
    rows, results = [], []
    for batch in arguments.batches:
        runs: dict[str, list[dict[str, float]]] = {name: [] for name in ARCHITECTURES}
        for _ in range(arguments.rounds):
            for name, architecture in ARCHITECTURES.items():
                runs[name].append(measure(arguments, architecture, batch))
        speeds = {name: [run["tokens"] / run["seconds"] for run in measured] for name, measured in runs.items()}
        ours, theirs = (speeds[name] for name in ARCHITECTURES)
        memory = {
            name: statistics.median(run["search_kib"] for run in measured) / 1024 / (batch * arguments.beam)
            for name, measured in runs.items()
        }
        rows.append(
            [batch, *(statistics.median(speeds[name]) for name in ARCHITECTURES), median_ratio(ours, theirs)]
            + [memory[name] for name in ARCHITECTURES]
            + [statistics.median(run["peak_kib"] for run in runs[name]) / 1024 for name in ARCHITECTURES]
        )
        results.append({"batch": batch, "tokens_per_second": speeds, "search_mib_per_beam": memory, "runs": runs})
        print(f"batch {batch} done", file=sys.stderr)
    names = list(ARCHITECTURES)
    header = ["batch", *(f"{name}, tokens/s" for name in names), "ratio"]
    header += [f"{name}, MiB per beam" for name in names] + [f"{name}, peak MiB" for name in names]
    machine = watch.finish()
    print_table(header, rows, machine)
    settings = {name: getattr(arguments, name.replace("-", "_")) for name in (*PASSED, "rounds")}
    write_json(arguments.output, {"machine": machine, "settings": settings, "results": results})


if __name__ == "__main__":
    main()
