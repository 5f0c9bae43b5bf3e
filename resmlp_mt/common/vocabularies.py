"""Checks that a checkpoint and a data folder have the same vocabularies, in the same order.

fairseq's checkpoints do not hold a dictionary. With this package `fairseq-train` stores digests of its dictionaries in
them; checkpoints without digests are not checked.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from resmlp_mt.common.errors import ResMLPError
from resmlp_mt.common.files import lines_digest

RUN_STATE = "resmlp_run"  # this package's entry in the `extra_state` of a checkpoint
_VOCABULARIES = "vocabularies"


def vocabulary_state(symbols: Mapping[str, Sequence[str]]) -> dict[str, dict[str, str]]:
    """The entry of a checkpoint that identifies its vocabularies.

    Args:
        symbols: all symbols by token, of "source" and "target".
    """
    return {_VOCABULARIES: {side: lines_digest(lines) for side, lines in symbols.items()}}


def require_same_vocabularies(
    extra_state: Mapping[str, Any] | None, symbols: Mapping[str, Sequence[str]], checkpoint: object, data: object
) -> None:
    """Compares the vocabularies of a checkpoint, where it has recorded them, with those of a data folder.

    Args:
        extra_state: of the checkpoint.
        symbols: all symbols of the data folder by token, of "source" and "target".
        checkpoint: name of the checkpoint, for the message.
        data: name of the data folder, for the message.

    Raises:
        ResMLPError: they differ.
    """
    recorded = ((extra_state or {}).get(RUN_STATE) or {}).get(_VOCABULARIES) or {}
    for side, digest in vocabulary_state(symbols)[_VOCABULARIES].items():
        if recorded.get(side, digest) != digest:
            raise ResMLPError(
                f"{data} has another {side} vocabulary than checkpoint {checkpoint} was trained with: dict.*.txt holds "
                "other symbols, or the same ones in another order; give the data folder of the training"
            )
