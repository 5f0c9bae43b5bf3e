"""Trains with fairseq on a CPU, one GPU, several GPUs, or several machines.

    python -m resmlp_mt.experiments.launch --data DATA --run RUN --batch 32768 --tokens-per-gpu 4096 -- OPTIONS...

The launcher chooses the precision, divides the batch, and starts `fairseq-train`, or `torchrun` for several processes.
It writes all their output to RUN/train.log and some of it to the terminal. It forwards stop signals to the training
processes, which save a checkpoint before they stop. The same command again resumes an unfinished training and leaves a
finished one alone. On several machines run the same command on each, with NODES, NODE_RANK (from 0) and HEAD (the
rendezvous endpoint HOST:PORT, on the first machine) in the environment. DRY_RUN=1 prints the command.
"""

from __future__ import annotations

import argparse
import os
import shlex
import sys
from pathlib import Path

from resmlp_mt.common.errors import ResMLPError
from resmlp_mt.experiments.launch.job import Job, build_command
from resmlp_mt.experiments.launch.machines import find_machines
from resmlp_mt.experiments.launch.training import Training
from resmlp_mt.training.stopping import EXIT_STATUS as STOPPED


def launch(job: Job, dry_run: bool = False) -> int:
    """Trains, unless this training is finished; returns the exit status.

    Args:
        job: the training.
        dry_run: print the command and do nothing.

    Raises:
        ResMLPError: when the data are missing, or the description of the machines is invalid.
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
    """Parses the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m resmlp_mt.experiments.launch",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--data", type=Path, required=True, help="prepared folder")
    parser.add_argument("--run", type=Path, required=True, help="folder for checkpoints and logs")
    parser.add_argument("--batch", type=int, required=True, help="target tokens per update")
    parser.add_argument(
        "--tokens-per-gpu",
        type=int,
        required=True,
        help="maximum number of tokens that fit into the memory of one process",
    )
    parser.add_argument("options", nargs="+", help="options of fairseq-train, after --")
    return parser.parse_args()


def main() -> int:
    """Launches the training of the command line; returns the exit status."""
    args = parse_arguments()
    try:
        job = Job(args.data, args.run, args.batch, args.tokens_per_gpu, args.options)
        return launch(job, dry_run=bool(os.environ.get("DRY_RUN")))
    except ResMLPError as error:
        print(f"launch: {error}", file=sys.stderr)
        return 2
