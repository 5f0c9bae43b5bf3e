"""Matrix products on a CPU, by whichever of PyTorch's two libraries is faster on the processor.

PyTorch multiplies float32 matrices with Intel's MKL, which uses half the vector width on AMD's processors that have
AVX-512. PyTorch's other library, oneDNN, uses all of it there, to the same accuracy. Anywhere else (GPUs, other types,
Intel's processors, small products, compiled graphs) nothing changes.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

SMALLEST = 2**24  # multiply-adds from which oneDNN's preparation of a new shape, half a millisecond, pays


def _is_amd_with_avx512() -> bool:
    try:
        cpuinfo = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return False
    return "AuthenticAMD" in cpuinfo and torch.backends.cpu.get_cpu_capability() == "AVX512"


ONEDNN_IS_FASTER = (
    torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise") and _is_amd_with_avx512()
)


def transposed_product(a: Tensor, b: Tensor, bias: Tensor | None = None) -> Tensor:
    r"""$a b^\top$ plus a bias: (..., inner) and (columns, inner) to (..., columns). No gradient flows through it.

    Args:
        a, b: of any strides.
        bias: (columns,).
    """
    if not _suits(a, b.size(0)):
        return F.linear(a, b, bias)
    rows = a.reshape(-1, a.size(-1))
    product = _onednn_linear(_pad_rows(rows), b, bias)
    return product[: rows.size(0)].view(*a.shape[:-1], -1)


def product_over_rows(a: Tensor, b: Tensor) -> Tensor:
    r"""$a^\top b$: (rows, m) and (rows, n) to (m, n). No gradient flows through it."""
    if not _suits(a, b.size(1)):
        return a.t() @ b
    return _onednn_linear(_pad_rows(a).t(), _pad_rows(b).t(), None)


def _onednn_linear(a: Tensor, b: Tensor, bias: Tensor | None) -> Tensor:
    return torch.ops.mkldnn._linear_pointwise(a, b, bias, "none", [], "")


def _pad_rows(x: Tensor) -> Tensor:
    """Adds rows of zeros, at most a sixteenth: (rows, dim).

    oneDNN keeps code for every shape that it has multiplied, some of it for ever: a thousand batches, each of another
    size, would take more than a GiB. With these rows there are 16 sizes between one power of two and the next.
    """
    extra = -x.size(0) % (1 << max(0, x.size(0).bit_length() - 5))
    return F.pad(x, (0, 0, 0, extra)) if extra else x


def linear(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """`torch.nn.functional.linear`, with gradients where they are wanted: (..., inner) to (..., columns)."""
    if torch.compiler.is_compiling() or torch.is_autocast_enabled("cpu") or not _suits(x, weight.size(0)):
        return F.linear(x, weight, bias)
    inputs = (x, weight) if bias is None else (x, weight, bias)
    if torch.is_grad_enabled() and any(tensor.requires_grad for tensor in inputs):
        return _Linear.apply(x.reshape(-1, x.size(-1)), weight, bias).view(*x.shape[:-1], -1)
    return transposed_product(x, weight, bias)


def _suits(x: Tensor, columns: int) -> bool:
    """Whether oneDNN is the one to multiply: plain float32 on such a processor, and enough to do."""
    usable = ONEDNN_IS_FASTER and x.device.type == "cpu" and x.dtype == torch.float32
    return usable and x.numel() * columns >= SMALLEST


class _Linear(torch.autograd.Function):
    r"""$y = x W^\top + b$, whose gradients are $\dot y W$, $\dot y^\top x$ and the sum of $\dot y$ over rows."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(x, weight)
        return transposed_product(x, weight, bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        x, weight = ctx.saved_tensors
        wants_x, wants_weight, wants_bias = ctx.needs_input_grad
        return (
            transposed_product(gradient, weight.t()) if wants_x else None,
            product_over_rows(gradient, x) if wants_weight else None,
            gradient.sum(0) if wants_bias else None,
        )
