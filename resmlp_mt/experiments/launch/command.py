"""Trains with fairseq on what the machine has: its processor, one GPU, several GPUs, or several machines.

    python -m resmlp_mt.experiments.launch --data DATA --run RUN --batch 32768 --tokens-per-gpu 4096 -- OPTIONS...

It chooses the precision, divides the batch, and starts `fairseq-train` or torch's `torchrun`, which distribute the
work. It writes all their output to RUN/train.log and some of it to the terminal, and forwards stop signals to the
training processes, so that they save first. Run again, an unfinished training resumes and a finished one is left alone.
On several machines run the same command on each, with NODES, NODE_RANK (from 0) and HEAD (the rendezvous endpoint
HOST:PORT, on the first machine) in the environment. DRY_RUN=1 prints the command.
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
from resmlp_mt.common.errors import ResMLPError
from resmlp_mt.common.files import write_json
from resmlp_mt.experiments.recipes.training_config import same_options
from resmlp_mt.training.stopping import EXIT_STATUS as STOPPED

_BF16_SINCE = (8, 0)  # compute capability of NVIDIA's Ampere, the first with bf16 in hardware
_PORTS = range(1024, 65536)
TOKENS_PER_GPU = 4096  # target tokens of a batch that one GPU has memory for, unless the user says otherwise

# The parts of fairseq's log that the terminal shows.
_SHOWN = (
    (re.compile(r"train_inner \| (epoch \d+: +\d+ / \d+).* (ppl=[\d.]+), (wps=[\d.]+)"), r"  \1  \2  \3"),
    (re.compile(r" valid \| (epoch \d+) .* (ppl [\d.]+) .* (bleu [\d.]+) "), r"  \1: validation \2, \3"),
    (re.compile(r" valid \| (epoch \d+) .* (ppl [\d.]+) "), r"  \1: validation \2"),
    (re.compile(r"\| (early stop since .*)"), r"  \1"),
    (re.compile(r"(fairseq-train: error: .*)"), r"\1"),
    (re.compile(r"^((?:\[rank\d+\]: )?\w*Error: .*)"), r"\1"),
)


def precision(capabilities: Sequence[tuple[int, int]]) -> list[str]:
    """The option of `fairseq-train` for the fastest arithmetic that all GPUs have in hardware.

    Args:
        capabilities: compute capability of each GPU; empty for training on the processor.

    Returns:
        `--bf16` from Ampere on, `--fp16` on older GPUs, nothing (float32) on the processor.
    """
    if not capabilities:
        return []
    return ["--bf16"] if min(capabilities) >= _BF16_SINCE else ["--fp16"]


def share_batch(batch: int, tokens_per_gpu: int, processes: int) -> tuple[int, int]:
    """Divides the batch of an update among processes and accumulated batches, so that each part fits into memory.

    Args:
        batch: target tokens of an update, of all processes together.
        tokens_per_gpu: most tokens that one process has memory for.
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
class Job:
    """A training to launch.

    Attributes:
        data: prepared folder.
        run: folder for checkpoints and logs.
        batch: target tokens of an update.
        tokens_per_gpu: most tokens that one process has memory for.
        options: of `fairseq-train`, except those that depend on the machine.
    """

    data: Path
    run: Path
    batch: int
    tokens_per_gpu: int
    options: Sequence[str]

    @property
    def record(self) -> Path:
        """The file that marks a finished training."""
        return self.run / "trained.json"

    def is_finished(self) -> bool:
        """Whether this training, with these options, has ended by itself before."""
        try:
            content = json.loads(self.record.read_text(encoding="utf-8"))
            options = content["options"] if "options" in content else content["words"]  # "words" up to version 0.1.1
            same = (content["data"], content["batch"]) == (str(self.data), self.batch)
        except (OSError, ValueError, KeyError, TypeError):
            return False
        return same and same_options(options, self.options)

    def mark_finished(self) -> None:
        """Writes the record."""
        write_json(self.record, {"data": str(self.data), "batch": self.batch, "options": list(self.options)})


@dataclass(frozen=True)
class Machines:
    """Where a training runs.

    Attributes:
        capabilities: compute capability of each GPU of this machine.
        nodes: number of machines.
        node_rank: number of this machine, from 0.
        endpoint: HOST:PORT of the rendezvous, on the first machine.
        is_slurm_job: whether Slurm started this process; fairseq then takes a single process for one of several.
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


def launcher(machines: Machines) -> list[str]:
    """The command that starts fairseq's training in one process, or in one for each GPU."""
    if machines.nodes == 1 and machines.processes_here == 1 and not machines.is_slurm_job:
        return ["fairseq-train"]
    rendezvous = ["--standalone"]
    if machines.nodes > 1:
        host, _, port = machines.endpoint.rpartition(":")
        rendezvous = [
            *("--nnodes", str(machines.nodes), "--node-rank", str(machines.node_rank)),
            *("--master-addr", host, "--master-port", port),
        ]
    return ["torchrun", *rendezvous, "--nproc-per-node", str(machines.processes_here), "-m", "fairseq_cli.train"]


def training_path(data: Path) -> str:
    """The data argument of `fairseq-train`: the folder, or the folders of its shards; each epoch reads one of them."""
    return ":".join(map(str, training_folders(data, read_manifest(data))))


def build_command(job: Job, machines: Machines) -> list[str]:
    """The whole command of a training."""
    processes = machines.nodes * machines.processes_here
    tokens, update_freq = share_batch(job.batch, job.tokens_per_gpu, processes)
    return [
        *launcher(machines),
        training_path(job.data),
        *("--save-dir", str(job.run), "--max-tokens", str(tokens), "--update-freq", str(update_freq)),
        *precision(machines.capabilities),
        *job.options,
    ]


def shown(line: str) -> str | None:
    """The part of a line of fairseq's log that the terminal shows; None for nothing."""
    for pattern, form in _SHOWN:
        match = pattern.search(line)
        if match:
            return match.expand(form)
    return None


class Training:
    """A running training: writes its log and forwards signals.

    Args:
        command: the command to run.
        log: file that its output is appended to.
    """

    def __init__(self, command: Sequence[str], log: Path) -> None:
        self.was_stopped = False
        self._log = log.open("a", encoding="utf-8")
        self._process: subprocess.Popen[str] | None = None
        self._is_torchrun = command[0] == "torchrun"
        stops = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)
        self._handlers_before = {number: signal.signal(number, self._stop) for number in stops}
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
        """Asks the training processes to stop; torchrun itself runs until they have ended."""
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
        try:
            children = [int(pid) for pid in Path(f"/proc/{parent}/task/{parent}/children").read_text().split()]
        except OSError:  # it has just ended
            children = []
        return children or [parent]

    def wait(self) -> int:
        """Logs until the end; returns the exit status, which is `STOPPED` after a stop signal."""
        assert self._process is not None
        assert self._process.stdout is not None
        with self._log:
            for line in self._process.stdout:
                self._log.write(line)
                self._log.flush()
                if text := shown(line):
                    print(text, flush=True)
        status = self._process.wait()
        for number, handler in self._handlers_before.items():
            signal.signal(number, handler)
        if status and self.was_stopped:
            return STOPPED
        return status if status >= 0 else 128 - status


def launch(job: Job, dry_run: bool = False) -> int:
    """Trains, unless this training is finished; returns the exit status.

    Args:
        job: the training.
        dry_run: print the command and do nothing.

    Raises:
        ResMLPError: when the data are missing, or the machines are described wrongly.
    """
    machines = find_machines(os.environ)
    command = build_command(job, machines)
    if dry_run:
        print(shlex.join(command))
        return 0
    if not job.data.is_dir():
        raise ResMLPError(f"there is no prepared data in {job.data}; prepare it first, in a recipe with STEPS=data")
    if job.is_finished():
        print(f"{job.run} is trained", flush=True)
        return 0
    job.run.mkdir(parents=True, exist_ok=True)
    log = job.run / ("train.log" if machines.node_rank == 0 else f"train.{machines.node_rank}.log")
    status = Training(command, log).wait()
    if status == STOPPED:
        print("stopped; the same command resumes the training", file=sys.stderr)
    elif status:
        print(f"the training failed with status {status}; its log is {log}", file=sys.stderr)
    elif machines.node_rank == 0:
        job.mark_finished()
    return status


def parse_arguments() -> argparse.Namespace:
    """The command line of this module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="prepared folder")
    parser.add_argument("--run", type=Path, required=True, help="folder for checkpoints and logs")
    parser.add_argument("--batch", type=int, required=True, help="target tokens of an update")
    parser.add_argument("--tokens-per-gpu", type=int, required=True, help="most tokens that one process has memory for")
    parser.add_argument("options", nargs="+", help="options of fairseq-train, after --")
    return parser.parse_args()


def main() -> int:
    """Launches the training that the command line describes."""
    args = parse_arguments()
    try:
        job = Job(args.data, args.run, args.batch, args.tokens_per_gpu, args.options)
        return launch(job, dry_run=bool(os.environ.get("DRY_RUN")))
    except ResMLPError as error:
        print(f"launch.py: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
