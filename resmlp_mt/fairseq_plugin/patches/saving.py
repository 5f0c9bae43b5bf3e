"""Patches of how fairseq writes checkpoints and ends a training."""

from __future__ import annotations

import errno
import logging
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from fairseq import checkpoint_utils
from fairseq.file_io import PathManager
from fairseq.optim.amp_optimizer import AMPOptimizer

from resmlp_mt.common.errors import ResMLPError
from resmlp_mt.common.files import whole_file
from resmlp_mt.common.tensor_files import cause as operating_system_error
from resmlp_mt.fairseq_plugin.patches.patching import wrap_function

logger = logging.getLogger(__name__)

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
NO_EPOCH = -1  # as max_epoch: no epoch is due, while 0 means without end
_ATTEMPTS, _PAUSE_SECONDS = 3, 2.5  # fairseq's own, for network file systems


def _attempt(write: Callable[[Path], None], path: Path) -> None:
    """Writes a file whole, as often as fairseq tries; where there is no room, once.

    Raises:
        ResMLPError: when the file cannot be written.
    """
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            with whole_file(path, durable=True) as partial:
                write(partial)
            return
        except Exception as error:
            cause = operating_system_error(error)
            if cause is None:
                raise
            if cause.errno in _NO_ROOM or attempt == _ATTEMPTS:
                remedy = "free some space" if cause.errno in _NO_ROOM else "see to the disk"
                raise ResMLPError(
                    f"checkpoint {path} must be writable, but is not ({cause.strerror}); {remedy} and run the same "
                    "command again: the checkpoints written before are whole"
                ) from error
            logger.warning("writing %s failed (%s); trying again", path, cause.strerror)
            time.sleep(_PAUSE_SECONDS)


def write_checkpoints_atomically() -> None:
    """Lets every checkpoint file appear whole or not at all, whatever ends the training.

    Symptom: after a full disk or a kill, `checkpoint_last.pt` or `checkpoint_best.pt` is half a file, and the good one
    is gone.
    Cause: only the first file of a save is written under another name and renamed; the others are copied over the old
    ones in place. A write that failed is repeated behind what it had left. No upstream issue; read in 0.12.3.1.
    """

    def save(original: Callable[..., Any], obj: Any, filename: str, async_write: bool = False) -> None:
        if async_write or not PathManager.supports_rename(filename):
            original(obj, filename, async_write=async_write)
            return

        def write(partial: Path) -> None:
            with partial.open("wb") as file:
                torch.save(obj, file)

        _attempt(write, Path(filename))

    def copy(original: Callable[..., Any], source: str, target: str, overwrite: bool = False) -> Any:
        if not (PathManager.supports_rename(source) and PathManager.supports_rename(target)):
            return original(source, target, overwrite=overwrite)

        def write(partial: Path) -> None:
            shutil.copyfile(source, partial)

        _attempt(write, Path(target))
        return target

    wrap_function(checkpoint_utils, "torch_persistent_save", save)
    wrap_function(PathManager, "copy", copy)


def stop_finished_training() -> None:
    """Ends at once when the checkpoint already has as many updates or epochs as --max-update and --max-epoch ask for.

    Symptom: the same command again trains a finished model by one update more, every time. After the last epoch it
    trains nothing, but does not say so.
    Cause: `train` looks at --max-update after an update only. No upstream issue; read in `fairseq_cli.train` of
    0.12.3.1.
    """

    def load_checkpoint(original: Callable[..., Any], cfg: Any, trainer: Any, **options: Any) -> Any:
        found = original(cfg, trainer, **options)
        settings, updates, epochs = trainer.cfg.optimization, trainer.get_num_updates(), found[1].next_epoch_idx - 1
        if settings.max_update and 0 < settings.max_update <= updates:
            logger.info(
                "nothing to train: the checkpoint has %d updates of --max-update %d", updates, settings.max_update
            )
            settings.max_epoch = NO_EPOCH
        elif updates and 0 < settings.max_epoch <= epochs:
            logger.info("nothing to train: the checkpoint has %d epochs of --max-epoch %d", epochs, settings.max_epoch)
            settings.max_epoch = NO_EPOCH
        return found

    wrap_function(checkpoint_utils, "load_checkpoint", load_checkpoint)


def stop_amp_without_loss_scale() -> None:
    """Ends a training with --amp whose gradient is not finite where there is no loss scale to lower.

    Symptom: on CPU the parameters become NaN, and the same batch is tried again and again.
    Cause: `clip_grad_norm` waits for the scale to reach its minimum, which torch's scaler turned off never does, and
    such a scaler lets the optimizer step with any gradient. No upstream issue; read in `AMPOptimizer` of 0.12.3.1.
    """

    def clip_grad_norm(original: Callable[..., Any], self: AMPOptimizer, *args: Any, **kwargs: Any) -> torch.Tensor:
        norm = original(self, *args, **kwargs)
        if not self.scaler.is_enabled() and not torch.isfinite(norm).all():
            raise FloatingPointError("gradients are Nan/Inf")  # as fairseq says without --amp
        return norm

    wrap_function(AMPOptimizer, "clip_grad_norm", clip_grad_norm)
