"""`metrics.jsonl` beside the checkpoints: what a training measured, one JSON object a line."""

from __future__ import annotations

import json
import logging
import math
import resource
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from resmlp_mt.common import files
from resmlp_mt.common.errors import ResMLPError

logger = logging.getLogger(__name__)

METRICS = "metrics.jsonl"
TRAIN, VALID = "train", "valid"


def plain_number(value: Any) -> float | int | None:
    """A measured value as JSON holds it: a number, or None where there is none or it is not finite."""
    value = getattr(value, "avg", value)  # of a meter of fairseq's
    if torch.is_tensor(value):
        value = value.item() if value.numel() == 1 else None
    elif isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return value if math.isfinite(value) else None


def memory_in_use() -> dict[str, int]:
    """Bytes: what this process holds at most (`rss_peak`), and what torch has taken of its GPU at most.

    Note: fairseq sets torch's count of the peak back after every update; what torch has reserved hardly ever shrinks,
    so `cuda_reserved_peak` is the peak of the training.
    """
    unit = 1 if sys.platform == "darwin" else 1024
    found = {"rss_peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit}
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        found["cuda_reserved_peak"] = torch.cuda.max_memory_reserved()
    return found


def read_records(path: Path) -> Iterator[dict[str, Any]]:
    """The records of a file; a last line that was cut off by a kill is left out."""
    with path.open(encoding="utf-8") as file:
        for line in file:
            try:
                record = json.loads(line)
            except ValueError:
                continue
            if isinstance(record, dict):
                yield record


class RunRecord:
    """Writes the records of a training; those of updates that a restart makes again are cut.

    Args:
        path: of the file.
        update: from which the training goes on; 0 begins anew.

    Note: a record that cannot be written (a full disk) is left out and said once: the training is worth more.
    """

    def __init__(self, path: Path, update: int) -> None:
        self.path, self._complained = path, False
        if path.exists():
            records = read_records(path) if update else iter(())
            kept = [_line(record) for record in records if record.get("update", 0) <= update]
            try:
                files.write_text(path, "".join(kept))
            except ResMLPError as error:
                self._complain(str(error))

    def write(self, kind: str, update: int, values: Mapping[str, Any]) -> None:
        """Adds a record.

        Args:
            kind: `TRAIN` or `VALID`.
            update: number of updates made.
            values: what else it holds.
        """
        try:
            with self.path.open("a", encoding="utf-8") as file:
                file.write(_line({"kind": kind, "update": update, **values}))
        except OSError as error:
            self._complain(f"{self.path} cannot be written ({error.strerror})")

    def _complain(self, sentence: str) -> None:
        if not self._complained:
            logger.warning("%s: some records of this training will be missing", sentence)
        self._complained = True


def _line(record: Mapping[str, Any]) -> str:
    return json.dumps(record, ensure_ascii=False) + "\n"
