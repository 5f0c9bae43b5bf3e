"""Estimates the operations, memory, hours and cost of the WMT14 recipes on a GPU. Nothing is measured.

Operations and activations are counted on the real models, built on the CPU and run on a few sentences: every matmul of
a forward pass, three times for forward and backward together, and every tensor kept for the backward pass. Hours follow
from the GPU's peak and an assumed utilisation. Models of this size reach 10 to 30 percent, so both ends are printed.
Prices are round figures; --price sets others.

    python -m resmlp_mt.experiments.estimate_cost --size wmt_en_de --updates 150000 --output results/cost.json
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks
from torch.utils.flop_counter import FlopCounterMode

from resmlp_mt.common.command_line import CommandParser
from resmlp_mt.common.files import write_json
from resmlp_mt.experiments.measure.side_by_side import print_table
from resmlp_mt.experiments.systems import SYSTEMS, model_options, training_options

UTILIZATIONS = (0.1, 0.3)
_LENGTH = 30  # sub-words per sentence on both sides, near newstest2014's mean with 32,000 pieces
_SENTENCES = 4
_HALF, _SINGLE, _DOUBLE = 2, 4, 8  # bytes per number
_OPTIMIZER_STATES = {"adagrad": 1, "nag": 1, "adam": 2}  # tensors per parameter


def _convolution_operations(
    input_shape: Sequence[int], weight_shape: Sequence[int], *_args: Any, **_options: Any
) -> int:
    """Operations of ConvS2S's convolutions, which torch's counter lacks: (len, batch, in) with (kernel, in, out)."""
    length, batch, _ = input_shape
    kernel, width, out = weight_shape
    return 2 * length * batch * kernel * width * out


_CONVOLUTIONS = {torch.ops.aten.conv_tbc: _convolution_operations}


@dataclass(frozen=True)
class Gpu:
    """A GPU model: peak of dense 16-bit matmuls (TFLOP/s) from its data sheet, and a round price ($ per hour)."""

    peak: float
    price: float


GPUS = {
    "T4": Gpu(65, 0.5),
    "L4": Gpu(121, 0.8),
    "V100": Gpu(125, 2.5),
    "A100": Gpu(312, 2.5),
    "H100": Gpu(989, 4.0),
}


@dataclass(frozen=True)
class Counts:
    """Counts of a model.

    Attributes:
        parameters: number of parameters; shared ones count once.
        operations: floating-point operations per target token (with one source token) of a training step.
        activation_bytes: bytes per target token that the model keeps for the backward pass, in 16 bits.
        output_bytes: bytes per target token of the output: 16-bit logits, 32-bit log-probabilities, and the gradients
            of both.
        state_bytes: bytes of weights, gradients and optimizer: 16 bits to compute with, 32 bits to accumulate in.
    """

    parameters: int
    operations: float
    activation_bytes: float
    output_bytes: int
    state_bytes: int

    def memory(self, tokens: int) -> float:
        """GiB of a training with this many tokens per batch, without CUDA's own memory and fragmentation."""
        return (self.state_bytes + tokens * (self.activation_bytes + self.output_bytes)) / 2**30


def build(system: str, size: str, layers: int, vocabulary: int) -> tuple[nn.Module, str]:
    """Builds a system's model for a vocabulary of made-up words; returns it with the name of its optimizer."""
    # Imported here because importing fairseq is slow and logs; a wrong option must fail before that.
    from resmlp_mt.fairseq_plugin.untrained import build_untrained

    return build_untrained([*model_options(system, size, layers), *training_options(system, size)], vocabulary)


def count(system: str, size: str, layers: int, vocabulary: int) -> Counts:
    """Counts operations and memory on a system's model."""
    torch.manual_seed(1)
    model, optimizer = build(system, size, layers, vocabulary)
    model.double().train()  # in 64 bits torch uses plain matmuls only, which are all counted
    tokens = torch.randint(4, vocabulary, (_SENTENCES, _LENGTH))
    parameter_storage = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}
    kept: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in parameter_storage and tensor.is_floating_point():
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    lengths = torch.full((_SENTENCES,), _LENGTH)
    counter = FlopCounterMode(display=False, custom_mapping=_CONVOLUTIONS)
    with saved_tensors_hooks(keep, lambda saved: saved), counter:
        scores = model(tokens, lengths, tokens)[0]
    parameters = sum(parameter.numel() for parameter in model.parameters())
    targets = scores[..., 0].numel()
    states = 2 * _HALF + _SINGLE * (2 + _OPTIMIZER_STATES[optimizer])
    return Counts(
        parameters=parameters,
        operations=3 * counter.get_total_flops() / targets,
        activation_bytes=sum(kept.values()) / targets * _HALF / _DOUBLE,
        output_bytes=2 * vocabulary * (_HALF + _SINGLE),
        state_bytes=parameters * states,
    )


def hours(operations: float, gpu: Gpu, utilization: float) -> float:
    """Hours of one GPU for this many operations at a share of its peak."""
    return operations / (gpu.peak * 1e12 * utilization) / 3600


def _count(text: str, least: int = 1) -> int:
    """Parses a whole number of at least `least`."""
    number = int(text) if text.isdecimal() and len(text) < 19 else -1
    if number < least:
        raise argparse.ArgumentTypeError(f"must be a whole number from {least} on, but is {text!r}")
    return number


def _vocabulary(text: str) -> int:
    return _count(text, least=100)  # the special tokens, and enough others to draw sentences from


def _prices(parser: argparse.ArgumentParser, given: Sequence[Sequence[str]]) -> dict[str, float]:
    """Dollars per hour of every GPU: the round figures, replaced by those on the command line."""
    prices = {name: gpu.price for name, gpu in GPUS.items()}
    for name, text in given:
        if name not in GPUS:
            parser.error(f"argument --price: GPU must be one of {', '.join(GPUS)}, but is {name!r}")
        try:
            prices[name] = float(text)
        except ValueError:
            prices[name] = math.nan
        if not 0 <= prices[name] < math.inf:
            parser.error(f"argument --price: DOLLARS must be a number from 0 on, but is {text!r}")
    return prices


def parse_arguments(argv: Sequence[str] | None = None) -> tuple[argparse.Namespace, dict[str, float]]:
    """Parses the command line; returns the options and the price of every GPU."""
    parser = CommandParser(
        prog="python -m resmlp_mt.experiments.estimate_cost",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--size",
        choices=("wmt_en_de", "wmt_en_fr"),
        default="wmt_en_de",
        help="size of the models (default: wmt_en_de)",
    )
    parser.add_argument("--updates", type=_count, default=150_000, help="updates of the training (default: 150000)")
    parser.add_argument("--batch", type=_count, default=32_768, help="target tokens per update")
    parser.add_argument("--tokens-per-gpu", type=_count, default=4096, help="target tokens per batch on one GPU")
    parser.add_argument("--vocabulary", type=_vocabulary, default=32_000, help="vocabulary size (default: 32000)")
    parser.add_argument(
        "--price", nargs=2, action="append", default=[], metavar=("GPU", "DOLLARS"), help="price per hour of a GPU"
    )
    parser.add_argument("--output", type=Path, default=Path("results/cost.json"), help="default: results/cost.json")
    args = parser.parse_args(argv)
    return args, _prices(parser, args.price)


def main() -> None:
    """Counts, prints the table and writes the JSON file."""
    args, prices = parse_arguments()
    systems = [(system, 6) for system in SYSTEMS]
    systems.insert(1, ("resmlp", 12))
    counts = {(system, layers): count(system, args.size, layers, args.vocabulary) for system, layers in systems}
    low, high = UTILIZATIONS
    rows = []
    for (system, layers), model in counts.items():
        title = SYSTEMS[system].title + (f"-{layers}" if system == "resmlp" else "")
        total = model.operations * args.batch * args.updates
        row = [title, f"{model.parameters / 1e6:.0f}", f"{model.operations / 1e6:.0f}", f"{total / 1e18:.2f}"]
        row.append(f"{model.memory(args.tokens_per_gpu):.1f}")
        for name, gpu in GPUS.items():
            fast, slow = hours(total, gpu, high), hours(total, gpu, low)
            row.append(f"{fast:.0f} to {slow:.0f} h, ${fast * prices[name]:.0f} to {slow * prices[name]:.0f}")
        rows.append(row)
    header = ["system", "parameters, M", "MFLOP per token", "EFLOP in total", f"GiB at {args.tokens_per_gpu:,} tokens"]
    print(f"Estimated, not measured: {args.updates:,} updates of {args.batch:,} target tokens, {args.size}.\n")
    print_table([*header, *(f"one {name}" for name in GPUS)], rows)
    settings = {name: str(value) for name, value in vars(args).items() if name != "output"}
    results = {f"{system}-{layers}": asdict(model) for (system, layers), model in counts.items()}
    write_json(args.output, {"measured": False, "settings": settings, "counts": results})


if __name__ == "__main__":
    main()
