"""Compares ResMLP classifiers with timm's: the forward pass and a training step.

Both models have the same weights and get the same images (scikit-learn's two photographs, alternating), in turn
(A B A B ...) in one process. This project's model is folded for inference. In bfloat16, inference has weights of that
type and training runs under autocast, for both. A training step is forward, cross-entropy, backward, and a step of SGD
with momentum. "bare" is the part that no implementation can avoid: the matmuls of the step at these sizes, and the
optimizer's step. Prints a table and writes JSON:

    python scripts/benchmarks/vision.py --output results/vision.json
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import torch
import torch.nn.functional as F
from PIL import Image
from sklearn.datasets import load_sample_images
from torch import nn

from resmlp_mt.common.allocator import keep_freed_memory
from resmlp_mt.common.files import write_json
from resmlp_mt.experiments.measure.machine import MachineWatch
from resmlp_mt.experiments.measure.side_by_side import median_ratio, print_table
from resmlp_mt.nn.kernels.matmul import matmul_nt
from resmlp_mt.vision.data.preprocessing import Preprocessing
from resmlp_mt.vision.model.classifier import ClassifierModel
from resmlp_mt.vision.weights import from_foreign

MODELS = {"S12": "resmlp_12_224", "S24": "resmlp_24_224"}
TYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
MODES = ("forward", "training")
SYSTEMS = ("timm", "resmlp_mt", "bare")
Forward = Callable[[torch.Tensor], torch.Tensor]
WARM_UP = 2  # first calls, which are not measured


def parse_arguments() -> argparse.Namespace:
    """Parses the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", choices=tuple(MODELS), default=tuple(MODELS))
    parser.add_argument("--batches", nargs="+", type=int, default=(1, 16, 64), help="images per batch")
    parser.add_argument("--types", nargs="+", choices=tuple(TYPES), default=tuple(TYPES))
    parser.add_argument("--modes", nargs="+", choices=MODES, default=MODES)
    parser.add_argument("--rounds", type=int, default=7, help="measurements of each system")
    parser.add_argument(
        "--seconds", type=float, default=0.3, help="minimum duration of a measurement, of at least one call"
    )
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--compile", action="store_true", help="use torch.compile for both")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--output", type=Path, default=Path("results/vision.json"))
    return parser.parse_args()


def make_pair(name: str) -> tuple[nn.Module, ClassifierModel]:
    """A timm model with random weights and a noticeable LayerScale, and this project's model with the same weights."""
    import timm

    torch.manual_seed(1)
    theirs = timm.create_model(MODELS[name])
    with torch.no_grad():
        for parameter in theirs.parameters():
            parameter.add_(0.02 * torch.randn_like(parameter))
    settings, parameters = from_foreign(theirs.state_dict())
    ours = ClassifierModel(settings)
    ours.load_state_dict(parameters)
    return theirs, ours


def photographs(count: int) -> torch.Tensor:
    """The two photographs of scikit-learn, alternating, preprocessed as for evaluation: (count, 3, 224, 224)."""
    transform = Preprocessing().evaluation_transform()
    both = [transform(Image.fromarray(pixels)) for pixels in load_sample_images().images]
    return torch.stack([both[index % len(both)] for index in range(count)])


def forward_call(model: Forward, images: torch.Tensor) -> Callable[[], object]:
    """A function that runs a forward pass."""

    def call() -> object:
        with torch.inference_mode():
            return model(images)

    return call


def training_call(
    model: Forward, parameters: Iterable[nn.Parameter], images: torch.Tensor, targets: torch.Tensor, kind: str
) -> Callable[[], object]:
    """A function that runs a training step."""
    optimizer = torch.optim.SGD(parameters, lr=1e-6, momentum=0.9)

    def call() -> object:
        with torch.autocast(images.device.type, dtype=torch.bfloat16, enabled=kind == "bfloat16"):
            loss = F.cross_entropy(model(images).float(), targets)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call] # untyped in torch
        optimizer.step()
        return loss

    return call


def bare_call(model: nn.Module, images: torch.Tensor, kind: str) -> Callable[[], object]:
    """A function that runs the matmuls of a training step of timm's model one by one, and the optimizer's step."""
    products: list[tuple[torch.Tensor, torch.Tensor, torch.Tensor, bool]] = []

    def record(layer: nn.Linear | nn.Conv2d, _inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
        in_dim, out_dim = layer.weight[0].numel(), layer.weight.size(0)
        shapes = (output.numel() // out_dim, in_dim), (out_dim, in_dim), (output.numel() // out_dim, out_dim)
        x, weight, gradient = (torch.randn(shape, device=images.device, dtype=TYPES[kind]) for shape in shapes)
        products.append((x, weight, gradient, isinstance(layer, nn.Linear)))

    layers = [layer for layer in model.modules() if isinstance(layer, nn.Linear | nn.Conv2d)]
    hooks = [layer.register_forward_hook(record) for layer in layers]
    model(images).sum().backward()  # also computes the gradients that the optimizer uses
    for hook in hooks:
        hook.remove()
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-6, momentum=0.9)

    def call() -> object:
        with torch.no_grad():
            for x, weight, gradient, has_input_gradient in products:
                matmul_nt(x, weight)
                matmul_nt(gradient.t(), x.t())
                if has_input_gradient:
                    matmul_nt(gradient, weight.t())
        return optimizer.step()

    return call


def calls_of(arguments: argparse.Namespace, name: str, kind: str, mode: str, batch: int) -> list[Callable[[], object]]:
    """The functions to measure: timm's, this project's, and for training the bare matmuls."""
    images = photographs(batch).to(arguments.device)
    targets = torch.randint(1000, (batch,), device=arguments.device)
    calls = []
    for model in make_pair(name):
        model = model.to(arguments.device)
        if mode == "forward":
            model.eval()
            if isinstance(model, ClassifierModel):
                model.optimize_for_inference()
            model, inputs = model.to(TYPES[kind]), images.to(TYPES[kind])
        compiled: Forward = torch.compile(model) if arguments.compile else model
        calls.append(
            forward_call(compiled, inputs)
            if mode == "forward"
            else training_call(compiled, model.parameters(), images, targets, kind)
        )
    if mode == "training":
        calls.append(bare_call(make_pair(name)[0].to(arguments.device), images, kind))
    return calls


def seconds_of(call: Callable[[], object], min_seconds: float, device: str) -> float:
    """Mean seconds per call, over enough calls to fill `min_seconds`."""

    def wait() -> None:
        if device != "cpu":
            torch.cuda.synchronize()

    count, start = 0, time.perf_counter()
    while count == 0 or time.perf_counter() - start < min_seconds:
        call()
        wait()
        count += 1
    return (time.perf_counter() - start) / count


def measure(arguments: argparse.Namespace, name: str, kind: str, mode: str, batch: int) -> dict[str, list[float]]:
    """Seconds per call of each system in each round."""
    calls = calls_of(arguments, name, kind, mode, batch)
    for call in calls:
        for _ in range(WARM_UP):
            call()
    measured: dict[str, list[float]] = {system: [] for system in SYSTEMS[: len(calls)]}
    for _ in range(arguments.rounds):
        for system, call in zip(measured, calls, strict=True):
            measured[system].append(seconds_of(call, arguments.seconds, arguments.device))
    return measured


def main() -> None:
    """Measures all combinations, prints the table and writes the JSON file."""
    arguments = parse_arguments()
    watch = MachineWatch(arguments.threads)
    torch.set_num_threads(arguments.threads)
    keep_freed_memory()  # for both
    rows, results = [], []
    for mode in arguments.modes:
        for kind in arguments.types:
            for name in arguments.models:
                for batch in arguments.batches:
                    seconds = measure(arguments, name, kind, mode, batch)
                    medians = {system: statistics.median(values) for system, values in seconds.items()}
                    ratio = median_ratio(seconds["timm"], seconds["resmlp_mt"])
                    rates = [batch / medians[system] if system in medians else "" for system in SYSTEMS]
                    rows.append([mode, name, kind, batch, *rates, ratio])
                    results.append({"mode": mode, "model": name, "type": kind, "batch": batch, "seconds": seconds})
                    print(f"{mode} {name} {kind} {batch}: {ratio:.2f}", file=sys.stderr)
    machine = watch.finish()
    header = ["", "model", "type", "images", *(f"{system} images/s" for system in SYSTEMS), "times as fast"]
    print_table(header, rows, machine)
    settings = {name: value for name, value in vars(arguments).items() if name != "output"}
    write_json(arguments.output, {"machine": machine, "settings": settings, "results": results})


if __name__ == "__main__":
    main()
