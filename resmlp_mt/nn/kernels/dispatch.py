"""Which library computes a matmul: the only place that looks at the processor.

PyTorch multiplies float32 matrices with Intel's MKL, which uses half the vector width of AMD processors with AVX-512.
PyTorch's other library, oneDNN, uses the full width there, with the same accuracy. oneDNN can also keep the weights of
an inference model in a blocked layout of its own, on any x86 processor. In all other cases (GPUs, other types, Intel's
processors, small matmuls, compiled graphs) PyTorch decides.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

SMALLEST_MATMUL = 2**24  # multiply-adds from which oneDNN's set-up of a new shape, half a millisecond, pays


def _is_amd_with_avx512() -> bool:
    try:
        cpuinfo = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return False
    return "AuthenticAMD" in cpuinfo and torch.backends.cpu.get_cpu_capability() == "AVX512"


def _has_onednn(*operators: str) -> bool:
    return torch.backends.mkldnn.is_available() and all(hasattr(torch.ops.mkldnn, name) for name in operators)


ONEDNN_IS_FASTER = _has_onednn("_linear_pointwise") and _is_amd_with_avx512()
CAN_PACK = _has_onednn("_reorder_linear_weight", "_linear_pointwise")
PACKABLE_DTYPES = (
    (torch.float32, torch.bfloat16) if CAN_PACK and torch.ops.mkldnn._is_mkldnn_bf16_supported() else (torch.float32,)
)


def prefers_onednn(x: Tensor) -> bool:
    """Whether oneDNN is the faster library for x: plain float32 on a processor where it is."""
    return ONEDNN_IS_FASTER and x.device.type == "cpu" and x.dtype == torch.float32


def prefers_onednn_for(x: Tensor, out_features: int) -> bool:
    """Whether oneDNN is also faster for a matmul of this size, whose shape may be new to it.

    Args:
        x: the left factor, (..., inner).
        out_features: columns of the right factor.
    """
    return prefers_onednn(x) and x.numel() * out_features >= SMALLEST_MATMUL


def is_rewritten() -> bool:
    """Whether PyTorch rewrites the operations, by `torch.compile` or autocast; a fixed library would prevent that."""
    return torch.compiler.is_compiling() or torch.is_autocast_enabled("cpu")


def can_use_packed(x: Tensor, weight: Tensor) -> bool:
    """Whether oneDNN can multiply x by a packed weight: on a CPU, in a type that it supports, without gradients."""
    usable = CAN_PACK and x.dtype in PACKABLE_DTYPES and x.dtype == weight.dtype and x.device.type == "cpu"
    return usable and not torch.is_grad_enabled() and not torch.compiler.is_compiling()
