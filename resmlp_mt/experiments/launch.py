"""Trains with fairseq on what the machine has: its processor, one GPU, several, or several machines.

    python -m resmlp_mt.experiments.launch --data DATA --run RUN --batch 32768 --tokens-per-gpu 4096 -- OPTIONS...

It chooses the precision, divides the batch, starts `fairseq-train` or torch's `torchrun`, which do the distributing,
writes everything they say to RUN/train.log and some of it to the terminal, and passes a signal to stop on to the
processes that train, so that they can save first. Run again, the training goes on; one that has come to its end is not
begun anew. On several machines run the same on each, with NODES, NODE_RANK (from 0) and HEAD (HOST:PORT of the first)
in the environment. DRY_RUN=1 prints the command.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from resmlp_mt.common import threads
from resmlp_mt.common.allocator import NO_THREAD_CACHE
from resmlp_mt.common.data_folder import training_folders
from resmlp_mt.common.data_manifest import read_manifest
from resmlp_mt.common.errors import ResMLPError, require
from resmlp_mt.common.files import write_text
from resmlp_mt.training.stopping import EXIT_STATUS as STOPPED

_BF16_SINCE = (8, 0)  # compute capability of NVIDIA's Ampere, the first with bf16 in hardware
_PORTS = range(1024, 65536)

# What of fairseq's log the terminal shows.
_SHOWN = (
    (re.compile(r"train_inner \| (epoch \d+: +\d+ / \d+).* (ppl=[\d.]+), (wps=[\d.]+)"), r"  \1  \2  \3"),
    (re.compile(r" valid \| (epoch \d+) .* (ppl [\d.]+) .* (bleu [\d.]+) "), r"  \1: validation \2, \3"),
    (re.compile(r" valid \| (epoch \d+) .* (ppl [\d.]+) "), r"  \1: validation \2"),
    (re.compile(r"\| (early stop since .*)"), r"  \1"),
    (re.compile(r"(fairseq-train: error: .*)"), r"\1"),
    (re.compile(r"^((?:\[rank\d+\]: )?\w*Error: .*)"), r"\1"),
)


def precision(capabilities: Sequence[tuple[int, int]]) -> list[str]:
    """The words of fairseq-train for the fastest arithmetic that all GPUs have in hardware.

    Args:
        capabilities: compute capability of each GPU; none means the processor.

    Returns:
        `--bf16` from Ampere on, `--fp16` on older GPUs, nothing (float32) on the processor.
    """
    if not capabilities:
        return []
    return ["--bf16"] if min(capabilities) >= _BF16_SINCE else ["--fp16"]


def share_batch(batch: int, tokens_per_gpu: int, processes: int) -> tuple[int, int]:
    """Divides a batch so that tokens a process x processes x updates together make it, and every share fits.

    Args:
        batch: target tokens of an update, of all processes together.
        tokens_per_gpu: most tokens that one process has memory for.
        processes: that train together, on all machines.

    Returns:
        `--max-tokens` and `--update-freq`. Their product with `processes` is the batch, less a token for some shares
        where it cannot be divided.
    """
    require(batch >= processes, "the batch", f"at least one token for each of {processes} processes", batch, "raise it")
    require(tokens_per_gpu >= 1, "TOKENS_PER_GPU", "at least 1", tokens_per_gpu, "raise it")
    update_freq = math.ceil(batch / (tokens_per_gpu * processes))
    return batch // (processes * update_freq), update_freq


@dataclass(frozen=True)
class Machines:
    """Where a training runs.

    Attributes:
        capabilities: compute capability of each GPU of this machine.
        nodes: machines.
        node_rank: of this one.
        head: HOST:PORT of the first, where they meet.
        is_slurm_job: fairseq would take a lone process for a part of something larger.
    """

    capabilities: tuple[tuple[int, int], ...] = ()
    nodes: int = 1
    node_rank: int = 0
    head: str = ""
    is_slurm_job: bool = False

    @property
    def processes_here(self) -> int:
        return max(1, len(self.capabilities))


def find_machines(environment: Mapping[str, str]) -> Machines:
    """Looks for GPUs and reads NODES, NODE_RANK and HEAD.

    Raises:
        ResMLPError: when these do not fit together.
    """
    import torch

    nodes, rank = (_number(environment, name, default) for name, default in (("NODES", 1), ("NODE_RANK", 0)))
    head = environment.get("HEAD", "")
    require(nodes >= 1, "NODES", "at least 1", nodes, "change it")
    require(0 <= rank < nodes, "NODE_RANK", f"from 0 to NODES - 1 = {nodes - 1}", rank, "number the machines from 0")
    host, _, port = head.rpartition(":")
    meets = bool(host) and port.isdigit() and int(port) in _PORTS
    require(nodes == 1 or meets, "HEAD", "HOST:PORT of the first machine", repr(head), "set HEAD=host:29500")
    capabilities = tuple(torch.cuda.get_device_capability(index) for index in range(torch.cuda.device_count()))
    return Machines(capabilities, nodes, rank, head, "SLURM_JOB_ID" in environment)


def _number(environment: Mapping[str, str], name: str, default: int) -> int:
    text = environment.get(name) or str(default)
    require(text.isdigit(), name, "a whole number", repr(text), "change it")
    return int(text)


def launcher(machines: Machines) -> list[str]:
    """The command that starts fairseq's training in the processes that a machine can hold."""
    if machines.nodes == 1 and machines.processes_here == 1 and not machines.is_slurm_job:
        return ["fairseq-train"]
    meeting = ["--standalone"]
    if machines.nodes > 1:
        host, _, port = machines.head.rpartition(":")
        meeting = [
            *("--nnodes", str(machines.nodes), "--node-rank", str(machines.node_rank)),
            *("--master-addr", host, "--master-port", port),
        ]
    return ["torchrun", *meeting, "--nproc-per-node", str(machines.processes_here), "-m", "fairseq_cli.train"]


def training_path(data: Path) -> str:
    """What fairseq calls the data: the folder, or all folders of its shards, one of which it reads an epoch."""
    return ":".join(map(str, training_folders(data, read_manifest(data))))


def build_command(args: argparse.Namespace, machines: Machines) -> list[str]:
    """The whole command of a training."""
    processes = machines.nodes * machines.processes_here
    tokens, update_freq = share_batch(args.batch, args.tokens_per_gpu, processes)
    return [
        *launcher(machines),
        training_path(args.data),
        *("--save-dir", str(args.run), "--max-tokens", str(tokens), "--update-freq", str(update_freq)),
        *precision(machines.capabilities),
        *args.words,
    ]


def shown(line: str) -> str | None:
    """What the terminal shows of a line of fairseq's log; None for nothing."""
    for pattern, form in _SHOWN:
        found = pattern.search(line)
        if found:
            return found.expand(form)
    return None


class Training:
    """A running training: keeps its log and passes on signals.

    Args:
        command: to run.
        log: file to append what it says to.
    """

    def __init__(self, command: Sequence[str], log: Path) -> None:
        self.was_stopped = False
        self._log = log.open("a", encoding="utf-8")
        self._process: subprocess.Popen[str] | None = None
        self._is_torchrun = command[0] == "torchrun"
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1):
            signal.signal(number, self._stop)
        environment = {**NO_THREAD_CACHE, **os.environ, "PYTHONUNBUFFERED": "1"}
        threads.spin_briefly(environment)
        # A session of its own: a terminal's Ctrl-C must not reach torchrun, which kills its processes after 30 seconds.
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
            env=environment,
        )
        if self.was_stopped:  # while it started
            self._stop(signal.SIGTERM, None)

    def _stop(self, number: int, frame: FrameType | None) -> None:
        """Asks the processes that train to stop; torchrun itself goes on until they have."""
        self.was_stopped = True
        for process in self._trainers():
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGTERM if number == signal.SIGINT else number)

    def _trainers(self) -> list[int]:
        if self._process is None:
            return []
        parent = self._process.pid
        if not self._is_torchrun:
            return [parent]
        found = Path(f"/proc/{parent}/task/{parent}/children")
        try:
            children = [int(word) for word in found.read_text().split()]
        except OSError:  # it has just ended
            children = []
        return children or [parent]

    def wait(self) -> int:
        """Logs until the end; returns the exit status, which is `STOPPED` after a signal that was heeded."""
        assert self._process is not None
        assert self._process.stdout is not None
        with self._log:
            for line in self._process.stdout:
                self._log.write(line)
                self._log.flush()
                if said := shown(line):
                    print(said, flush=True)
        status = self._process.wait()
        if status and self.was_stopped:
            return STOPPED
        return status if status >= 0 else 128 - status


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="prepared folder")
    parser.add_argument("--run", type=Path, required=True, help="folder for checkpoints and logs")
    parser.add_argument("--batch", type=int, required=True, help="target tokens of an update")
    parser.add_argument("--tokens-per-gpu", type=int, required=True, help="most tokens that one process has memory for")
    parser.add_argument("words", nargs="+", help="options of fairseq-train, behind --")
    return parser.parse_args()


def run(args: argparse.Namespace) -> int:
    """Trains, unless this training has come to its end before; returns the exit status."""
    machines = find_machines(os.environ)
    command = build_command(args, machines)
    if os.environ.get("DRY_RUN"):
        print(shlex.join(command))
        return 0
    said = "prepare it: STEPS=data does so"
    require(args.data.is_dir(), "the data", "a folder prepared by `python -m data_prep`", args.data, said)
    finished = args.run / "trained.json"
    wanted = json.dumps({"data": str(args.data), "batch": args.batch, "words": args.words}, indent=2) + "\n"
    if finished.is_file() and finished.read_text(encoding="utf-8") == wanted:
        print(f"{args.run} is trained", flush=True)
        return 0
    args.run.mkdir(parents=True, exist_ok=True)
    log = args.run / ("train.log" if machines.node_rank == 0 else f"train.{machines.node_rank}.log")
    status = Training(command, log).wait()
    if status == STOPPED:
        print("stopped; the same command goes on", file=sys.stderr)
    elif status:
        print(f"the training failed with status {status}; its log is {log}", file=sys.stderr)
    elif machines.node_rank == 0:
        write_text(finished, wanted)
    return status


def main() -> int:
    try:
        return run(parse_arguments())
    except ResMLPError as error:
        print(f"launch.py: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
