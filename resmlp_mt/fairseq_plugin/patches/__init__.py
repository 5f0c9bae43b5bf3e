"""Patches of the installed fairseq (0.12.3.1), one function per upstream defect.

Each patch changes only the defective case, and applying it twice has no effect. `apply_patches` runs when fairseq
imports this package as --user-dir: in every command and every spawned process, before the options are parsed. By then
fairseq's modules are imported. A patch therefore replaces an attribute of a module or class that fairseq looks up at
each call.

The docstring of each patch has these parts:

- Defect: what happens, and where in fairseq.
- Patch: what the patch does.
- Upstream: the issue, or that there is none.

Note: `fairseq-hydra-train` imports this package after it has set up distributed training, too late for the patches for
torchrun. For training on the CPU with several processes, set under `distributed_training`:
`distributed_world_size=2 distributed_rank=${oc.env:RANK} distributed_init_method=env:// distributed_no_spawn=true
distributed_backend=gloo ddp_backend=legacy_ddp`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any

from resmlp_mt.common.errors import ResMLPError
from resmlp_mt.fairseq_plugin.patches.checkpoints import (
    allow_checkpoint_classes,
    allow_distributed_resume,
    explain_unreadable_checkpoints,
    explain_vocabulary_mismatch,
    parse_settings_as_literals,
    reject_reordered_vocabularies,
)
from resmlp_mt.fairseq_plugin.patches.generation import (
    allow_ngram_blocking_on_cpu,
    fix_diverse_beam_order,
    fix_replace_unk_alignments,
)
from resmlp_mt.fairseq_plugin.patches.layers import keep_unused_biases_out_of_training
from resmlp_mt.fairseq_plugin.patches.loading import (
    end_loaders_before_exit,
    end_unread_loaders,
    end_workers_with_their_epoch,
)
from resmlp_mt.fairseq_plugin.patches.patching import wrap_function
from resmlp_mt.fairseq_plugin.patches.requirements import reject_invalid_training_options
from resmlp_mt.fairseq_plugin.patches.running import (
    allow_torchrun_on_cpu,
    destroy_process_groups_before_exit,
    detect_torchrun_processes,
    keep_batches_on_resume,
    keep_bf16_on_the_gpu,
    keep_the_last_batch,
    make_task_optional_in_validate,
)
from resmlp_mt.fairseq_plugin.patches.saving import (
    keep_shared_parameters_shared,
    stop_amp_without_loss_scale,
    stop_finished_training,
    write_checkpoints_atomically,
)


def print_errors_in_one_line() -> None:
    """Prints an uncaught `ResMLPError` as one line instead of a traceback; other exceptions are unchanged.

    Defect: fairseq's commands (`fairseq_cli`) catch no exceptions, so the message of a user's error comes after a
        traceback.
    Patch: wraps `sys.excepthook`.
    Upstream: no issue known.
    """

    def report(
        original: Callable[..., Any],
        kind: type[BaseException],
        error: BaseException,
        traceback: TracebackType | None,
    ) -> None:
        if isinstance(error, ResMLPError):
            print(f"{Path(sys.argv[0]).name}: error: {error}", file=sys.stderr)
        else:
            original(kind, error, traceback)

    wrap_function(sys, "excepthook", report)


PATCHES: tuple[Callable[[], None], ...] = (
    allow_checkpoint_classes,
    allow_distributed_resume,
    parse_settings_as_literals,
    explain_unreadable_checkpoints,
    explain_vocabulary_mismatch,
    reject_reordered_vocabularies,
    keep_the_last_batch,
    keep_batches_on_resume,
    keep_bf16_on_the_gpu,
    make_task_optional_in_validate,
    detect_torchrun_processes,
    allow_torchrun_on_cpu,
    destroy_process_groups_before_exit,
    end_workers_with_their_epoch,
    end_unread_loaders,
    end_loaders_before_exit,
    fix_replace_unk_alignments,
    fix_diverse_beam_order,
    allow_ngram_blocking_on_cpu,
    write_checkpoints_atomically,
    keep_shared_parameters_shared,
    stop_finished_training,
    stop_amp_without_loss_scale,
    keep_unused_biases_out_of_training,
    reject_invalid_training_options,
    print_errors_in_one_line,
)


def apply_patches() -> None:
    """Applies all patches."""
    for patch in PATCHES:
        patch()
