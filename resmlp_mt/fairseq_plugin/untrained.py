"""Builds models with random parameters from the options of `fairseq-train`."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace

from fairseq import options
from fairseq.data import Dictionary
from fairseq.dataclass.utils import convert_namespace_to_omegaconf
from fairseq.models import build_model
from torch import nn

from resmlp_mt import register_with_fairseq


def build_untrained(args: Sequence[str], vocab_size: int) -> tuple[nn.Module, str]:
    """Builds a translation model with a joint dictionary of placeholder symbols.

    Args:
        args: options of `fairseq-train` for the model, the optimizer and the schedule.
        vocab_size: size of the dictionary, including the special tokens.

    Returns:
        The model, and the name of the optimizer.
    """
    register_with_fairseq()
    parser = options.get_training_parser()
    settings = options.parse_args_and_arch(parser, ["DATA", "--task", "translation", *args])
    dictionary = Dictionary()
    for number in range(vocab_size - len(dictionary)):
        dictionary.add_symbol(f"w{number}")
    task = SimpleNamespace(source_dictionary=dictionary, target_dictionary=dictionary, cfg=settings)
    return build_model(convert_namespace_to_omegaconf(settings).model, task), settings.optimizer
