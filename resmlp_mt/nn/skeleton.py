"""Modules on the meta device: shapes without memory, to compare with a file before anything is allocated."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

_INITIALISERS = frozenset(
    {nn.init.normal_, nn.init.uniform_, nn.init.kaiming_uniform_, Tensor.normal_, Tensor.uniform_}
)


class _SkipInitialisers(TorchFunctionMode):
    """Skips random initialisation, which has no effect on the meta device.

    There PyTorch would run it through the decompositions of `torch.compile`, whose import takes seconds and 200 MB.
    """

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        named = kwargs or {}
        if func in _INITIALISERS:
            return args[0] if args else named["tensor"]
        return func(*args, **named)


@contextmanager
def without_memory() -> Iterator[None]:
    """Puts parameters and buffers of modules made inside on the meta device, without initial values."""
    with torch.device("meta"), _SkipInitialisers():
        yield
