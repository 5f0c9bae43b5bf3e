"""Compares the int8 engine with CTranslate2, the engine that is deployed most, on the sizes that people deploy.

All models have random weights, one vocabulary and outputs of a fixed length, so that all engines take the same number
of steps. The models of CTranslate2 are Transformers. Each measurement runs in a process of its own, the systems in
turn. With --threads N, N batches are translated at the same time, one thread each. Shortlists (in CTranslate2: vmap)
have the same words for both engines: 50 frequent ones and 50 for each source token. CTranslate2 keeps the words of the
previous call if both calls have a vmap, so a call without one comes between; its time is measured alone and subtracted.
CTranslate2 is not a requirement of this project: `pip install ctranslate2`. Prints a table and writes JSON:

    python scripts/benchmarks/engines.py --output results/engines.json
    python scripts/benchmarks/engines.py --shapes base --beam 4 --threads 2
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import random
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from resmlp_mt.common.files import write_json
from resmlp_mt.experiments.measure.machine import MachineWatch
from resmlp_mt.experiments.measure.side_by_side import print_table, run_child

# name -> encoder layers, decoder layers, model dim, FFN dim
SHAPES = {"tiny student": (6, 2, 256, 1536), "base student": (6, 2, 512, 2048), "base": (6, 6, 512, 2048)}
OURS, OURS_LISTED = "resmlp-mt int8", "resmlp-mt int8, shortlist"
RIVAL, RIVAL_LISTED, RIVAL_FLOAT = "CTranslate2 int8", "CTranslate2 int8, vmap", "CTranslate2 float32"
SYSTEMS = (OURS, OURS_LISTED, RIVAL, RIVAL_LISTED, RIVAL_FLOAT)
SPECIAL = 4  # tokens below it are special
FREQUENT, BEST = 50, 50  # words of a shortlist
WARM_UP, REPEATS = 1, 3
PASSED = ("beam", "length", "vocabulary", "threads", "sentences")


def parse_arguments() -> argparse.Namespace:
    """Parses the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shapes", nargs="+", choices=SHAPES, default=["tiny student", "base student"])
    parser.add_argument("--systems", nargs="+", choices=SYSTEMS, default=SYSTEMS)
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 16, 64], help="sentences per batch")
    parser.add_argument("--beam", type=int, default=1)
    parser.add_argument("--length", type=int, default=20, help="tokens of the sources and of the outputs")
    parser.add_argument("--vocabulary", type=int, default=32000)
    parser.add_argument("--sentences", type=int, default=128, help="sentences of a measurement, at least")
    parser.add_argument("--rounds", type=int, default=3, help="processes of each system, shape and batch size")
    parser.add_argument("--threads", type=int, default=1, help="batches at a time, one thread each")
    parser.add_argument("--worker", nargs=3, metavar=("SYSTEM", "SHAPE", "BATCH"), help=argparse.SUPPRESS)
    parser.add_argument("--output", type=Path, default=Path("results/engines.json"))
    return parser.parse_args()


def make_sources(arguments: argparse.Namespace, count: int) -> list[list[int]]:
    """Random sentences without the end of the sentence."""
    generator = random.Random(2)
    return [generator.choices(range(SPECIAL, arguments.vocabulary), k=arguments.length - 1) for _ in range(count)]


def make_lists(vocabulary: int) -> list[list[int]]:
    """Random target words of each source token."""
    generator = random.Random(3)
    return [generator.sample(range(SPECIAL, vocabulary), BEST) for _ in range(vocabulary)]


Translate = Callable[[list[list[list[int]]]], int]  # translates batches at the same time; returns the number of tokens


def prepare_ours(arguments: argparse.Namespace, shape: str, is_listed: bool) -> Translate:
    """Loads the int8 engine."""
    import torch

    from resmlp_mt.translation.engine.native.model import NativeModel
    from resmlp_mt.translation.engine.native.quantization import quantize
    from resmlp_mt.translation.engine.shortlist import Shortlist
    from resmlp_mt.translation.engine.step_model import TranslationModel
    from resmlp_mt.translation.model.build import build_core
    from resmlp_mt.translation.model.config import ModelConfig
    from resmlp_mt.translation.special_tokens import SPECIAL_TOKENS

    encoder_layers, decoder_layers, dim, hidden = SHAPES[shape]
    options = ModelConfig(
        encoder_embed_dim=dim,
        decoder_embed_dim=dim,
        encoder_ffn_embed_dim=hidden,
        decoder_ffn_embed_dim=hidden,
        encoder_layers=encoder_layers,
        decoder_layers=decoder_layers,
        max_source_positions=256,
        max_target_positions=256,
        share_all_embeddings=True,
    )
    sizes = (arguments.vocabulary, arguments.vocabulary)
    torch.manual_seed(1)
    model = TranslationModel(*build_core(options, *sizes)).eval().requires_grad_(False)
    native = NativeModel(options, sizes, quantize({name: value.numpy() for name, value in model.state_dict().items()}))
    shortlist = None
    if is_listed:
        lists = make_lists(arguments.vocabulary)
        lists[SPECIAL_TOKENS.end] = list(range(SPECIAL, SPECIAL + FREQUENT))
        shortlist = Shortlist.from_lists(SPECIAL, BEST, lists)
    limit, pool = arguments.length - 1, ThreadPoolExecutor(arguments.threads)

    def translate(batch: list[list[int]]) -> int:
        sources = [[*source, SPECIAL_TOKENS.end] for source in batch]
        words = shortlist and [shortlist.words_of(source) for source in sources]
        found = native.search(sources, [limit] * len(batch), arguments.beam, min_len=limit, words=words or None)
        return sum(len(hypotheses[0].tokens) for hypotheses in found)

    return lambda batches: sum(pool.map(translate, batches))


def write_ctranslate2(arguments: argparse.Namespace, shape: str, folder: Path, quantization: str | None) -> None:
    """Writes a Transformer with random weights, and its vmap."""
    from ctranslate2.specs import TransformerSpec

    encoder_layers, decoder_layers, dim, hidden = SHAPES[shape]
    random_numbers = np.random.default_rng(1)
    spec = TransformerSpec.from_config((encoder_layers, decoder_layers), 8, pre_norm=False)

    def linear(layer: Any, outputs: int, inputs: int) -> None:
        layer.weight = random_numbers.normal(0, inputs**-0.5, (outputs, inputs)).astype(np.float32)
        layer.bias = np.zeros(outputs, np.float32)

    def norm(layer: Any) -> None:
        layer.gamma, layer.beta = np.ones(dim, np.float32), np.zeros(dim, np.float32)

    table = random_numbers.normal(0, dim**-0.5, (arguments.vocabulary, dim)).astype(np.float32)
    for side in (spec.encoder, spec.decoder):
        embeddings = side.embeddings[0] if isinstance(side.embeddings, list) else side.embeddings
        embeddings.weight, side.scale_embeddings = table, True
        for layer in side.layer:
            norm(layer.self_attention.layer_norm)
            linear(layer.self_attention.linear[0], 3 * dim, dim)
            linear(layer.self_attention.linear[1], dim, dim)
            if hasattr(layer, "attention"):
                norm(layer.attention.layer_norm)
                for index, outputs in enumerate((dim, 2 * dim, dim)):
                    linear(layer.attention.linear[index], outputs, dim)
            norm(layer.ffn.layer_norm)
            linear(layer.ffn.linear_0, hidden, dim)
            linear(layer.ffn.linear_1, dim, hidden)
    spec.decoder.projection.weight = table
    spec.decoder.projection.bias = np.zeros(arguments.vocabulary, np.float32)
    symbols = ["<blank>", "<unk>", "<s>", "</s>", *(f"t{token}" for token in range(SPECIAL, arguments.vocabulary))]
    spec.register_source_vocabulary(symbols)
    spec.register_target_vocabulary(symbols)
    spec.config.add_source_eos = False
    lines = ["\t" + " ".join(symbols[SPECIAL : SPECIAL + FREQUENT])]
    for token, words in enumerate(make_lists(arguments.vocabulary)[SPECIAL:], SPECIAL):
        lines.append(f"t{token}\t" + " ".join(f"t{word}" for word in words))
    vocabulary_map = folder.with_name("vmap.txt")
    vocabulary_map.write_text("\n".join(lines) + "\n", encoding="utf-8")
    spec.register_vocabulary_mapping(str(vocabulary_map))
    spec.validate()
    spec.optimize(quantization=quantization)
    folder.mkdir()
    spec.save(str(folder))


def prepare_ctranslate2(
    arguments: argparse.Namespace, shape: str, quantization: str | None, is_listed: bool
) -> tuple[Translate, Translate]:
    """Loads CTranslate2; the second function makes only the calls that separate those with a vmap."""
    import ctranslate2

    with tempfile.TemporaryDirectory() as folder:
        write_ctranslate2(arguments, shape, Path(folder) / "model", quantization)
        translator = ctranslate2.Translator(
            str(Path(folder) / "model"), device="cpu", inter_threads=arguments.threads, intra_threads=1
        )

    def start(batch: list[list[int]]) -> list[Any]:
        sources = [[*(f"t{token}" for token in source), "</s>"] for source in batch]
        options = {"min_decoding_length": arguments.length, "max_decoding_length": arguments.length}
        options |= {"beam_size": arguments.beam, "max_batch_size": 0, "use_vmap": is_listed}
        results: list[Any] = translator.translate_batch(sources, asynchronous=True, **options)
        return results

    def separate(batches: list[list[list[int]]]) -> int:
        if is_listed:
            for batch in batches:
                translator.translate_batch([[f"t{batch[0][0]}", "</s>"]], max_decoding_length=1, beam_size=1)
        return 0

    def translate(batches: list[list[list[int]]]) -> int:
        separate(batches)
        return sum(len(r.result().hypotheses[0]) for results in [start(b) for b in batches] for r in results)

    return translate, separate


def work(arguments: argparse.Namespace) -> None:
    """Measures one system, shape and batch size; prints milliseconds per sentence and the peak memory as JSON."""
    system, shape, batch = arguments.worker[0], arguments.worker[1], int(arguments.worker[2])
    separate: Translate = lambda _batches: 0  # noqa: E731
    if system in (OURS, OURS_LISTED):
        translate = prepare_ours(arguments, shape, system == OURS_LISTED)
    else:
        quantization = None if system == RIVAL_FLOAT else "int8"
        translate, separate = prepare_ctranslate2(arguments, shape, quantization, system == RIVAL_LISTED)
    calls = max(3, arguments.sentences // (batch * arguments.threads))
    sources = make_sources(arguments, calls * batch * arguments.threads)
    batches = [sources[start : start + batch] for start in range(0, len(sources), batch)]
    groups = [batches[start : start + arguments.threads] for start in range(0, len(batches), arguments.threads)]

    def seconds(function: Translate) -> float:
        start = time.perf_counter()
        for group in groups:
            function(group)
        return time.perf_counter() - start

    tokens = sum(translate(group) for group in groups[:WARM_UP])
    expected = arguments.length * sum(len(b) for group in groups[:WARM_UP] for b in group)
    if tokens != expected:
        raise RuntimeError(f"{system} generated {tokens} tokens instead of {expected}")
    best = min(seconds(translate) for _ in range(REPEATS)) - min(seconds(separate) for _ in range(REPEATS))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"ms": 1000 * best / len(sources), "peak_mib": peak}))


def main() -> None:
    """Runs all systems in turn, prints the table and writes the JSON file."""
    arguments = parse_arguments()
    if arguments.worker:
        work(arguments)
        return
    has_rival = importlib.util.find_spec("ctranslate2") is not None
    systems = [name for name in arguments.systems if has_rival or name in (OURS, OURS_LISTED)]
    if len(systems) < len(arguments.systems):
        print("ctranslate2 is not installed, so only resmlp-mt is measured", file=sys.stderr)
    watch = MachineWatch(arguments.threads)
    passed = [f"--{name}={getattr(arguments, name)}" for name in PASSED]
    rows, results = [], []
    for shape in arguments.shapes:
        runs: dict[tuple[str, int], list[dict[str, float]]] = {(s, b): [] for s in systems for b in arguments.batches}
        for _ in range(arguments.rounds):
            for system, batch in runs:
                output, _ = run_child([__file__, *passed, "--worker", system, shape, str(batch)], arguments.threads)
                runs[system, batch].append(json.loads(output.splitlines()[-1]))
        for system in systems:
            times = [statistics.median(run["ms"] for run in runs[system, batch]) for batch in arguments.batches]
            rows.append([shape, system, *times])
            of_system = {str(batch): runs[system, batch] for batch in arguments.batches}
            results.append({"shape": shape, "system": system, "runs": of_system})
        print(f"{shape} done", file=sys.stderr)
    machine = watch.finish()
    if has_rival:
        machine["ctranslate2"] = version("ctranslate2")
    print_table(["shape", "system", *(f"batch {batch}, ms/sentence" for batch in arguments.batches)], rows, machine)
    settings = {name: getattr(arguments, name) for name in (*PASSED, "rounds")}
    write_json(arguments.output, {"machine": machine, "settings": settings, "results": results})


if __name__ == "__main__":
    main()
