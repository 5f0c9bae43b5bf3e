"""What fairseq-train's log says of a training: how long, how fast, how good, how much memory."""

from __future__ import annotations

import re
import statistics
from collections.abc import Callable
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
        parameters: of the model, shared ones once.
        updates: at its end.
        epochs: begun, the last one included.
        converged: whether patience ended it (--patience of fairseq-train).
        target_tokens: that it was trained on, padding not counted.
        tokens_per_second: median over stretches of ten updates, so that validations and pauses do not count.
        peak_gpu_mib: largest memory of the GPU, to a tenth of a GiB; None on CPU.
        left_out: pairs longer than the model, which fairseq left out.
        validations: in order, each with "updates", "target_tokens", "seconds" (of training at the median speed),
            "perplexity" and, where translations were validated, "bleu".
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
        """How long the training alone takes at the median speed."""
        return self.target_tokens / self.tokens_per_second


def read_log(text: str) -> TrainingLog:
    """Reads a log. Where a training was resumed, what was done twice counts once, as it was done last.

    Raises:
        ResMLPError: when it has no validation, or too few updates for a speed.
    """
    records, _ = parse_log(text.splitlines())
    stretches = {record["update"]: record for record in records if record["kind"] == TRAIN}
    validations = {record["update"]: record for record in records if record.get("subset") == "valid"}
    if not stretches or not validations:
        raise ResMLPError("the log has no speed or no validation; train for at least ten updates, with a validation")
    speeds = [record["wps"] for record in stretches.values()]
    speed = statistics.median(speeds[1:] or speeds)  # the first interval includes what is done once
    tokens = _tokens_by_update(stretches)
    parameters, left_out = _PARAMETERS.search(text), _LEFT_OUT.search(text)
    assert parameters is not None, "fairseq-train always says how many parameters a model has"
    return TrainingLog(
        parameters=_number(parameters[1]),
        updates=max(*validations, *stretches),
        epochs=int(max(record["epoch"] for record in records)),
        converged=_OUT_OF_PATIENCE.search(text) is not None,
        target_tokens=tokens(max(*validations, *stretches)),
        tokens_per_second=speed,
        peak_gpu_mib=_peak_gpu_mib(text, stretches),
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


def _tokens_by_update(stretches: dict[int, dict[str, Any]]) -> Callable[[int], float]:
    """How many target tokens were seen up to an update: the mean batch of each stretch times its updates."""

    def tokens(update: int) -> float:
        total, last, batch = 0.0, 0, 0.0
        for end in sorted(stretches):
            batch = stretches[end]["wpb"]
            total += batch * (min(end, update) - last)
            last = min(end, update)
        return total + batch * (update - last)

    return tokens


def _peak_gpu_mib(text: str, stretches: dict[int, dict[str, Any]]) -> float | None:
    total = _GPU_MEMORY.search(text)
    free = [record["gb_free"] for record in stretches.values() if "gb_free" in record]
    return (float(total[1]) - min(free)) * 1024 if total and free else None
