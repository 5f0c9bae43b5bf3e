"""Short keys of sentences, by which repeated and leaked ones are found without keeping the text in memory."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

from resmlp_mt.translation.text.normalization import normal_form

KEY_BYTES = 8
# Columns of a key table.
PAIR, NEAR_PAIR, SRC, TGT = range(4)


def key_table(src_lines: Sequence[str], tgt_lines: Sequence[str]) -> NDArray[np.uint64]:
    """The keys of pairs.

    Args:
        src_lines: the source sentences.
        tgt_lines: their translations.

    Returns:
        `(pairs, 4)`: 64-bit hashes of the pair as it is, of the normal forms of the pair, of the source's normal form
        and of the target's. Two different texts among 40 million share one with a chance of 1 in 20,000.
    """
    digests = bytearray()
    for src, tgt in zip(src_lines, tgt_lines, strict=True):
        src_form, tgt_form = normal_form(src), normal_form(tgt)
        for text in (f"{src}\n{tgt}", f"{src_form}\n{tgt_form}", src_form, tgt_form):
            digests += blake2b(text.encode(), digest_size=KEY_BYTES).digest()
    return np.frombuffer(bytes(digests), dtype="<u8").reshape(-1, 4)
