"""Checks that this machine and installation support the options of a training, before anything is loaded."""

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
    """Rejects `--fp16` without a GPU, and `--ddp-backend fully_sharded` without fairscale.

    Defect: fairseq checks for neither before it uses it. The training fails only after the model and the data are
        loaded, with the tracebacks `Found no NVIDIA driver` and `Please install fairscale`.
    Patch: checks both options in `call_main` (`fairseq.distributed.utils`) and `Trainer.__init__`.
    Upstream: no issue.

    Note: `fairseq-hydra-train` imports this package too late for the check of fairscale.
    """

    def check_command(
        original: Callable[..., Any], cfg: Any, main: Callable[..., Any], *args: Any, **kwargs: Any
    ) -> Any:
        if "validate_and_save" in getattr(main, "__globals__", ()):  # the training loop, whichever command started it
            check_training(cfg)
        return original(cfg, main, *args, **kwargs)

    def check_trainer(original: Callable[..., None], self: Trainer, cfg: Any, *args: Any, **kwargs: Any) -> None:
        check_training(cfg)
        original(self, cfg, *args, **kwargs)

    wrap_function(distributed_utils, "call_main", check_command)
    wrap_function(Trainer, "__init__", check_trainer)


def check_training(cfg: Any) -> None:
    """Checks that the options of a training are supported here.

    Raises:
        ResMLPError: if an option requires a GPU or a package that is missing.
    """
    if cfg.common.fp16 and (cfg.common.cpu or not torch.cuda.is_available()):
        raise ResMLPError(
            "--fp16 requires a GPU, but none is available or --cpu is given; use --bf16 or leave --fp16 out"
        )
    if cfg.distributed_training.ddp_backend == "fully_sharded" and find_spec("fairscale") is None:
        raise ResMLPError(
            "--ddp-backend fully_sharded requires the package fairscale, which is not installed; "
            "run `pip install fairscale` or choose another backend"
        )
