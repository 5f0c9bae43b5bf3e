"""Patches of how fairseq reads checkpoints."""

from __future__ import annotations

import contextlib
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from fairseq import checkpoint_utils
from fairseq.distributed import utils as distributed_utils
from fairseq.trainer import Trainer
from omegaconf import OmegaConf

from resmlp_mt.common.errors import ResMLPError
from resmlp_mt.common.safe_checkpoint import CHECKPOINT_CLASSES, evaluate_literal, map_checkpoint, read_checkpoint
from resmlp_mt.common.vocabularies import require_same_vocabularies
from resmlp_mt.fairseq_plugin.patches.patching import wrap_function


def allow_checkpoint_classes() -> None:
    """Lets torch load fairseq's own checkpoints while it keeps refusing everything else.

    Symptom: `UnpicklingError: Weights only load failed ... Unsupported global: GLOBAL argparse.Namespace` from every
    command, with torch 2.6 or later; after --eval-bleu, `numpy._core.multiarray._reconstruct`.
    Cause: `torch.load` became safe by default, and fairseq's checkpoints hold more than tensors.
    Source: facebookresearch/fairseq#5610, #5603.
    """
    torch.serialization.add_safe_globals(list(CHECKPOINT_CLASSES))


def allow_distributed_resume() -> None:
    """Lets the first process send the checkpoint that it loaded to the others.

    Symptom: `UnpicklingError: Weights only load failed ... GLOBAL omegaconf.dictconfig.DictConfig` when a run of
    several processes resumes, with torch 2.6 or later.
    Cause: `broadcast_object` reads with `torch.load`, too, and the settings travel as OmegaConf's own classes and the
    places of tensors as a class of fairseq's. Nobody reads these settings; they now travel as dictionaries.
    Source: facebookresearch/fairseq#5610.
    """
    torch.serialization.add_safe_globals([distributed_utils._TensorPlaceholder])

    def broadcast_object(original: Callable[..., Any], obj: Any, *args: Any, **kwargs: Any) -> Any:
        if isinstance(obj, dict):
            obj = {name: OmegaConf.to_container(x) if OmegaConf.is_config(x) else x for name, x in obj.items()}
        return original(obj, *args, **kwargs)

    wrap_function(distributed_utils, "broadcast_object", broadcast_object)


def parse_settings_as_literals() -> None:
    """Reads the settings in a checkpoint as literals instead of running them.

    Symptom: a checkpoint without any forbidden class still runs code when its model is built: with the architecture
    fconv and `encoder_layers` a string such as "__import__('os').system('...')".
    Cause: fairseq calls Python's `eval` on such settings, in many modules.
    Source: facebookresearch/fairseq#4869 (the same in another reader).
    """
    for name, module in list(sys.modules.items()):
        if name.split(".")[0] == "fairseq" and "eval" not in vars(module):
            module.eval = evaluate_literal


def explain_unreadable_checkpoints() -> None:
    """Says in one sentence that a checkpoint is damaged or was refused.

    Symptom: a traceback that ends in `OSError: [Errno 22]`, `EOFError`, `KeyError: 101`, or in the advice to load a
    hostile file without protection.
    Cause: `load_checkpoint_to_cpu` leaves it to torch to explain. No upstream issue.
    """

    def load_checkpoint(original: Callable[..., Any], path: str, *args: Any, **kwargs: Any) -> Any:
        try:
            return original(path, *args, **kwargs)
        except Exception:
            if Path(path).is_file():
                read_checkpoint(path)
            raise

    wrap_function(checkpoint_utils, "load_checkpoint_to_cpu", load_checkpoint)


def _explain_other_vocabulary(error: BaseException | None, checkpoint: str) -> None:
    """Raises a `ResMLPError` if an embedding of `checkpoint` has other words than the model that was built."""
    pattern = r"size mismatch for ((?!\S*position)\S*embed\S*): .*?Size\(\[(\d+), (\d+)\]\).*?Size\(\[(\d+), \3\]\)"
    mismatch = re.search(pattern, str(error))
    if mismatch:
        name, expected, _, found = mismatch.groups()
        raise ResMLPError(
            f"the data's vocabulary must be that of checkpoint {checkpoint} ({expected} words in {name}), "
            f"but has {found} words; give the data folder whose dict.*.txt the model was trained with"
        ) from error


def explain_vocabulary_mismatch() -> None:
    """Says in one sentence that a checkpoint was trained with other vocabularies than the data folder's.

    Symptom: a traceback that ends in `size mismatch for encoder.embed_tokens.weight`, or, when training, in "please
    ensure that the architectures match".
    Cause: checkpoints do not hold their dictionaries, so fairseq notices only when tensors do not fit.
    Source: facebookresearch/fairseq#4469, #4557.
    """

    def load_ensemble(original: Callable[..., Any], filenames: list[str], *args: Any, **kwargs: Any) -> Any:
        try:
            return original(filenames, *args, **kwargs)
        except RuntimeError as error:
            _explain_other_vocabulary(error, ":".join(filenames))
            raise

    def load_checkpoint(
        original: Callable[..., Any], trainer: Trainer, filename: str, *args: Any, **kwargs: Any
    ) -> Any:
        try:
            return original(trainer, filename, *args, **kwargs)
        except Exception as error:
            _explain_other_vocabulary(error.__context__, filename)  # fairseq raises its own error while handling this
            raise

    wrap_function(checkpoint_utils, "load_model_ensemble_and_task", load_ensemble)
    wrap_function(Trainer, "load_checkpoint", load_checkpoint)


def task_vocabularies(task: Any) -> dict[str, Sequence[str]]:
    """The symbols of a task's dictionaries, of "source" and "target"; empty where a task has none."""
    found = {}
    for side in ("source", "target"):
        with contextlib.suppress(NotImplementedError):  # the property of fairseq's base class
            if symbols := getattr(getattr(task, f"{side}_dictionary", None), "symbols", None):
                found[side] = symbols
    return found


def reject_reordered_vocabularies() -> None:
    """Refuses a checkpoint that was trained with other dictionaries of the same size than the data folder's.

    Symptom: a model that was trained well translates garbage, or a training that goes on begins anew.
    Cause: as in `explain_vocabulary_mismatch`; here the tensors fit. Only checkpoints that `fairseq-train` wrote with
    this package say their vocabularies.
    Source: facebookresearch/fairseq#4469, #4557.
    """

    def load_ensemble_of_one_vocabulary(
        original: Callable[..., Any], filenames: list[str], *args: Any, **kwargs: Any
    ) -> Any:
        found = original(filenames, *args, **kwargs)
        task = found[2]
        for filename in filenames:
            if Path(filename).is_file():  # a checkpoint in several parts has other names
                extra_state = map_checkpoint(filename).get("extra_state")
                require_same_vocabularies(extra_state, task_vocabularies(task), filename, _data_folder(task))
        return found

    def load_checkpoint_of_one_vocabulary(
        original: Callable[..., Any], trainer: Trainer, filename: str, *args: Any, **kwargs: Any
    ) -> Any:
        extra_state = original(trainer, filename, *args, **kwargs)
        task = trainer.task
        require_same_vocabularies(extra_state, task_vocabularies(task), filename, _data_folder(task))
        return extra_state

    wrap_function(checkpoint_utils, "load_model_ensemble_and_task", load_ensemble_of_one_vocabulary)
    wrap_function(Trainer, "load_checkpoint", load_checkpoint_of_one_vocabulary)


def _data_folder(task: Any) -> str:
    return str(getattr(getattr(task, "cfg", None), "data", None) or "the data folder")
