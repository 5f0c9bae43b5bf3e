"""Patches of how fairseq parses options, starts processes and makes batches."""

from __future__ import annotations

import argparse
import atexit
import gc
import inspect
import logging
import os
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from fairseq import options
from fairseq.data import data_utils
from fairseq.distributed import utils as distributed_utils
from fairseq.tasks import FairseqTask

from resmlp_mt.fairseq_plugin.patches.patching import wrap_function

logger = logging.getLogger(__name__)


def keep_the_last_batch() -> None:
    """Keeps the sentences of the last batch, whatever its size.

    Symptom: `fairseq-generate` translates 3000 of 3003 sentences; the last ones are missing from training and
    validation, too.
    Cause: `batch_by_size` drops the last batch when its size is no multiple of --required-batch-size-multiple
    (default 8), and fails with an IndexError when there is no sentence at all.
    Source: facebookresearch/fairseq#5036, #5351, #5094.
    """

    def batch_by_size(original: Callable[..., Any], indices: Any, *args: Any, **kwargs: Any) -> list[np.ndarray]:
        indices = indices if isinstance(indices, np.ndarray) else np.fromiter(indices, dtype=np.int64)
        if len(indices) == 0:
            return []
        batches = list(original(indices, *args, **kwargs))
        dropped = indices[sum(len(batch) for batch in batches) :]  # batches are slices, one after the other
        return [*batches, dropped] if len(dropped) else batches

    wrap_function(data_utils, "batch_by_size", batch_by_size)


def keep_batches_on_resume() -> None:
    """Gives a resumed training the batches that the training had before it was stopped.

    Symptom: a training that resumes in its second epoch or later ends at another loss than one never stopped.
    Cause: `get_batch_iterator` draws the order of equally long sentences from the seed plus the epoch in which it is
    called, and keeps the batches for all later epochs: a whole training calls it in epoch 1, a resumed one later.
    No upstream issue; read in `FairseqTask.get_batch_iterator` of 0.12.3.1.
    """

    def get_batch_iterator(
        original: Callable[..., Any], task: FairseqTask, dataset: Any, *args: Any, **kwargs: Any
    ) -> Any:
        epoch = kwargs.get("epoch", 1)
        if epoch <= 1 or kwargs.get("update_epoch_batch_itr") or getattr(task.cfg, "rebuild_batches", False):
            return original(task, dataset, *args, **kwargs)
        iterator = original(task, dataset, *args, **{**kwargs, "epoch": 1})
        if iterator._cur_epoch_itr is None:  # one that has been used knows its epoch
            iterator.epoch = epoch
            dataset.set_epoch(epoch)
        return iterator

    wrap_function(FairseqTask, "get_batch_iterator", get_batch_iterator)


def keep_bf16_on_the_gpu() -> None:
    """Lets --bf16 train on the GPU, or on the CPU where there is none.

    Symptom: --bf16 leaves the GPU idle; without a GPU, `'NoneType' object has no attribute 'xla_device'`.
    Cause: `parse_args_and_arch` takes --bf16 for --tpu, and --tpu turns CUDA off.
    Source: facebookresearch/fairseq#4696.
    """

    def parse_without_tpu(
        original: Callable[..., Any],
        parser: argparse.ArgumentParser,
        input_args: list[str] | None = None,
        *args: Any,
        **kwargs: Any,
    ) -> Any:
        parsed = original(parser, input_args, *args, **kwargs)
        settings = parsed[0] if isinstance(parsed, tuple) else parsed
        if getattr(settings, "bf16", False) and getattr(settings, "tpu", False):
            given, _ = parser.parse_known_args(input_args)
            settings.tpu = given.tpu
        return parsed

    wrap_function(options, "parse_args_and_arch", parse_without_tpu)


def make_task_optional_in_validate() -> None:
    """Lets `fairseq-validate` run without --task: it takes the task from the checkpoint anyway.

    Symptom: `KeyError: None`.
    Cause: `parse_args_and_arch` looks up the options of a task that nobody named. No upstream issue.
    """

    def parse_with_a_task(
        original: Callable[..., Any],
        parser: argparse.ArgumentParser,
        input_args: list[str] | None = None,
        *args: Any,
        **kwargs: Any,
    ) -> Any:
        if parser.get_default("task") is None:
            given, _ = parser.parse_known_args(input_args)
            if getattr(given, "task", "no such option") is None:
                parser.set_defaults(task="translation")
        return original(parser, input_args, *args, **kwargs)

    wrap_function(options, "parse_args_and_arch", parse_with_a_task)


def _is_started_by_torchrun() -> bool:
    return all(name in os.environ for name in ("MASTER_ADDR", "MASTER_PORT", "WORLD_SIZE", "RANK"))


def detect_torchrun_processes() -> None:
    """Makes the processes that torchrun starts train one model together.

    Symptom: with no GPU, or one in each machine, every process trains a model of its own, and all write the same
    checkpoint files.
    Cause: --distributed-world-size is the number of GPUs here unless given, and 1 ends the search for other processes.
    No upstream issue.
    """

    def infer_init_method(original: Callable[..., Any], cfg: Any, *args: Any, **kwargs: Any) -> None:
        if _is_started_by_torchrun() and cfg.distributed_world_size == 1:
            cfg.distributed_world_size = int(os.environ["WORLD_SIZE"])
        original(cfg, *args, **kwargs)

    wrap_function(distributed_utils, "infer_init_method", infer_init_method)


def allow_torchrun_on_cpu() -> None:
    """Lets processes that torchrun starts train on a machine without a GPU.

    Symptom: `ZeroDivisionError: integer modulo by zero`.
    Cause: the device of a process is its rank modulo the number of GPUs, and fairseq's defaults (NCCL, and torch's
    DistributedDataParallel on a device) need GPUs, too: gloo and legacy_ddp take their place. No upstream issue.
    """

    def infer_from_torchrun(original: Callable[..., Any], cfg: Any) -> None:
        if torch.cuda.device_count():
            original(cfg)
            return
        cfg.distributed_init_method = "env://"
        cfg.distributed_world_size = int(os.environ["WORLD_SIZE"])
        cfg.distributed_rank = int(os.environ["RANK"])
        cfg.device_id = 0
        cfg.distributed_no_spawn = True
        for name, needs_gpu, instead in (
            ("distributed_backend", ("nccl",), "gloo"),
            ("ddp_backend", ("c10d", "pytorch_ddp"), "legacy_ddp"),
        ):
            if cfg[name] in needs_gpu:
                logger.info("--%s %s needs a GPU: using %s", name.replace("_", "-"), cfg[name], instead)
                cfg[name] = instead

    wrap_function(distributed_utils, "_infer_torch_distributed_launch_init", infer_from_torchrun)


def destroy_process_groups_before_exit() -> None:
    """Takes the groups of processes apart, and ends their threads, before a process that did well ends.

    Symptom: now and then a finished training ends with `terminate called without an active exception` (SIGABRT), and
    torchrun calls it failed.
    Cause: fairseq leaves its groups to the end of the process, where gloo's threads may still let go of tensors, for
    which they want the interpreter's lock.
    Source: pytorch/pytorch#190489, #179291.
    """

    def call_main(original: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
        original(*args, **kwargs)
        destroy_process_groups_at_exit()  # all processes have met at fairseq's last barrier

    wrap_function(distributed_utils, "call_main", call_main)


def destroy_process_groups_at_exit() -> None:
    """Has the groups of this process taken apart when it ends; to be called where nobody waits for anyone any more."""
    atexit.unregister(_end_groups)
    atexit.register(_end_groups)


def _end_groups() -> None:
    """Note: `destroy_process_group` ends no thread of a group that anyone still holds, hence what follows it."""
    if not torch.distributed.is_initialized():
        return
    torch.distributed.destroy_process_group()
    vars(distributed_utils.get_global_group).pop("_global_group", None)
    functional = sys.modules.get("torch.distributed.nn.functional")  # made after the group, it has it for a default
    for function in filter(inspect.isfunction, vars(functional).values() if functional else ()):
        function.__defaults__ = None
    gc.collect()  # the trainer holds groups, too, and is part of a cycle
