"""Patches of fairseq's parsing of options, start of processes, and batching."""

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

    Defect: `fairseq-generate` translates 3000 of 3003 sentences; the last ones are missing from training and
        validation, too. `batch_by_size` (`fairseq.data.data_utils`) drops the last batch if its size is not a multiple
        of --required-batch-size-multiple (default 8), and raises an IndexError if there are no sentences.
    Patch: appends the dropped sentences as a batch, and returns no batches if there are no sentences.
    Upstream: facebookresearch/fairseq#5036, #5351, #5094.
    """

    def batch_by_size(original: Callable[..., Any], indices: Any, *args: Any, **kwargs: Any) -> list[np.ndarray]:
        indices = indices if isinstance(indices, np.ndarray) else np.fromiter(indices, dtype=np.int64)
        if len(indices) == 0:
            return []
        batches = list(original(indices, *args, **kwargs))
        dropped = indices[sum(len(batch) for batch in batches) :]  # batches are consecutive slices
        return [*batches, dropped] if len(dropped) else batches

    wrap_function(data_utils, "batch_by_size", batch_by_size)


def keep_batches_on_resume() -> None:
    """Gives a resumed training the same batches as an uninterrupted one.

    Defect: a training that resumes in its second epoch or later reaches another loss than an uninterrupted one.
        `FairseqTask.get_batch_iterator` (`fairseq.tasks.fairseq_task`) shuffles sentences of equal length with the seed
        plus the epoch of the call, and keeps the batches for all later epochs. An uninterrupted training calls it in
        epoch 1, a resumed one later.
    Patch: always makes the batches as in epoch 1, then sets the epoch of the iterator and the data set.
    Upstream: no issue; found in the source of 0.12.3.1.
    """

    def get_batch_iterator(
        original: Callable[..., Any], task: FairseqTask, dataset: Any, *args: Any, **kwargs: Any
    ) -> Any:
        epoch = kwargs.get("epoch", 1)
        if epoch <= 1 or kwargs.get("update_epoch_batch_itr") or getattr(task.cfg, "rebuild_batches", False):
            return original(task, dataset, *args, **kwargs)
        iterator = original(task, dataset, *args, **{**kwargs, "epoch": 1})
        if iterator._cur_epoch_itr is None:  # an iterator already in use has the right epoch
            iterator.epoch = epoch
            dataset.set_epoch(epoch)
        return iterator

    wrap_function(FairseqTask, "get_batch_iterator", get_batch_iterator)


def keep_bf16_on_the_gpu() -> None:
    """Makes --bf16 train on the GPU, or on the CPU if there is no GPU.

    Defect: `parse_args_and_arch` (`fairseq.options`) sets --tpu if --bf16 is given, and --tpu turns CUDA off. The GPU
        stays idle; without a GPU the training fails: `'NoneType' object has no attribute 'xla_device'`.
    Patch: restores the value of --tpu from the command line.
    Upstream: facebookresearch/fairseq#4696.
    """

    def parse_without_tpu(
        original: Callable[..., Any],
        parser: argparse.ArgumentParser,
        input_args: list[str] | None = None,
        *args: Any,
        **kwargs: Any,
    ) -> Any:
        parsed = original(parser, input_args, *args, **kwargs)
        parsed_args = parsed[0] if isinstance(parsed, tuple) else parsed
        if getattr(parsed_args, "bf16", False) and getattr(parsed_args, "tpu", False):
            given, _ = parser.parse_known_args(input_args)
            parsed_args.tpu = given.tpu
        return parsed

    wrap_function(options, "parse_args_and_arch", parse_without_tpu)


def make_task_optional_in_validate() -> None:
    """Makes --task optional in `fairseq-validate`, which takes the task from the checkpoint anyway.

    Defect: without --task, `parse_args_and_arch` (`fairseq.options`) looks up the task None in the registry: `KeyError:
        None`.
    Patch: makes "translation" the default of --task where it has no default.
    Upstream: no issue.
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

    Defect: without a GPU, or with one per machine, every process trains a separate model, and all write the same
        checkpoint files. The default of --distributed-world-size is the number of local GPUs, at least 1, and
        `infer_init_method` (`fairseq.distributed.utils`) returns at 1, before it reads torchrun's environment
        variables.
    Patch: takes the world size from WORLD_SIZE if torchrun's variables are set.
    Upstream: no issue.
    """

    def infer_init_method(original: Callable[..., Any], cfg: Any, *args: Any, **kwargs: Any) -> None:
        if _is_started_by_torchrun() and cfg.distributed_world_size == 1:
            cfg.distributed_world_size = int(os.environ["WORLD_SIZE"])
        original(cfg, *args, **kwargs)

    wrap_function(distributed_utils, "infer_init_method", infer_init_method)


def allow_torchrun_on_cpu() -> None:
    """Makes training with torchrun work on machines without a GPU.

    Defect: `_infer_torch_distributed_launch_init` (`fairseq.distributed.utils`) computes the device as the rank modulo
        the number of GPUs: `ZeroDivisionError: integer modulo by zero`. fairseq's default backends, NCCL and torch's
        DistributedDataParallel on a device, require GPUs, too.
    Patch: without a GPU, sets the device to 0 and replaces these backends by gloo and legacy_ddp.
    Upstream: no issue.
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
        for name, gpu_backends, replacement in (
            ("distributed_backend", ("nccl",), "gloo"),
            ("ddp_backend", ("c10d", "pytorch_ddp"), "legacy_ddp"),
        ):
            if cfg[name] in gpu_backends:
                logger.info("--%s %s requires a GPU; using %s", name.replace("_", "-"), cfg[name], replacement)
                cfg[name] = replacement

    wrap_function(distributed_utils, "_infer_torch_distributed_launch_init", infer_from_torchrun)


def destroy_process_groups_before_exit() -> None:
    """Destroys the process groups and ends their threads before a successful process exits.

    Defect: a finished distributed training occasionally aborts with `terminate called without an active exception`
        (SIGABRT), and torchrun reports a failure. `call_main` (`fairseq.distributed.utils`) does not destroy the
        process groups. During the exit, gloo's threads may still release tensors, for which they need the GIL.
    Patch: destroys the groups at exit, after `call_main` has returned without an exception.
    Upstream: pytorch/pytorch#190489, #179291; no issue of fairseq.
    """

    def call_main(original: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
        original(*args, **kwargs)
        destroy_process_groups_at_exit()  # all processes have passed fairseq's last barrier

    wrap_function(distributed_utils, "call_main", call_main)


def destroy_process_groups_at_exit() -> None:
    """Destroys the process groups of this process at exit. Call it after the last collective operation."""
    atexit.unregister(_destroy_process_groups)
    atexit.register(_destroy_process_groups)


def _destroy_process_groups() -> None:
    """Destroys all groups and the references to them: threads of a group that is still referenced would not end."""
    if not torch.distributed.is_initialized():
        return
    torch.distributed.destroy_process_group()
    vars(distributed_utils.get_global_group).pop("_global_group", None)
    # Functions of this module have the group as a default argument if it was imported after the group was made.
    functional = sys.modules.get("torch.distributed.nn.functional")
    for function in filter(inspect.isfunction, vars(functional).values() if functional else ()):
        function.__defaults__ = None
    gc.collect()  # the trainer also refers to groups and is part of a reference cycle
