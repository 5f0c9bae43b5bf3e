"""A training as its report shows it, from the files beside its checkpoints."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from resmlp_mt.errors import ResMLPError, require
from resmlp_mt.training.fairseq_log import parse_log
from resmlp_mt.training.provenance import RUN, read_run
from resmlp_mt.training.run_record import METRICS, TRAIN, VALID, read_records

# What a validation measures beside the loss, the best first: the higher the better.
QUALITIES = {"bleu": "BLEU", "top1": "top-1 accuracy", "accuracy": "accuracy"}


@dataclass(frozen=True)
class History:
    """A training.

    Attributes:
        name: for readers.
        train: its records of updates, in order.
        valid: its records of validations of the first subset, in order.
        run: what `run.json` holds; of a log, the settings alone.
    """

    name: str
    train: list[dict[str, Any]]
    valid: list[dict[str, Any]]
    run: dict[str, Any]

    @property
    def settings(self) -> dict[str, Any]:
        """All of fairseq's."""
        return self.run.get("settings", {})

    @property
    def updates(self) -> int:
        """The last one recorded."""
        return max((record["update"] for record in (*self.train, *self.valid)), default=0)

    def quality(self) -> str | None:
        """The name of what a validation measures beside the loss, if it does."""
        return next((name for name in QUALITIES if any(name in record for record in self.valid)), None)

    def best(self, measure: str) -> dict[str, Any] | None:
        """The validation that was best by a measure; None where none has it."""
        found = [record for record in self.valid if record.get(measure) is not None]
        choose = max if measure in QUALITIES else min
        return choose(found, key=lambda record: record[measure], default=None)


def read_histories(paths: Sequence[Path], names: Sequence[str] | None) -> list[History]:
    """Reads trainings.

    Args:
        paths: folders of checkpoints, or logs of fairseq's.
        names: for readers; by default the names of the folders or logs, told apart by those above them.

    Raises:
        ResMLPError: when one holds no training, or there are not as many names.
    """
    names = list(names) if names else _names(paths)
    require(
        len(names) == len(paths) == len(set(names)),
        "--names",
        f"{len(paths)} different names, one for each RUN",
        " ".join(names),
        "count again",
    )
    return [_read(path, name) for path, name in zip(paths, names, strict=True)]


def _names(paths: Sequence[Path]) -> list[str]:
    whole = [path.absolute() for path in paths]
    most = max(len(path.parts) for path in whole)
    for count in range(1, most):  # as many of the last parts as tell them apart
        names = ["/".join((*path.parts[-count:-1], path.stem if path.is_file() else path.name)) for path in whole]
        if len(set(names)) == len(names):
            break
    return names


def _read(path: Path, name: str) -> History:
    if (path / METRICS).is_file():
        records, run = list(read_records(path / METRICS)), read_run(path / RUN)
    else:
        records, settings = parse_log(_log_lines(path))
        run = {"settings": settings} if settings else {}
    require(
        bool(records), str(path), "a training", "without any record of one", f"name a folder with {METRICS}, or a log"
    )
    validations = [record for record in records if record.get("kind") == VALID]
    first = validations[0].get("subset") if validations else None
    return History(
        name,
        [record for record in records if record.get("kind") == TRAIN],
        [record for record in validations if record.get("subset") == first],
        run,
    )


def _log_lines(path: Path) -> list[str]:
    logs = sorted(path.glob("*.log")) if path.is_dir() else [path]
    lines = []
    try:
        for log in logs:
            lines += log.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError as error:
        said = error.strerror
        raise ResMLPError(f"{path} must be a training's folder or log, but is not ({said}); check the name") from error
    return lines


def settings_that_differ(histories: Sequence[History]) -> dict[str, list[Any]]:
    """The settings that are not the same in all trainings, by dotted name, with the value in each; None where absent.

    Note: where a training was saved and logged is left out. Older architectures of fairseq repeat all settings of all
    sections among those of the model; these are left out, too.
    """
    flat = [_flat(history.settings) for history in histories]
    flat = [one for one in flat if one]
    if len(flat) != len(histories) or len(flat) < 2:
        return {}
    names = dict.fromkeys(name for one in flat for name in one)
    values = {name: [one.get(name) for one in flat] for name in names}
    return {name: found for name, found in values.items() if any(value != found[0] for value in found)}


_PLACES = {
    *("checkpoint.save_dir", "common.tensorboard_logdir", "common.log_file", "common.user_dir"),
    *("distributed_training.distributed_init_method", "distributed_training.distributed_port"),
    *("distributed_training.device_id", "job_logging_cfg"),
}


def _flat(settings: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for section, entries in settings.items():
        name = f"{prefix}{section}"
        if name in _PLACES:
            continue
        if isinstance(entries, dict) and entries and not prefix.startswith("model."):
            found |= _flat(entries, f"{name}.")
        else:
            found[name] = entries
    if not prefix:
        elsewhere = {name.partition(".")[2] for name in found if not name.startswith("model.")}
        copies = {name for name in found if name.startswith("model.") and name.partition(".")[2] in elsewhere}
        found = {name: value for name, value in found.items() if name not in copies or name == "model._name"}
    return found
