"""One training: its options, its record, and the command that runs it on the machines."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from resmlp_mt.common.data_folder import training_folders
from resmlp_mt.common.data_manifest import read_manifest
from resmlp_mt.common.files import write_json
from resmlp_mt.experiments.launch.machines import Machines, precision, share_batch
from resmlp_mt.experiments.recipes.training_config import same_options


@dataclass(frozen=True)
class Job:
    """A training to launch.

    Attributes:
        data: prepared folder.
        run: folder for checkpoints and logs.
        batch: target tokens per update.
        tokens_per_gpu: maximum number of tokens that fit into the memory of one process.
        options: options of `fairseq-train`, except those that depend on the machine.
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
        """Whether this training, with these options, ran to its end before."""
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


def launcher(machines: Machines) -> list[str]:
    """The command that starts fairseq's training in one process, or in one process per GPU."""
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
