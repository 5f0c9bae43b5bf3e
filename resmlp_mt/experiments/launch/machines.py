"""The machines of a training: their GPUs, the precision, and the share of the batch that each process gets."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from resmlp_mt.common.errors import ResMLPError

TOKENS_PER_GPU = 4096  # default maximum of target tokens in a batch of one GPU
_BF16_SINCE = (8, 0)  # compute capability of NVIDIA's Ampere, the first with bf16 in hardware
_PORTS = range(1024, 65536)


def precision(capabilities: Sequence[tuple[int, int]]) -> list[str]:
    """The option of `fairseq-train` for the fastest precision that all GPUs support in hardware.

    Args:
        capabilities: compute capability of each GPU; empty for training on a CPU.

    Returns:
        `--bf16` from Ampere on, `--fp16` on older GPUs, nothing (float32) on a CPU.
    """
    if not capabilities:
        return []
    return ["--bf16"] if min(capabilities) >= _BF16_SINCE else ["--fp16"]


def share_batch(batch: int, tokens_per_gpu: int, processes: int) -> tuple[int, int]:
    """Divides the batch of an update among processes and accumulated batches, so that each part fits into memory.

    Args:
        batch: target tokens per update, of all processes together.
        tokens_per_gpu: maximum number of tokens that fit into the memory of one process.
        processes: number of training processes on all machines.

    Returns:
        `--max-tokens` and `--update-freq`. Their product with `processes` is the batch, rounded down to whole tokens
        for each part.

    Raises:
        ResMLPError: when a process would get no token.
    """
    if batch < processes:
        raise ResMLPError(f"a batch of {batch} tokens is too small for {processes} processes; raise it")
    if tokens_per_gpu < 1:
        raise ResMLPError(f"TOKENS_PER_GPU must be at least 1, not {tokens_per_gpu}")
    update_freq = math.ceil(batch / (tokens_per_gpu * processes))
    return batch // (processes * update_freq), update_freq


@dataclass(frozen=True)
class Machines:
    """The machines that a training runs on.

    Attributes:
        capabilities: compute capability of each GPU of this machine.
        nodes: number of machines.
        node_rank: number of this machine, from 0.
        endpoint: HOST:PORT of the rendezvous, on the first machine.
        is_slurm_job: whether Slurm started this process. fairseq then assumes that a single process is one of several.
    """

    capabilities: tuple[tuple[int, int], ...] = ()
    nodes: int = 1
    node_rank: int = 0
    endpoint: str = ""
    is_slurm_job: bool = False

    @property
    def processes_here(self) -> int:
        """Number of training processes on this machine."""
        return max(1, len(self.capabilities))


def find_machines(environment: Mapping[str, str]) -> Machines:
    """Looks for GPUs and reads NODES, NODE_RANK and HEAD.

    Raises:
        ResMLPError: when these are invalid or contradict each other.
    """
    import torch

    nodes, rank = (_number(environment, name, default) for name, default in (("NODES", 1), ("NODE_RANK", 0)))
    endpoint = environment.get("HEAD", "")
    if nodes < 1:
        raise ResMLPError(f"NODES must be at least 1, not {nodes}")
    if not 0 <= rank < nodes:
        raise ResMLPError(f"NODE_RANK must be between 0 and {nodes - 1} with NODES={nodes}, not {rank}")
    host, _, port = endpoint.rpartition(":")
    if nodes > 1 and not (host and port.isdigit() and int(port) in _PORTS):
        raise ResMLPError(
            f"HEAD must be the rendezvous endpoint HOST:PORT on the first machine, for instance HEAD=host:29500, "
            f"not {endpoint!r}"
        )
    capabilities = tuple(torch.cuda.get_device_capability(index) for index in range(torch.cuda.device_count()))
    return Machines(capabilities, nodes, rank, endpoint, "SLURM_JOB_ID" in environment)


def _number(environment: Mapping[str, str], name: str, default: int) -> int:
    text = environment.get(name) or str(default)
    if not text.isdigit():
        raise ResMLPError(f"{name} must be a whole number, not {text!r}")
    return int(text)
