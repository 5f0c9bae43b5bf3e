"""Patches of fairseq's reading of checkpoints."""

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
    """Makes fairseq's own checkpoints loadable with torch 2.6 or later; other classes stay forbidden.

    Defect: since torch 2.6 `torch.load` reads with `weights_only=True` by default, but fairseq's checkpoints contain
        more than tensors, and `load_checkpoint_to_cpu` (`fairseq.checkpoint_utils`) does not allow for it. Every
        command that loads one fails: `UnpicklingError: Weights only load failed ... Unsupported global: GLOBAL
        argparse.Namespace`; after a training with --eval-bleu, `numpy._core.multiarray._reconstruct`.
    Patch: adds `CHECKPOINT_CLASSES` to torch's safe globals.
    Upstream: facebookresearch/fairseq#5610, #5603.
    """
    torch.serialization.add_safe_globals(list(CHECKPOINT_CLASSES))


def allow_distributed_resume() -> None:
    """Makes the broadcast of a loaded checkpoint to the other processes work with torch 2.6 or later.

    Defect: a run of several processes cannot resume: `UnpicklingError: Weights only load failed ... GLOBAL
        omegaconf.dictconfig.DictConfig`. `broadcast_object` (`fairseq.distributed.utils`) deserializes with
        `torch.load`, too, and the object holds the configuration as OmegaConf's classes, and for each tensor a
        placeholder of a class of fairseq's.
    Patch: broadcasts the configuration as plain dictionaries, since no receiver reads it, and adds the placeholder
        class to torch's safe globals.
    Upstream: facebookresearch/fairseq#5610.
    """
    torch.serialization.add_safe_globals([distributed_utils._TensorPlaceholder])

    def broadcast_object(original: Callable[..., Any], obj: Any, *args: Any, **kwargs: Any) -> Any:
        if isinstance(obj, dict):
            obj = {name: OmegaConf.to_container(x) if OmegaConf.is_config(x) else x for name, x in obj.items()}
        return original(obj, *args, **kwargs)

    wrap_function(distributed_utils, "broadcast_object", broadcast_object)


def parse_settings_as_literals() -> None:
    """Parses options stored in a checkpoint as literals instead of executing them.

    Defect: a checkpoint without forbidden classes can still execute code when its model is built, for example with the
        architecture fconv and `encoder_layers` set to "__import__('os').system('...')". Many modules of fairseq
        (`fairseq.models.fconv` among them) call Python's `eval` on such options.
    Patch: defines `eval` in every loaded module of fairseq as `evaluate_literal`.
    Upstream: facebookresearch/fairseq#4869 (the same defect in another reader).
    """
    for name, module in list(sys.modules.items()):
        if name.split(".")[0] == "fairseq" and "eval" not in vars(module):
            module.eval = evaluate_literal


def explain_unreadable_checkpoints() -> None:
    """Reports a damaged or rejected checkpoint in one sentence.

    Defect: `load_checkpoint_to_cpu` (`fairseq.checkpoint_utils`) passes torch's exceptions on. The traceback ends in
        `OSError: [Errno 22]`, `EOFError` or `KeyError: 101`, or advises to load a malicious file with
        `weights_only=False`.
    Patch: after an exception, reads the file again with `read_checkpoint`, which raises a `ResMLPError`.
    Upstream: no issue.
    """

    def load_checkpoint(original: Callable[..., Any], path: str, *args: Any, **kwargs: Any) -> Any:
        try:
            return original(path, *args, **kwargs)
        except Exception:
            if Path(path).is_file():
                read_checkpoint(path)
            raise

    wrap_function(checkpoint_utils, "load_checkpoint_to_cpu", load_checkpoint)


def _explain_size_mismatch(error: BaseException | None, checkpoint: str) -> None:
    """Raises a `ResMLPError` if torch's error is a size mismatch between an embedding of the model and `checkpoint`."""
    pattern = r"size mismatch for ((?!\S*position)\S*embed\S*): .*?Size\(\[(\d+), (\d+)\]\).*?Size\(\[(\d+), \3\]\)"
    mismatch = re.search(pattern, str(error))
    if mismatch:
        name, of_checkpoint, _, of_data = mismatch.groups()
        raise ResMLPError(
            f"the data's vocabulary of {of_data} symbols does not match checkpoint {checkpoint}, which has "
            f"{of_checkpoint} symbols in {name}; give the data folder whose dict.*.txt the model was trained with"
        ) from error


def explain_vocabulary_mismatch() -> None:
    """Reports in one sentence that the vocabulary sizes of a checkpoint and the data folder differ.

    Defect: checkpoints do not contain the dictionaries, so `load_model_ensemble_and_task` (`fairseq.checkpoint_utils`)
        and `Trainer.load_checkpoint` (`fairseq.trainer`) fail only when the tensors are copied. The traceback ends in
        `size mismatch for encoder.embed_tokens.weight`, or in training in "please ensure that the architectures match".
    Patch: replaces this exception by a `ResMLPError` if the mismatch is in an embedding of tokens.
    Upstream: facebookresearch/fairseq#4469, #4557.
    """

    def load_ensemble(original: Callable[..., Any], filenames: list[str], *args: Any, **kwargs: Any) -> Any:
        try:
            return original(filenames, *args, **kwargs)
        except RuntimeError as error:
            _explain_size_mismatch(error, ":".join(filenames))
            raise

    def load_checkpoint(
        original: Callable[..., Any], trainer: Trainer, filename: str, *args: Any, **kwargs: Any
    ) -> Any:
        try:
            return original(trainer, filename, *args, **kwargs)
        except Exception as error:
            _explain_size_mismatch(error.__context__, filename)  # torch's error, which fairseq's own error replaced
            raise

    wrap_function(checkpoint_utils, "load_model_ensemble_and_task", load_ensemble)
    wrap_function(Trainer, "load_checkpoint", load_checkpoint)


def task_vocabularies(task: Any) -> dict[str, Sequence[str]]:
    """Returns the symbols of a task's dictionaries under "source" and "target"; a side without dictionary is absent."""
    vocabularies = {}
    for side in ("source", "target"):
        with contextlib.suppress(NotImplementedError):  # raised by the properties of fairseq's base class
            if symbols := getattr(getattr(task, f"{side}_dictionary", None), "symbols", None):
                vocabularies[side] = symbols
    return vocabularies


def reject_reordered_vocabularies() -> None:
    """Rejects a checkpoint whose dictionaries have the same size as the data folder's, but other symbols or order.

    Defect: as in `explain_vocabulary_mismatch`, but here the shapes match and nothing fails. A trained model translates
        garbage, and a resumed training effectively starts over.
    Patch: after loading, compares the digests of the vocabularies, which `fairseq-train` stores with this package.
        Other checkpoints are not checked.
    Upstream: facebookresearch/fairseq#4469, #4557.
    """

    def load_ensemble_and_compare(original: Callable[..., Any], filenames: list[str], *args: Any, **kwargs: Any) -> Any:
        result = original(filenames, *args, **kwargs)
        task = result[2]
        for filename in filenames:
            if Path(filename).is_file():  # the files of a sharded checkpoint have other names
                extra_state = map_checkpoint(filename).get("extra_state")
                require_same_vocabularies(extra_state, task_vocabularies(task), filename, _data_folder(task))
        return result

    def load_checkpoint_and_compare(
        original: Callable[..., Any], trainer: Trainer, filename: str, *args: Any, **kwargs: Any
    ) -> Any:
        extra_state = original(trainer, filename, *args, **kwargs)
        task = trainer.task
        require_same_vocabularies(extra_state, task_vocabularies(task), filename, _data_folder(task))
        return extra_state

    wrap_function(checkpoint_utils, "load_model_ensemble_and_task", load_ensemble_and_compare)
    wrap_function(Trainer, "load_checkpoint", load_checkpoint_and_compare)


def _data_folder(task: Any) -> str:
    return str(getattr(getattr(task, "cfg", None), "data", None) or "the data folder")
