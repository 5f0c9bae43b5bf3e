"""Measures the peak speed of large matmuls with PyTorch, in GFLOP/s; a multiply-add is two operations.

    python -m resmlp_mt.experiments.measure.peak --threads 2 --seconds 1

prints JSON such as {"float32": {"MKL": 93.1, "oneDNN": 88.0}, ...}.

float32 matmuls are measured with both libraries that PyTorch has on a CPU, each for --seconds. This module imports
nothing of the project. `machine.measure_peak` runs it in another process.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable

import torch
from torch import Tensor

SIZES = (256, 512, 1024, 2048, 4096, 8192)
TYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
Product = Callable[[Tensor, Tensor], Tensor]


def one_dnn(a: Tensor, b: Tensor) -> Tensor:
    """The product by oneDNN, which PyTorch does not use for float32 by default."""
    product: Tensor = torch.ops.mkldnn._linear_pointwise(a, b, None, "none", [], "")
    return product


def libraries(kind: str, device: str) -> dict[str, Product]:
    """The matmul functions for a number type, by library."""
    if device != "cpu" or kind != "float32":
        return {"PyTorch": torch.mm}
    products: dict[str, Product] = {"MKL" if torch.backends.mkl.is_available() else "BLAS": torch.mm}
    if torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise"):
        products["oneDNN"] = one_dnn
    return products


def best_speed(multiply: Product, kind: str, device: str, seconds: float) -> float:
    """The peak speed in GFLOP/s within some seconds. The matrices grow as long as a product takes little time."""
    end, best = time.perf_counter() + seconds, 0.0
    for size in SIZES:
        a, b = (torch.randn(size, size).to(device, TYPES[kind]) for _ in range(2))
        _seconds_of(multiply, a, b)  # warm-up for the new size
        taken = _seconds_of(multiply, a, b)
        best = max(best, 2 * size**3 / taken)
        if 16 * taken > seconds:  # two products of the next size, each 8 times as long
            break
    while time.perf_counter() < end:
        best = max(best, 2 * size**3 / _seconds_of(multiply, a, b))
    return best / 1e9


def _seconds_of(multiply: Product, a: Tensor, b: Tensor) -> float:
    start = time.perf_counter()
    multiply(a, b)
    if a.is_cuda:
        torch.cuda.synchronize()
    return time.perf_counter() - start


def main() -> None:
    """Measures and prints JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument(
        "--seconds", type=float, default=1.0, help="duration of the measurement for each type and library"
    )
    parser.add_argument("--types", nargs="+", choices=tuple(TYPES), default=tuple(TYPES))
    parser.add_argument("--device", default="cpu")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    peak = {
        kind: {
            library: best_speed(multiply, kind, arguments.device, arguments.seconds)
            for library, multiply in libraries(kind, arguments.device).items()
        }
        for kind in arguments.types
    }
    print(json.dumps(peak))


if __name__ == "__main__":
    main()
