"""Checks that translations do not depend on the batch."""

from __future__ import annotations

import random
from collections.abc import Sequence

from resmlp_mt.translation.doctor import Finding
from resmlp_mt.translation.engine.batching import BatchLimits
from resmlp_mt.translation.translator import Translator
from resmlp_mt.translation.types import Request, Translation

_SCORE_TOLERANCE = 1e-4


def check_batch_invariance(translator: Translator, lines: Sequence[str], seed: int = 1) -> list[Finding]:
    """Translates lines in batches of 1 and of 64, and shuffled, and compares the results.

    Args:
        translator: of the model.
        lines: raw text.
        seed: for shuffling.
    """
    order = list(range(len(lines)))
    random.Random(seed).shuffle(order)
    together = _translate(translator, lines, 64)
    shuffled = _translate(translator, [lines[index] for index in order], 64)
    variants = {
        "batch 1 against 64": _translate(translator, lines, 1),
        "shuffled against in order": [shuffled[order.index(index)] for index in range(len(lines))],
    }
    return [_compare(name, together, other) for name, other in variants.items()]


def _translate(translator: Translator, lines: Sequence[str], batch_size: int) -> list[Translation]:
    limits, translator.limits = translator.limits, BatchLimits(batch_size, translator.limits.megabytes)
    try:
        return translator.translate_requests([Request(line, number) for number, line in enumerate(lines, 1)])
    finally:
        translator.limits = limits


def _compare(name: str, first: Sequence[Translation], second: Sequence[Translation]) -> Finding:
    differing = [
        number for number, pair in enumerate(zip(first, second, strict=True), 1) if pair[0].text != pair[1].text
    ]
    gaps = [
        abs(one.score - other.score)
        for a, b in zip(first, second, strict=True)
        for one, other in zip(a.candidates, b.candidates, strict=False)
    ]
    gap = max(gaps, default=0.0)
    if differing:
        message = (
            f"{len(differing)} of {len(first)} translations differ, first line {differing[0]}; use --dtype float32"
        )
        return Finding(name, False, message)
    message = f"{len(first)} translations are the same, scores within {gap:.1e}"
    return Finding(name, gap <= _SCORE_TOLERANCE, message)
