"""Settings of fairseq's trainings that this machine or installation cannot serve, refused before anything is loaded."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import torch
from fairseq.distributed import utils as distributed_utils
from fairseq.trainer import Trainer

from resmlp_mt.common.errors import ResMLPError
from resmlp_mt.fairseq_plugin.patches.patching import wrap_function


def reject_invalid_training_options() -> None:
    """Refuses `--fp16` without a GPU, and `--ddp-backend fully_sharded` without fairscale.

    Symptom: the tracebacks `Found no NVIDIA driver` and `Please install fairscale`, after model and data are made.
    Cause: fairseq looks for neither before it uses it. No upstream issue.
    Note: `fairseq-hydra-train` imports this package too late for the second.
    """

    def check_command(
        original: Callable[..., Any], cfg: Any, main: Callable[..., Any], *args: Any, **kwargs: Any
    ) -> Any:
        if "validate_and_save" in getattr(main, "__globals__", ()):  # a training, by whatever name it was started
            check_training(cfg)
        return original(cfg, main, *args, **kwargs)

    def check_trainer(original: Callable[..., None], self: Trainer, cfg: Any, *args: Any, **kwargs: Any) -> None:
        check_training(cfg)
        original(self, cfg, *args, **kwargs)

    wrap_function(distributed_utils, "call_main", check_command)
    wrap_function(Trainer, "__init__", check_trainer)


def check_training(cfg: Any) -> None:
    """Checks the configuration of a training.

    Raises:
        ResMLPError: when it asks for what is not there.
    """
    if cfg.common.fp16 and (cfg.common.cpu or not torch.cuda.is_available()):
        raise ResMLPError(
            "--fp16 must be used with a GPU, but there is none or --cpu is given; use --bf16, or leave it out"
        )
    if cfg.distributed_training.ddp_backend == "fully_sharded" and find_spec("fairscale") is None:
        raise ResMLPError(
            "--ddp-backend fully_sharded must be used with the package fairscale, which is not installed; "
            "run `pip install fairscale`, or choose another backend"
        )
