"""`metrics.jsonl` next to the checkpoints: the metrics of a training run, one JSON object per line."""

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
    """Converts a metric to a JSON value: a number, or None if it is not a number or not finite."""
    value = getattr(value, "avg", value)  # a fairseq meter
    if torch.is_tensor(value):
        value = value.item() if value.numel() == 1 else None
    elif isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return value if math.isfinite(value) else None


def memory_in_use() -> dict[str, int]:
    """Peak memory in bytes: of this process (`rss_peak`), and reserved by torch on the GPU (`cuda_reserved_peak`).

    Note: fairseq resets torch's peak statistics after every update. Reserved memory hardly ever shrinks, so
    `cuda_reserved_peak` is still the peak of the whole run.
    """
    unit = 1 if sys.platform == "darwin" else 1024
    peaks = {"rss_peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit}
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        peaks["cuda_reserved_peak"] = torch.cuda.max_memory_reserved()
    return peaks


def read_records(path: Path) -> Iterator[dict[str, Any]]:
    """The records of a file; a last line that is incomplete because the process was killed is skipped."""
    with path.open(encoding="utf-8") as file:
        for line in file:
            try:
                record = json.loads(line)
            except ValueError:
                continue
            if isinstance(record, dict):
                yield record


class RunRecord:
    """Writes the records of a training run; records of updates that a restart repeats are removed.

    Args:
        path: path of the file.
        update: update from which training continues; 0 starts a new run.

    Note: a record that cannot be written, for example on a full disk, is skipped with a warning (logged once), and
    training continues.
    """

    def __init__(self, path: Path, update: int) -> None:
        self.path, self._has_warned = path, False
        if path.exists():
            records = read_records(path) if update else iter(())
            kept = [_line(record) for record in records if record.get("update", 0) <= update]
            try:
                files.write_text(path, "".join(kept))
            except ResMLPError as error:
                self._warn_once(str(error))

    def write(self, kind: str, update: int, values: Mapping[str, Any]) -> None:
        """Appends a record.

        Args:
            kind: `TRAIN` or `VALID`.
            update: number of updates done.
            values: the other fields.
        """
        try:
            with self.path.open("a", encoding="utf-8") as file:
                file.write(_line({"kind": kind, "update": update, **values}))
        except OSError as error:
            self._warn_once(f"{self.path} cannot be written ({error.strerror})")

    def _warn_once(self, reason: str) -> None:
        if not self._has_warned:
            logger.warning("%s: some records of this run will be missing", reason)
        self._has_warned = True


def _line(record: Mapping[str, Any]) -> str:
    return json.dumps(record, ensure_ascii=False) + "\n"
