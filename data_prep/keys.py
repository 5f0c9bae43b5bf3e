"""Hashes of sentences, which find duplicates and leaks without keeping the text in memory."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

from resmlp_mt.translation.text.normalization import normal_form

KEY_BYTES = 8
# The columns of a key table.
PAIR, NEAR_PAIR, SRC, TGT = range(4)


def key_table(src_lines: Sequence[str], tgt_lines: Sequence[str]) -> NDArray[np.uint64]:
    """Computes the keys of pairs.

    Args:
        src_lines: the source sentences.
        tgt_lines: their translations.

    Returns:
        64-bit hashes of the pair, of the normal forms of the pair, of the source's normal form and of the target's,
        `(pairs, 4)`. Among 40 million texts the probability of any collision is about 1 in 20,000.
    """
    digests = bytearray()
    for src, tgt in zip(src_lines, tgt_lines, strict=True):
        src_form, tgt_form = normal_form(src), normal_form(tgt)
        for text in (f"{src}\n{tgt}", f"{src_form}\n{tgt_form}", src_form, tgt_form):
            digests += blake2b(text.encode(), digest_size=KEY_BYTES).digest()
    return np.frombuffer(bytes(digests), dtype="<u8").reshape(-1, 4)
