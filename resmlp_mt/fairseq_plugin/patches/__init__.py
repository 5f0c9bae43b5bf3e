"""Repairs of the installed fairseq: one function per upstream defect, named after what it makes true.

Each acts only where its defect shows and may be called again. `repair_all` runs when fairseq imports this package's
folder, which happens in every command and in every process that a command spawns, before the command's options are
parsed. Repairs therefore change what fairseq's modules hold, and only functions that fairseq looks up in their module
when it calls them.

Note: `fairseq-hydra-train` imports the folder after it has chosen how to run distributed, so that the repairs for
torchrun come too late there. Its processes train together on CPU when told so under `distributed_training`:
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
    explain_other_vocabularies,
    explain_unreadable_checkpoints,
    let_distributed_runs_resume,
    never_run_settings_as_code,
    refuse_vocabularies_in_another_order,
)
from resmlp_mt.fairseq_plugin.patches.generation import (
    keep_diverse_beams_with_their_sentence,
    let_ngrams_be_blocked_on_cpu,
    let_replace_unk_read_alignments,
)
from resmlp_mt.fairseq_plugin.patches.layers import keep_unused_biases_out_of_training
from resmlp_mt.fairseq_plugin.patches.loading import (
    end_loaders_without_a_reader,
    end_workers_with_their_epoch,
    let_loaders_end_before_the_process,
)
from resmlp_mt.fairseq_plugin.patches.patching import put_around
from resmlp_mt.fairseq_plugin.patches.requirements import refuse_trainings_that_cannot_run
from resmlp_mt.fairseq_plugin.patches.running import (
    keep_bf16_on_the_gpu,
    keep_the_last_batch,
    let_processes_part_in_order,
    let_torchrun_count_its_processes,
    let_torchrun_run_on_cpu,
    let_validate_do_without_a_task,
    resume_with_the_batches_of_the_first_epoch,
)
from resmlp_mt.fairseq_plugin.patches.saving import (
    let_a_finished_training_rest,
    let_amp_stop_without_a_gpu,
    write_checkpoints_whole,
)


def say_our_errors_in_one_line() -> None:
    """Prints a `ResMLPError` that nobody caught as one line instead of a traceback; other errors stay as they are."""

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

    put_around(sys, "excepthook", report)


REPAIRS: tuple[Callable[[], None], ...] = (
    allow_checkpoint_classes,
    let_distributed_runs_resume,
    never_run_settings_as_code,
    explain_unreadable_checkpoints,
    explain_other_vocabularies,
    refuse_vocabularies_in_another_order,
    keep_the_last_batch,
    resume_with_the_batches_of_the_first_epoch,
    keep_bf16_on_the_gpu,
    let_validate_do_without_a_task,
    let_torchrun_count_its_processes,
    let_torchrun_run_on_cpu,
    let_processes_part_in_order,
    end_workers_with_their_epoch,
    end_loaders_without_a_reader,
    let_loaders_end_before_the_process,
    let_replace_unk_read_alignments,
    keep_diverse_beams_with_their_sentence,
    let_ngrams_be_blocked_on_cpu,
    write_checkpoints_whole,
    let_a_finished_training_rest,
    let_amp_stop_without_a_gpu,
    keep_unused_biases_out_of_training,
    refuse_trainings_that_cannot_run,
    say_our_errors_in_one_line,
)


def repair_all() -> None:
    """Makes every repair."""
    for repair in REPAIRS:
        repair()
