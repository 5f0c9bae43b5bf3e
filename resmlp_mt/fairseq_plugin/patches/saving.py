"""Patches of fairseq's writing of checkpoints and of the end of a training."""

from __future__ import annotations

import errno
import logging
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from fairseq import checkpoint_utils, utils
from fairseq.file_io import PathManager
from fairseq.optim.amp_optimizer import AMPOptimizer

from resmlp_mt.common.errors import ResMLPError
from resmlp_mt.common.files import whole_file
from resmlp_mt.common.tensor_files import cause as operating_system_error
from resmlp_mt.fairseq_plugin.patches.patching import wrap_function

logger = logging.getLogger(__name__)

_NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
NO_EPOCH = -1  # value of max_epoch that stops before the first epoch; 0 means no limit
_ATTEMPTS, _PAUSE_SECONDS = 3, 2.5  # as in fairseq, for network file systems


def _attempt(write: Callable[[Path], None], path: Path) -> None:
    """Writes a file atomically, with as many attempts as fairseq makes; only one if the disk is full.

    Args:
        write: writes the content to the temporary path that it receives.
        path: the file.

    Raises:
        ResMLPError: if the file cannot be written.
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
            if cause.errno in _NO_SPACE or attempt == _ATTEMPTS:
                remedy = "free some space" if cause.errno in _NO_SPACE else "check the disk"
                raise ResMLPError(
                    f"checkpoint {path} cannot be written ({cause.strerror}); {remedy} and run the same command again: "
                    "the earlier checkpoints are intact"
                ) from error
            logger.warning("writing %s failed (%s); trying again", path, cause.strerror)
            time.sleep(_PAUSE_SECONDS)


def keep_shared_parameters_shared() -> None:
    """Writes a parameter that has several names once, also from a GPU and with --bf16 or --fp16.

    Defect: the checkpoints of a model with shared embeddings contain the embedding table up to three times.
        `move_to_cpu` (`fairseq.utils`) copies or converts the tensor of each name separately.
    Patch: copies each tensor once.
    Upstream: no issue known.
    """

    def move_to_cpu(original: Callable[..., Any], sample: Any) -> Any:
        copies: dict[tuple[Any, ...], torch.Tensor] = {}

        def copy(tensor: torch.Tensor) -> torch.Tensor:
            place = (tensor.data_ptr(), tensor.dtype, tensor.device, tensor.shape, tensor.stride())
            if place not in copies or tensor.numel() == 0:
                (copies[place],) = original([tensor])
            return copies[place]

        return utils.apply_to_sample(copy, sample)

    wrap_function(utils, "move_to_cpu", move_to_cpu)


def write_checkpoints_atomically() -> None:
    """Writes every checkpoint file atomically, so that a full disk or a kill leaves the previous one intact.

    Defect: after a full disk or a kill, `checkpoint_last.pt` or `checkpoint_best.pt` is truncated, and the previous
        file is lost. `save_checkpoint` (`fairseq.checkpoint_utils`) writes only the first file of a save under a
        temporary name and copies it over the others in place, with `PathManager.copy` (`fairseq.file_io`). After a
        failed write `_torch_persistent_save` (`fairseq.checkpoint_utils`) tries again in the same open file, behind the
        partial content.
    Patch: `torch_persistent_save` and `PathManager.copy` write to a temporary file, sync it and rename it. Each attempt
        starts with an empty file.
    Upstream: no issue; found in the source of 0.12.3.1.
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
    """Ends a resumed training at once if its checkpoint has already reached --max-update or --max-epoch.

    Defect: running the command of a finished training again trains one more update each time, since `validate_and_save`
        (`fairseq_cli.train`) compares with --max-update only after an update. After the last epoch `main` trains
        nothing, but logs no reason.
    Patch: after `load_checkpoint` (`fairseq.checkpoint_utils`), logs that nothing is left to train and sets the maximum
        epoch to `NO_EPOCH`.
    Upstream: no issue; found in the source of 0.12.3.1.
    """

    def load_checkpoint(original: Callable[..., Any], cfg: Any, trainer: Any, **options: Any) -> Any:
        result = original(cfg, trainer, **options)
        settings, updates, epochs = trainer.cfg.optimization, trainer.get_num_updates(), result[1].next_epoch_idx - 1
        if settings.max_update and 0 < settings.max_update <= updates:
            logger.info(
                "nothing to train: the checkpoint has %d updates of --max-update %d", updates, settings.max_update
            )
            settings.max_epoch = NO_EPOCH
        elif updates and 0 < settings.max_epoch <= epochs:
            logger.info("nothing to train: the checkpoint has %d epochs of --max-epoch %d", epochs, settings.max_epoch)
            settings.max_epoch = NO_EPOCH
        return result

    wrap_function(checkpoint_utils, "load_checkpoint", load_checkpoint)


def stop_amp_without_loss_scale() -> None:
    """Ends a training with --amp on the CPU when a gradient is not finite.

    Defect: on the CPU torch's `GradScaler` is disabled: its scale stays 1, and it lets the optimizer step with any
        gradient. `AMPOptimizer.clip_grad_norm` (`fairseq.optim.amp_optimizer`) raises an error only when the scale has
        reached its minimum. So the parameters become NaN, and the same batch is repeated without end.
    Patch: raises fairseq's `FloatingPointError` if the scaler is disabled and the gradient norm is not finite.
    Upstream: no issue; found in the source of 0.12.3.1.
    """

    def clip_grad_norm(original: Callable[..., Any], self: AMPOptimizer, *args: Any, **kwargs: Any) -> torch.Tensor:
        norm = original(self, *args, **kwargs)
        if not self.scaler.is_enabled() and not torch.isfinite(norm).all():
            raise FloatingPointError("gradients are Nan/Inf")  # fairseq's message without --amp
        return norm

    wrap_function(AMPOptimizer, "clip_grad_norm", clip_grad_norm)
