"""Compares this project's translator with fairseq-generate and a Transformer, both of the WMT size.

Both models have random weights, model dim 512, FFN dim 2048, 6+6 layers and one vocabulary. Their outputs have a fixed
length, so that both run the same number of steps. The systems run in separate processes, in turn (A B A B ...). The
time is that of the search of a batch, as fairseq-generate measures it. Prints a table and writes JSON:

    python scripts/benchmarks/translate.py --output results/translate.json
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

from generation import build_model, search_parser

from resmlp_mt.common.files import write_json
from resmlp_mt.experiments.measure.machine import MachineWatch
from resmlp_mt.experiments.measure.side_by_side import median_ratio, print_table, run_child

SYSTEMS = ("resmlp-mt", "fairseq-generate")
EOS = 2
PASSED = ("beam", "source-length", "target-length", "vocabulary", "threads", "device", "dtype")


def parse_arguments() -> argparse.Namespace:
    """Parses the command line."""
    parser = search_parser(__doc__)
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument(
        "--dtype",
        default="float32",
        help="float32, bfloat16, or int8, which is for resmlp-mt only; fairseq then has float32",
    )
    parser.add_argument("--output", type=Path, default=Path("results/translate.json"))
    return parser.parse_args()


def make_sources(arguments: argparse.Namespace, batch: int) -> list[list[int]]:
    """Random sentences with lengths from three quarters of the longest to the longest."""
    generator = random.Random(2)
    longest = arguments.source_length
    lengths = [longest - row % (longest // 4 + 1) for row in range(batch)]
    return [[*generator.choices(range(4, arguments.vocabulary), k=length - 1), EOS] for length in lengths]


def prepare_ours(arguments: argparse.Namespace, sources: list[list[int]]) -> Callable[[], int]:
    """Prepares this project's search of a batch; the function returns the number of generated tokens."""
    import torch

    from resmlp_mt.common.allocator import keep_freed_memory
    from resmlp_mt.translation.backends import NativeBackend, TorchBackend
    from resmlp_mt.translation.engine.native.model import NativeModel
    from resmlp_mt.translation.engine.native.quantization import quantize
    from resmlp_mt.translation.engine.step_model import TranslationModel
    from resmlp_mt.translation.model.architectures import ARCHITECTURES
    from resmlp_mt.translation.model.build import build_core
    from resmlp_mt.translation.model.config import ModelConfig
    from resmlp_mt.translation.search.beam_search import Source
    from resmlp_mt.translation.search.settings import SearchSettings

    keep_freed_memory()
    torch.manual_seed(1)
    options = ModelConfig(**{**ARCHITECTURES["resmlp_wmt_en_de"], "share_all_embeddings": True})
    sizes = (arguments.vocabulary, arguments.vocabulary)
    model = TranslationModel(*build_core(options, *sizes)).eval().requires_grad_(False)
    backend: NativeBackend | TorchBackend
    if arguments.dtype == "int8":
        parameters = quantize({name: value.numpy() for name, value in model.state_dict().items()})
        backend = NativeBackend([NativeModel(options, sizes, parameters)])
    else:
        backend = TorchBackend([model], arguments.device, getattr(torch, arguments.dtype))
    length = arguments.target_length - 1
    settings = SearchSettings(beam_size=arguments.beam, min_len=length, max_len_b=length)
    batch = [Source(tokens) for tokens in sources]
    return lambda: sum(len(hypotheses[0].tokens) for hypotheses in backend.search(batch, settings, None))


def prepare_fairseq(arguments: argparse.Namespace, sources: list[list[int]]) -> Callable[[], int]:
    """Prepares the search of a batch as fairseq-generate does; the function returns the number of generated tokens."""
    import torch
    from fairseq.sequence_generator import SequenceGenerator

    task, model = build_model("transformer_wmt_en_de", arguments.vocabulary)
    dtype = "float32" if arguments.dtype == "int8" else arguments.dtype
    model.to(device=arguments.device, dtype=getattr(torch, dtype))
    length = arguments.target_length - 1
    generator = SequenceGenerator(
        [model], task.target_dictionary, beam_size=arguments.beam, min_len=length, max_len_b=length
    )
    tokens = torch.full((len(sources), max(map(len, sources))), task.source_dictionary.pad())
    for row, source in zip(tokens, sources, strict=True):
        row[-len(source) :] = torch.tensor(source)
    tokens = tokens.to(arguments.device)
    lengths = tokens.ne(task.source_dictionary.pad()).sum(1)
    sample = {"net_input": {"src_tokens": tokens, "src_lengths": lengths}}
    return lambda: sum(len(hypotheses[0]["tokens"]) for hypotheses in generator.generate([model], sample))


def work(arguments: argparse.Namespace) -> None:
    """Runs one system at one batch size and prints its tokens per second as JSON."""
    import torch

    torch.set_num_threads(arguments.threads)
    system, batch = arguments.worker[0], int(arguments.worker[1])
    prepare = prepare_ours if system == "resmlp-mt" else prepare_fairseq
    translate = prepare(arguments, make_sources(arguments, batch))
    translate()  # warms up
    seconds = []
    for _ in range(2):
        start = time.perf_counter()
        tokens = translate()  # the result is on the CPU, so a GPU has finished
        seconds.append(time.perf_counter() - start)
    print(json.dumps({"tokens_per_second": tokens / min(seconds)}))


def measure(arguments: argparse.Namespace, system: str, batch: int) -> float:
    """Runs one system in another process; returns its tokens per second."""
    passed = [f"--{name}={getattr(arguments, name.replace('-', '_'))}" for name in PASSED]
    output, _ = run_child([__file__, *passed, "--worker", system, str(batch)], arguments.threads)
    return float(json.loads(output.splitlines()[-1])["tokens_per_second"])


def main() -> None:
    """Runs both systems in turn, prints the table and writes the JSON file."""
    arguments = parse_arguments()
    if arguments.worker:
        work(arguments)
        return
    watch = MachineWatch(arguments.threads, uses_gpu=arguments.device != "cpu")
    rows, results = [], []
    for batch in arguments.batches:
        speeds: dict[str, list[float]] = {system: [] for system in SYSTEMS}
        for _ in range(arguments.rounds):
            for system in SYSTEMS:
                speeds[system].append(measure(arguments, system, batch))
        ratio = median_ratio(*(speeds[system] for system in SYSTEMS))
        rows.append([batch, *(statistics.median(speeds[system]) for system in SYSTEMS), ratio])
        results.append({"batch": batch, "tokens_per_second": speeds, "ratio": ratio})
        print(f"batch {batch} done", file=sys.stderr)
    machine = watch.finish()
    print_table(["batch", *(f"{system}, tokens/s" for system in SYSTEMS), "ratio"], rows, machine)
    settings = {name: getattr(arguments, name.replace("-", "_")) for name in (*PASSED, "rounds")}
    write_json(arguments.output, {"machine": machine, "settings": settings, "results": results})


if __name__ == "__main__":
    main()
