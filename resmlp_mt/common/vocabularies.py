"""The vocabularies of a checkpoint: a model translates garbage with another order of the same words.

A checkpoint of fairseq's holds no dictionary. `fairseq-train` with this package writes digests of its dictionaries into
it; checkpoints without them are not checked.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from resmlp_mt.common.errors import ResMLPError
from resmlp_mt.common.files import lines_digest

RUN_STATE = "resmlp_run"  # the entry of a checkpoint's `extra_state` that is this package's
_VOCABULARIES = "vocabularies"


def vocabulary_state(symbols: Mapping[str, Sequence[str]]) -> dict[str, dict[str, str]]:
    """What a checkpoint holds of its vocabularies.

    Args:
        symbols: all symbols by their token, of "source" and "target".
    """
    return {_VOCABULARIES: {side: lines_digest(words) for side, words in symbols.items()}}


def require_same_vocabularies(
    extra_state: Mapping[str, Any] | None, symbols: Mapping[str, Sequence[str]], checkpoint: object, data: object
) -> None:
    """Compares the vocabularies of a checkpoint with those of a data folder, where the checkpoint says them.

    Args:
        extra_state: of the checkpoint.
        symbols: all symbols by their token, of "source" and "target", as the data folder has them.
        checkpoint, data: names for the message.

    Raises:
        ResMLPError: when they differ.
    """
    recorded = ((extra_state or {}).get(RUN_STATE) or {}).get(_VOCABULARIES) or {}
    for side, digest in vocabulary_state(symbols)[_VOCABULARIES].items():
        if recorded.get(side, digest) != digest:
            raise ResMLPError(
                f"{data} has another {side} vocabulary than checkpoint {checkpoint} was trained with: dict.*.txt holds "
                "other words, or the same ones in another order; give the data folder of the training"
            )
