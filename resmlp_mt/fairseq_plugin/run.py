"""A training in this process, as fairseq's trainer carries it out: its record, its counts, and its stop."""

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

_COUNTS = {"tokens": "ntokens", "sentences": "nsentences"}  # what is counted -> its name in what a criterion logs
_ROWS_PER_SAMPLE = 30  # tokens of a sentence


class Run:
    """What is known of a training.

    Args:
        trainer: fairseq's.

    Attributes:
        stop: the request to stop that this process received.
        votes: how many processes were asked to stop, as of the last sum over all.
        epoch_itr: fairseq's place in the data.
        stopped: whether the training ends because it was asked to.
    """

    def __init__(self, trainer: Trainer) -> None:
        self.trainer = trainer
        self.is_master = distributed_utils.is_master(trainer.cfg.distributed_training)
        self.stop = StopRequest(aloud=self.is_master)
        self.votes: Any = 0
        self.epoch_itr: Any = None
        self.stopped = self._saved = self._has_ended = False
        self._folder = Path(trainer.cfg.checkpoint.save_dir)
        self._seen: dict[str, Any] = dict.fromkeys(_COUNTS, 0)
        self._record: RunRecord | None = None
        self._unused_memory = UnusedMemory()

    def choose_threads(self) -> None:
        """Sets the threads that suit the model and its batches, on a CPU."""
        if self.trainer.device.type == "cpu":
            threads.use_for_pass(multiply_adds(self.trainer.get_model(), self.trainer.cfg.dataset))

    def loaded(self, extra_state: Mapping[str, Any] | None) -> None:
        """Begins the record, when fairseq has loaded its checkpoint or found none.

        Args:
            extra_state: of the checkpoint.
        """
        update = self.trainer.get_num_updates()
        state = (extra_state or {}).get(RUN_STATE, {}) if update else dict.fromkeys(_COUNTS, 0)
        # A checkpoint of a training without this package does not say it: None.
        self._seen = {name: state.get(name) for name in _COUNTS}
        if update:
            self._remember_patience(state)
        nothing_is_due = self.trainer.cfg.optimization.max_epoch == NO_EPOCH
        if self.is_master and not nothing_is_due:
            self._begin_files(update)

    def _begin_files(self, update: int) -> None:
        cfg = self.trainer.cfg
        for partial in self._folder.glob("*.pt.partial"):
            partial.unlink(missing_ok=True)  # of a process that was killed while it wrote
        self._record = RunRecord(self._folder / METRICS, update)
        folders = getattr(cfg.task, "data", None)  # the task's settings may be a Namespace
        data = utils.split_paths(folders) if folders else []
        RunFile(self._folder / RUN).started(
            OmegaConf.to_container(cfg, resolve=True, enum_to_str=True),
            update,
            [Path(folder) for folder in data],
            self.trainer.data_parallel_world_size,
            sum(parameter.numel() for parameter in self.trainer.get_model().parameters()),
        )

    # The end.

    def ended(self, how: str) -> None:
        """Writes down how the training ended, once: fairseq may have several reasons."""
        if self.is_master and not self._has_ended:
            self._has_ended = True
            RunFile(self._folder / RUN).ended(self.trainer.get_num_updates(), how)

    def finished_after_update(self) -> None:
        """Writes down which setting ended the training after an update."""
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
        """Writes down the end of the training if no other epoch is due."""
        last = self.trainer.cfg.optimization.max_epoch
        if last and next_epoch > last:
            self.ended(f"finished: --max-epoch {last}")

    def finished_after_rate(self, rate: float) -> None:
        """Writes down the end of the training if its learning rate has become too low."""
        lowest = self.trainer.cfg.optimization.stop_min_lr
        if rate <= lowest:
            self.ended(f"finished: --stop-min-lr {lowest:g}")

    # What a checkpoint holds for a restart.

    def state(self) -> dict[str, Any]:
        """What goes into a checkpoint."""
        patience = _patience()
        state: dict[str, Any] = {**self._counts(), **({"patience": patience} if patience else {})}
        if vocabularies := task_vocabularies(self.trainer.task):
            state |= vocabulary_state(vocabularies)
        return {RUN_STATE: state}

    def _remember_patience(self, state: Mapping[str, Any]) -> None:
        """Goes on counting the validations without progress, which fairseq begins anew in every process."""
        for module in training_modules():
            for name, value in state.get("patience", {}).items():
                setattr(module.should_stop_early, name, value)
        patience, waited = self.trainer.cfg.checkpoint.patience, state.get("patience", {}).get("num_runs", 0)
        if 0 < patience <= waited:
            logger.info("nothing to train: no progress in the last %d validations (--patience %d)", waited, patience)
            self.trainer.cfg.optimization.max_epoch = NO_EPOCH

    def updated(self, logging_outputs: Iterable[Mapping[str, Any]]) -> None:
        """Counts the tokens and sentences of an update; those on a GPU without waiting for it. Tidies up behind it."""
        self._unused_memory.give_back()
        for logged in logging_outputs:
            for name, key in _COUNTS.items():
                if self._seen[name] is not None:
                    self._seen[name] = self._seen[name] + logged.get(key, 0)

    def _counts(self) -> dict[str, int | None]:
        """Tokens and sentences of all updates, those before a restart included; None where that is not known."""
        return {name: None if seen is None else round(float(seen)) for name, seen in self._seen.items()}

    # Records.

    def record_training(self, stats: Mapping[str, Any], epoch: int | None) -> None:
        """Records an interval of updates."""
        self._write(TRAIN, stats, {"epoch": epoch, **memory_in_use()})

    def record_validation(self, stats: Mapping[str, Any], epoch: int | None, subset: str | None) -> None:
        """Records a validation, with what the task has translated for it."""
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
        """1 if this process was asked to stop."""
        return float(self.stop.received is not None)

    def _asked(self) -> bool:
        if self.trainer.data_parallel_world_size > 1:
            return bool(self.votes > 0)
        return self.stop.received is not None

    def save_if_asked(self) -> bool:
        """Saves a checkpoint if any process was asked to stop and nothing was saved for it yet.

        Returns:
            Whether one was asked.
        """
        asked = self._asked()
        if asked and not self._saved and self.epoch_itr is not None:
            self._saved = True
            cfg = self.trainer.cfg.checkpoint.copy()
            with open_dict(cfg):
                cfg.no_last_checkpoints = False  # from which a restart goes on
            checkpoint_utils.save_checkpoint(cfg, self.trainer, self.epoch_itr, None)
            if self.trainer.data_parallel_world_size > 1:
                torch.distributed.barrier()  # whoever ends first ends the others: not while one writes
        return asked

    def log_resume_hint(self) -> None:
        """Says where the training stopped and what makes it go on."""
        if not self.is_master:
            return
        cfg = self.trainer.cfg.checkpoint
        update, name = self.trainer.get_num_updates(), Path(sys.argv[0]).name
        if cfg.no_save:
            rest = "nothing was saved, as --no-save asks"
        else:
            where = self._folder / f"checkpoint_last{self.trainer.checkpoint_suffix}.pt"
            again = "the same command again"
            if cfg.restore_file != "checkpoint_last.pt":
                again += " with --restore-file checkpoint_last.pt"
            rest = f"{where} is saved; {again} goes on from there"
        logger.warning("%s stopped by %s after update %d: %s", name, self.stop.name, update, rest)

    def first_of_all_processes(self, found: Finding | None) -> Finding | None:
        """What the first process found that found anything."""
        if self.trainer.data_parallel_world_size > 1 and self.trainer._grad_norm_buf is not None:
            group = self.trainer.data_parallel_process_group
            everywhere = distributed_utils.all_gather_list(found, group=group)
            return next((one for one in everywhere if one), None)
        return found


def multiply_adds(model: Any, dataset: Any) -> int:
    """Of a full batch in a training, forward and roughly: each weight of a matrix is used for each row.

    Args:
        model: fairseq's.
        dataset: settings of the batches.
    """
    rows = dataset.max_tokens or (dataset.batch_size or 1) * getattr(model, "rows_per_sample", _ROWS_PER_SAMPLE)
    return rows * sum(parameter.numel() for parameter in model.parameters() if parameter.dim() > 1)


def training_modules() -> list[Any]:
    """Where fairseq's training loop is: with `python -m fairseq_cli.train` it is the main module."""
    modules = (sys.modules.get("fairseq_cli.train"), sys.modules["__main__"])
    return [module for module in modules if hasattr(module, "validate_and_save")]


def _patience() -> dict[str, float]:
    """The count of validations without progress, which fairseq keeps as attributes of a function."""
    for module in training_modules():
        if hasattr(module.should_stop_early, "num_runs"):
            return {"best": float(module.should_stop_early.best), "num_runs": module.should_stop_early.num_runs}
    return {}
