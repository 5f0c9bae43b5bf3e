"""Reads duration, speed, validation scores and memory of a training from fairseq-train's log."""

from __future__ import annotations

import re
import statistics
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from resmlp_mt.common.errors import ResMLPError
from resmlp_mt.training.fairseq_log import parse_log
from resmlp_mt.training.run_record import TRAIN

_PARAMETERS = re.compile(r"num\. shared model params: ([\d,]+)")
_LEFT_OUT = re.compile(r"([\d,]+) samples have invalid sizes and will be skipped")
_OUT_OF_PATIENCE = re.compile(r"early stop since valid performance|nothing to train: no progress in the last")
_GPU_MEMORY = re.compile(r"total memory = ([\d.]+) GB")


@dataclass(frozen=True)
class TrainingLog:
    """One training, resumed or not.

    Attributes:
        parameters: parameters of the model; shared ones count once.
        updates: number of updates.
        epochs: number of epochs, including an unfinished last one.
        converged: whether patience ended the training (--patience of fairseq-train).
        target_tokens: number of target tokens, without padding.
        tokens_per_second: median over log intervals of ten updates, so that validations and pauses do not count.
        peak_gpu_mib: peak memory of the GPU, to a tenth of a GiB; None on CPU.
        left_out: pairs longer than the model's maximum, which fairseq skipped.
        validations: in order, each with "updates", "target_tokens", "seconds" (of training at the median speed),
            "perplexity" and, with BLEU validation, "bleu".
    """

    parameters: int
    updates: int
    epochs: int
    converged: bool
    target_tokens: float
    tokens_per_second: float
    peak_gpu_mib: float | None
    left_out: int
    validations: list[dict[str, float]]

    @property
    def seconds(self) -> float:
        """Duration of the training at the median speed, without validations."""
        return self.target_tokens / self.tokens_per_second


def read_log(text: str) -> TrainingLog:
    """Reads a log. Updates that a resumed training repeated count once, with their last values.

    Raises:
        ResMLPError: when the log has no validation, or too few updates to measure the speed.
    """
    records, _ = parse_log(text.splitlines())
    intervals = {record["update"]: record for record in records if record["kind"] == TRAIN}
    validations = {record["update"]: record for record in records if record.get("subset") == "valid"}
    if not intervals or not validations:
        raise ResMLPError("the log has no speed or no validation; train for at least ten updates, with a validation")
    speeds = [record["wps"] for record in intervals.values()]
    speed = statistics.median(speeds[1:] or speeds)  # the first interval includes the set-up
    tokens = _tokens_by_update(intervals)
    parameters, left_out = _PARAMETERS.search(text), _LEFT_OUT.search(text)
    assert parameters is not None, "fairseq-train always logs the number of parameters"
    return TrainingLog(
        parameters=_number(parameters[1]),
        updates=max(*validations, *intervals),
        epochs=int(max(record["epoch"] for record in records)),
        converged=_OUT_OF_PATIENCE.search(text) is not None,
        target_tokens=tokens(max(*validations, *intervals)),
        tokens_per_second=speed,
        peak_gpu_mib=peak_gpu_mib(text, intervals),
        left_out=_number(left_out[1]) if left_out else 0,
        validations=[
            {
                "updates": update,
                "target_tokens": tokens(update),
                "seconds": tokens(update) / speed,
                "perplexity": validations[update]["ppl"],
                **({"bleu": validations[update]["bleu"]} if "bleu" in validations[update] else {}),
            }
            for update in sorted(validations)
        ],
    )


def _number(text: str) -> int:
    return int(text.replace(",", ""))


def _tokens_by_update(intervals: dict[int, dict[str, Any]]) -> Callable[[int], float]:
    """Target tokens up to an update: the mean batch of each log interval times its updates."""

    def tokens(update: int) -> float:
        total, last, batch = 0.0, 0, 0.0
        for end in sorted(intervals):
            batch = intervals[end]["wpb"]
            total += batch * (min(end, update) - last)
            last = min(end, update)
        return total + batch * (update - last)

    return tokens


def peak_gpu_mib(text: str, intervals: Mapping[int, Mapping[str, Any]]) -> float | None:
    """Peak memory of the GPU, to a tenth of a GiB; None on CPU.

    Args:
        text: the log.
        intervals: the log's records by update.
    """
    total = _GPU_MEMORY.search(text)
    free = [float(record["gb_free"]) for record in intervals.values() if "gb_free" in record]
    return (float(total[1]) - min(free)) * 1024 if total and free else None
