"""Hooks of a training run: records, checks for NaN and infinity, and a clean stop on a signal.

The hooks wrap functions that fairseq looks up in a module or class at each call: this package is imported after
fairseq's commands, so names that these have imported with `from` cannot be replaced. The hooks are active with every
task and architecture, and in both commands: `fairseq-hydra-train` imports this package late, but before it builds the
trainer.
"""

from __future__ import annotations

import contextlib
import logging
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import torch
from fairseq import checkpoint_utils, trainer
from fairseq.distributed import utils as distributed_utils
from fairseq.file_io import PathManager
from fairseq.logging import progress_bar
from fairseq.trainer import Trainer
from torch.multiprocessing.spawn import ProcessExitedException
from torch.utils.data._utils import signal_handling

from resmlp_mt.common.errors import ResMLPError
from resmlp_mt.fairseq_plugin.patches.patching import wrap_function
from resmlp_mt.fairseq_plugin.patches.running import destroy_process_groups_at_exit
from resmlp_mt.fairseq_plugin.run import Run, training_modules
from resmlp_mt.training.nonfinite import PARAMETER, Finding, NonFiniteInspector
from resmlp_mt.training.stopping import EXIT_STATUS, StopRequest, keep_loading_data, send_to_children

logger = logging.getLogger(__name__)

# The run of this process. It is global, since fairseq's progress bars have no reference to the trainer.
_run: Run | None = None


def begin_run(original: Callable[..., None], self: Trainer, *args: Any, **kwargs: Any) -> None:
    """Wraps `Trainer.__init__`: creates the run and handles signals from then on, in every process of the training."""
    global _run
    original(self, *args, **kwargs)
    _run = Run(weakref.proxy(self))  # a weak reference, so that the trainer is freed as in fairseq
    weakref.finalize(self, _forget, _run)
    _run.stop.listen()
    _run.choose_threads()
    wrap_function(signal_handling, "_set_worker_signal_handlers", keep_loading_data)
    for module in training_modules():
        wrap_function(module, "validate_and_save", save_and_stop_when_asked)
        wrap_function(module, "train", end_when_asked)


def _forget(run: Run) -> None:
    global _run
    if _run is run:
        _run = None


def begin_record(original: Callable[..., Any], cfg: Any, self: Trainer, **options: Any) -> Any:
    """Wraps `checkpoint_utils.load_checkpoint`: opens the records, now that the first update is known."""
    result = original(cfg, self, **options)
    if _run:
        _run.loaded(result[0])
    return result


def save_run_state(original: Callable[..., Any], self: Trainer, filename: str, extra_state: dict[str, Any]) -> Any:
    """Wraps `Trainer.save_checkpoint`: adds the state of the run, which fairseq does not store."""
    return original(self, filename, {**extra_state, **_run.state()} if _run else extra_state)


def finish_update(
    original: Callable[..., Any], self: Trainer, logging_outputs: Any, sample_size: Any, grad_norm: Any = None
) -> Any:
    """Wraps `Trainer._reduce_and_log_stats`: counts an update; only updates have a gradient norm."""
    if _run and grad_norm is not None:
        _run.updated(logging_outputs)
    return original(self, logging_outputs, sample_size, grad_norm)


class RecordingBar(progress_bar.BaseProgressBar):
    """A progress bar of fairseq that also writes the metrics to the records of the run.

    Args:
        bar: fairseq's progress bar.
        run: the run.
        epoch: the epoch of the bar.
    """

    def __init__(self, bar: progress_bar.BaseProgressBar, run: Run, epoch: int | None) -> None:
        self.bar, self.run, self.epoch = bar, run, epoch

    def __len__(self) -> int:
        return len(self.bar)

    def __iter__(self) -> Iterator[Any]:
        return iter(self.bar)

    def log(self, stats: dict[str, Any], tag: str | None = None, step: int | None = None) -> None:
        """Shows and records an interval of updates."""
        self.bar.log(stats, tag=tag, step=step)
        if tag == "train_inner":
            self.run.record_training(stats, self.epoch)

    def print(self, stats: dict[str, Any], tag: str | None = None, step: int | None = None) -> None:
        """Shows the end of an epoch, or shows and records a validation."""
        self.bar.print(stats, tag=tag, step=step)
        if tag != "train":
            self.run.record_validation(stats, self.epoch, tag)

    def update_config(self, config: dict[str, Any]) -> None:
        """Passes the configuration to the bar."""
        self.bar.update_config(config)


def record_progress(original: Callable[..., Any], iterator: Any, *args: Any, **kwargs: Any) -> Any:
    """Wraps `progress_bar.progress_bar`: adds the records, as fairseq adds its writers for TensorBoard and others."""
    bar = original(iterator, *args, **kwargs)
    return RecordingBar(bar, _run, kwargs.get("epoch")) if _run and _run.is_master else bar


def detect_lowest_learning_rate(original: Callable[..., Any], self: Trainer, *args: Any, **kwargs: Any) -> Any:
    """Wraps `Trainer.lr_step`: records the end by --stop-min-lr, which fairseq checks after each epoch."""
    rate = original(self, *args, **kwargs)
    if _run:
        _run.finished_after_rate(rate)
    return rate


def vote_on_stopping(
    original: Callable[..., Any], self: Trainer, logging_outputs: Any, *to_sum: Any, ignore: bool = False
) -> Any:
    """Wraps `Trainer._aggregate_logging_outputs`: adds the stop request to the all-reduce of each step.

    So a signal to one process reaches all processes in the same update, without another all-reduce.
    """
    if _run is None:
        return original(self, logging_outputs, *to_sum, ignore=ignore)
    outputs, (*sums, votes) = original(self, logging_outputs, *to_sum, _run.vote(), ignore=ignore)
    _run.votes = votes
    return outputs, sums


def save_during_validation(original: Callable[..., Any], self: Trainer, *args: Any, **kwargs: Any) -> Any:
    """Wraps `Trainer.valid_step`: after a signal during a validation, saves at once and continues the validation."""
    result = original(self, *args, **kwargs)
    if _run:
        _run.save_if_asked()
    return result


def save_and_stop_when_asked(
    original: Callable[..., Any],
    cfg: Any,
    self: Trainer,
    task: Any,
    epoch_itr: Any,
    valid_subsets: list[str],
    end_of_epoch: bool,
) -> Any:
    """Wraps `validate_and_save`, which fairseq calls after each update: saves and stops after a stop request.

    Note: the checkpoint is saved before a validation that is due. A stop request does not cause a validation.
    """
    if _run is None:
        return original(cfg, self, task, epoch_itr, valid_subsets, end_of_epoch)
    _run.epoch_itr = epoch_itr
    _run.save_if_asked()
    valid_losses, ends = original(cfg, self, task, epoch_itr, valid_subsets, end_of_epoch)
    if ends:
        _run.finished_after_update()
    elif _run.save_if_asked():
        _run.ended(f"stopped by {_run.stop.name}")
        _run.stopped = ends = True
    if ends:
        destroy_process_groups_at_exit()
    return valid_losses, ends


def end_when_asked(original: Callable[..., Any], cfg: Any, self: Trainer, task: Any, epoch_itr: Any) -> Any:
    """Wraps `train`, one epoch: records the last epoch, and exits after a stop request."""
    result = original(cfg, self, task, epoch_itr)
    if _run:
        _run.finished_after_epoch(epoch_itr.next_epoch_idx)
    if _run and _run.stopped:
        _run.log_resume_hint()
        if cfg.checkpoint.write_checkpoints_asynchronously:
            PathManager.async_close()
        raise SystemExit(EXIT_STATUS)
    return result


@contextlib.contextmanager
def _inspect_layers(run: Run, model: torch.nn.Module) -> Iterator[None]:
    run.trainer._set_seed()  # the same dropout masks as in the failed step
    with NonFiniteInspector(model) as inspector:
        yield
    finding = run.first_of_all_processes(inspector.finding)
    if finding:
        raise ResMLPError(_nonfinite_message(finding, run))


def _nonfinite_message(finding: Finding, run: Run) -> str:
    update = run.trainer.get_num_updates() + 1
    if finding.kind == PARAMETER:
        remedy = "resume from an earlier checkpoint"
    else:
        remedy = "run the same command again, which resumes from checkpoint_last.pt,"
    precision = ", or --bf16 instead of --fp16" if run.trainer.cfg.common.fp16 else ""
    return (
        f"{finding.place} is not finite in update {update} ({finding.value}); {remedy} with a lower --lr, a longer "
        f"--warmup-updates or a smaller --clip-norm{precision}"
    )


def name_the_layer(original: Callable[..., Any], model: torch.nn.Module, *args: Any, **kwargs: Any) -> Any:
    """Wraps `NanDetector`, in which fairseq repeats a batch whose gradient norm was not finite: names the layer.

    fairseq's detector prints many lines, with the norm of every gradient, and repeats the batch with other dropout
    masks.
    """
    return _inspect_layers(_run, model) if _run else original(model, *args, **kwargs)


def stop_spawned_processes(original: Callable[..., Any], fn: Any, *args: Any, **kwargs: Any) -> Any:
    """Wraps `torch.multiprocessing.spawn`, with which fairseq starts a process per GPU: passes signals on to them."""
    if fn is not distributed_utils.distributed_main:
        return original(fn, *args, **kwargs)
    StopRequest(pass_on=send_to_children).listen()
    try:
        return original(fn, *args, **kwargs)
    except ProcessExitedException as error:
        if error.exit_code == EXIT_STATUS:
            raise SystemExit(EXIT_STATUS) from None
        raise


wrap_function(Trainer, "__init__", begin_run)
wrap_function(Trainer, "save_checkpoint", save_run_state)
wrap_function(Trainer, "lr_step", detect_lowest_learning_rate)
wrap_function(Trainer, "valid_step", save_during_validation)
wrap_function(Trainer, "_reduce_and_log_stats", finish_update)
wrap_function(Trainer, "_aggregate_logging_outputs", vote_on_stopping)
wrap_function(trainer, "NanDetector", name_the_layer)
wrap_function(checkpoint_utils, "load_checkpoint", begin_record)
wrap_function(progress_bar, "progress_bar", record_progress)
wrap_function(torch.multiprocessing, "spawn", stop_spawned_processes)
