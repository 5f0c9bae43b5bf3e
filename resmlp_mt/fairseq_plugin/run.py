"""The training run of this process: its records, token counts, end, and stop on a signal."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from fairseq import checkpoint_utils, utils
from fairseq.distributed import utils as distributed_utils
from fairseq.trainer import Trainer
from omegaconf import OmegaConf, open_dict

from resmlp_mt.common import threads
from resmlp_mt.common.allocator import UnusedMemory
from resmlp_mt.common.vocabularies import RUN_STATE, vocabulary_state
from resmlp_mt.fairseq_plugin.patches.checkpoints import task_vocabularies
from resmlp_mt.fairseq_plugin.patches.saving import NO_EPOCH
from resmlp_mt.training.nonfinite import Finding
from resmlp_mt.training.provenance import RUN, RunFile
from resmlp_mt.training.run_record import METRICS, TRAIN, VALID, RunRecord, memory_in_use, plain_number
from resmlp_mt.training.stopping import StopRequest

logger = logging.getLogger(__name__)

_COUNTS = {"tokens": "ntokens", "sentences": "nsentences"}  # name in the records -> name in a criterion's log
_ROWS_PER_SAMPLE = 30  # typical number of tokens in a sentence


class Run:
    """State of a training run.

    Args:
        trainer: fairseq's trainer.

    Attributes:
        stop: the stop request of this process.
        votes: number of processes with a stop request, as of the last reduction over all processes.
        epoch_itr: fairseq's epoch iterator.
        stopped: whether the training ends because of a stop request.
    """

    def __init__(self, trainer: Trainer) -> None:
        self.trainer = trainer
        self.is_master = distributed_utils.is_master(trainer.cfg.distributed_training)
        self.stop = StopRequest(verbose=self.is_master)
        self.votes: Any = 0
        self.epoch_itr: Any = None
        self.stopped = self._saved = self._has_ended = False
        self._folder = Path(trainer.cfg.checkpoint.save_dir)
        self._totals: dict[str, Any] = dict.fromkeys(_COUNTS, 0)
        self._record: RunRecord | None = None
        self._unused_memory = UnusedMemory()

    def choose_threads(self) -> None:
        """On a CPU, sets the number of threads for the size of the model and its batches."""
        if self.trainer.device.type == "cpu":
            threads.use_for_pass(multiply_adds(self.trainer.get_model(), self.trainer.cfg.dataset))

    def loaded(self, extra_state: Mapping[str, Any] | None) -> None:
        """Opens the records, after fairseq has loaded a checkpoint or found none.

        Args:
            extra_state: extra state in the checkpoint; None without a checkpoint.
        """
        update = self.trainer.get_num_updates()
        state = (extra_state or {}).get(RUN_STATE, {}) if update else dict.fromkeys(_COUNTS, 0)
        # The counts are None if the checkpoint was written without this package.
        self._totals = {name: state.get(name) for name in _COUNTS}
        if update:
            self._restore_patience(state)
        is_finished = self.trainer.cfg.optimization.max_epoch == NO_EPOCH
        if self.is_master and not is_finished:
            self._open_records(update)

    def _open_records(self, update: int) -> None:
        cfg = self.trainer.cfg
        for partial in self._folder.glob("*.pt.partial"):
            partial.unlink(missing_ok=True)  # left by a process that was killed during a write
        self._record = RunRecord(self._folder / METRICS, update)
        folders = getattr(cfg.task, "data", None)  # the task's options may be a Namespace
        data = utils.split_paths(folders) if folders else []
        RunFile(self._folder / RUN).started(
            OmegaConf.to_container(cfg, resolve=True, enum_to_str=True),
            update,
            [Path(folder) for folder in data],
            self.trainer.data_parallel_world_size,
            sum(parameter.numel() for parameter in self.trainer.get_model().parameters()),
        )

    # End of the training.

    def ended(self, how: str) -> None:
        """Records how the training ended; only the first call counts, since fairseq may have several reasons."""
        if self.is_master and not self._has_ended:
            self._has_ended = True
            RunFile(self._folder / RUN).ended(self.trainer.get_num_updates(), how)

    def finished_after_update(self) -> None:
        """Records which option ended the training after an update."""
        settings = self.trainer.cfg.optimization
        hours = self.trainer.cumulative_training_time() / 3600
        if 0 < (settings.max_update or 0) <= self.trainer.get_num_updates():
            option = f"--max-update {settings.max_update}"
        elif 0 < settings.stop_time_hours < hours:
            option = f"--stop-time-hours {settings.stop_time_hours:g}"
        else:
            option = f"--patience {self.trainer.cfg.checkpoint.patience}"
        self.ended(f"finished: {option}")

    def finished_after_epoch(self, next_epoch: int) -> None:
        """Records the end of the training if it was the last epoch."""
        last = self.trainer.cfg.optimization.max_epoch
        if last and next_epoch > last:
            self.ended(f"finished: --max-epoch {last}")

    def finished_after_rate(self, rate: float) -> None:
        """Records the end of the training if the learning rate has reached its minimum."""
        lowest = self.trainer.cfg.optimization.stop_min_lr
        if rate <= lowest:
            self.ended(f"finished: --stop-min-lr {lowest:g}")

    # State in a checkpoint.

    def state(self) -> dict[str, Any]:
        """Returns the state of the run for a checkpoint."""
        patience = _patience()
        state: dict[str, Any] = {**self._counts(), **({"patience": patience} if patience else {})}
        if vocabularies := task_vocabularies(self.trainer.task):
            state |= vocabulary_state(vocabularies)
        return {RUN_STATE: state}

    def _restore_patience(self, state: Mapping[str, Any]) -> None:
        """Restores the count of validations without progress, which fairseq does not store."""
        for module in training_modules():
            for name, value in state.get("patience", {}).items():
                setattr(module.should_stop_early, name, value)
        patience, count = self.trainer.cfg.checkpoint.patience, state.get("patience", {}).get("num_runs", 0)
        if 0 < patience <= count:
            logger.info("nothing to train: no progress in the last %d validations (--patience %d)", count, patience)
            self.trainer.cfg.optimization.max_epoch = NO_EPOCH

    def updated(self, logging_outputs: Iterable[Mapping[str, Any]]) -> None:
        """Adds the tokens and sentences of an update, without synchronizing a GPU, and frees unused memory."""
        self._unused_memory.give_back()
        for logged in logging_outputs:
            for name, key in _COUNTS.items():
                if self._totals[name] is not None:
                    self._totals[name] = self._totals[name] + logged.get(key, 0)

    def _counts(self) -> dict[str, int | None]:
        """Returns the tokens and sentences of all updates, including those before a restart; None if unknown."""
        return {name: None if total is None else round(float(total)) for name, total in self._totals.items()}

    # Records.

    def record_training(self, stats: Mapping[str, Any], epoch: int | None) -> None:
        """Records the metrics of an interval of updates."""
        self._write(TRAIN, stats, {"epoch": epoch, **memory_in_use()})

    def record_validation(self, stats: Mapping[str, Any], epoch: int | None, subset: str | None) -> None:
        """Records the metrics of a validation, and the task's samples."""
        values: dict[str, Any] = {"epoch": epoch, "subset": subset}
        if take_samples := getattr(self.trainer.task, "take_samples", None):
            values["samples"] = take_samples()
        self._write(VALID, stats, values)

    def _write(self, kind: str, stats: Mapping[str, Any], values: Mapping[str, Any]) -> None:
        if self._record is None:
            return
        measured = {name: plain_number(value) for name, value in stats.items() if not name.startswith("_")}
        measured.pop("num_updates", None)
        clock = {"time": round(time.time(), 3), "training_seconds": self._training_seconds()}
        self._record.write(kind, self.trainer.get_num_updates(), {**clock, **self._counts(), **measured, **values})

    def _training_seconds(self) -> float:
        return round(float(self.trainer.cumulative_training_time()), 3)

    # Stopping.

    def vote(self) -> float:
        """Returns 1 if this process has received a stop request, else 0."""
        return float(self.stop.received is not None)

    def _stop_requested(self) -> bool:
        if self.trainer.data_parallel_world_size > 1:
            return bool(self.votes > 0)
        return self.stop.received is not None

    def save_if_asked(self) -> bool:
        """Saves a checkpoint, once, if any process has received a stop request.

        Returns:
            Whether there is a stop request.
        """
        stop_requested = self._stop_requested()
        if stop_requested and not self._saved and self.epoch_itr is not None:
            self._saved = True
            cfg = self.trainer.cfg.checkpoint.copy()
            with open_dict(cfg):
                cfg.no_last_checkpoints = False  # a restart resumes from it
            checkpoint_utils.save_checkpoint(cfg, self.trainer, self.epoch_itr, None)
            if self.trainer.data_parallel_world_size > 1:
                torch.distributed.barrier()  # the first exit ends all processes, so wait for the writer
        return stop_requested

    def log_resume_hint(self) -> None:
        """Logs where the training stopped and how to resume it."""
        if not self.is_master:
            return
        cfg = self.trainer.cfg.checkpoint
        update, name = self.trainer.get_num_updates(), Path(sys.argv[0]).name
        if cfg.no_save:
            hint = "nothing was saved because of --no-save"
        else:
            checkpoint = self._folder / f"checkpoint_last{self.trainer.checkpoint_suffix}.pt"
            hint = f"{checkpoint} is saved; to resume, run the same command again"
            if cfg.restore_file != "checkpoint_last.pt":
                hint += " with --restore-file checkpoint_last.pt"
        logger.warning("%s stopped by %s after update %d: %s", name, self.stop.name, update, hint)

    def first_of_all_processes(self, finding: Finding | None) -> Finding | None:
        """Returns the finding of the first process that has one."""
        if self.trainer.data_parallel_world_size > 1 and self.trainer._grad_norm_buf is not None:
            group = self.trainer.data_parallel_process_group
            findings = distributed_utils.all_gather_list(finding, group=group)
            return next((each for each in findings if each), None)
        return finding


def multiply_adds(model: Any, dataset: Any) -> int:
    """Estimates the multiply-adds of the forward pass of a full batch: each weight of a matrix is used once per row.

    Args:
        model: a model of fairseq.
        dataset: fairseq's options of the batches.
    """
    rows = dataset.max_tokens or (dataset.batch_size or 1) * getattr(model, "rows_per_sample", _ROWS_PER_SAMPLE)
    return rows * sum(parameter.numel() for parameter in model.parameters() if parameter.dim() > 1)


def training_modules() -> list[Any]:
    """Returns the modules with fairseq's training loop; with `python -m fairseq_cli.train` it is the main module."""
    modules = (sys.modules.get("fairseq_cli.train"), sys.modules["__main__"])
    return [module for module in modules if hasattr(module, "validate_and_save")]


def _patience() -> dict[str, float]:
    """Returns the count of validations without progress, which fairseq stores as attributes of a function."""
    for module in training_modules():
        if hasattr(module.should_stop_early, "num_runs"):
            return {"best": float(module.should_stop_early.best), "num_runs": module.should_stop_early.num_runs}
    return {}
