"""A training as its report shows it, from the files beside its checkpoints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from resmlp_mt.common.errors import ResMLPError
from resmlp_mt.training.fairseq_log import parse_log
from resmlp_mt.training.provenance import RUN, read_run
from resmlp_mt.training.run_record import METRICS, TRAIN, VALID, read_records

# What a validation measures beside the loss, the best first: the higher the better.
QUALITIES = {"bleu": "BLEU", "top1": "top-1 accuracy, %", "knn_top1": "top-1 accuracy of nearest neighbours, %"}


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

    @property
    def unit(self) -> str:
        """What fairseq counts as tokens: a picture is one."""
        counts = [(r.get("tokens"), r.get("sentences")) for r in self.train]
        return "images" if counts and all(tokens == sentences for tokens, sentences in counts) else "target tokens"

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
        names: display names; default: names of the folders or logs, with parent folders where needed to be unique.

    Raises:
        ResMLPError: if one contains no training, or the names are not unique or not as many.
    """
    names = list(names) if names else _names(paths)
    if not len(names) == len(paths) == len(set(names)):
        raise ResMLPError(f"--names takes {len(paths)} different names, one for each RUN, but got {' '.join(names)}")
    return [_read(path, name) for path, name in zip(paths, names, strict=True)]


def run_files(paths: Sequence[Path]) -> list[Path]:
    """The files that `read_histories` may read."""
    return [file for path in paths for file in (path, path / METRICS, path / RUN, *path.glob("*.log"))]


def _names(paths: Sequence[Path]) -> list[str]:
    whole = [path.absolute() for path in paths]
    most = max(len(path.parts) for path in whole)
    for count in range(1, most):  # the shortest suffixes that are unique
        names = ["/".join(path.parts[-count:]) for path in whole]
        if len(set(names)) == len(names):
            break
    return names


def _read(path: Path, name: str) -> History:
    if (path / METRICS).is_file():
        records, run = list(read_records(path / METRICS)), read_run(path / RUN)
    else:
        records, settings = parse_log(_log_lines(path))
        run = {"settings": settings} if settings else {}
    if not records:
        raise ResMLPError(f"{path} is without any record of a training; give a folder with {METRICS}, or a log")
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


# Where a training ran and was saved says nothing about it.
_PLACES = {
    *("checkpoint.save_dir", "common.tensorboard_logdir", "common.log_file", "common.user_dir"),
    *("distributed_training.distributed_init_method", "distributed_training.distributed_port"),
    "distributed_training.device_id",
}


def settings_that_differ(histories: Sequence[History]) -> dict[str, list[Any]]:
    """The settings that are not the same in all trainings, by dotted name, with the value in each; None where absent.

    Note: what only one of several architectures has is left out, and where a training was saved and logged. fairseq
    repeats settings in several sections, and older architectures those of all sections; they are named once.
    """
    flat = [_flat(history.settings) for history in histories]
    if len(flat) < 2 or not all(flat):
        return {}
    architectures = {one.get("model._name") for one in flat}
    found: dict[str, list[Any]] = {}
    for name in dict.fromkeys(name for one in flat for name in one):
        values = [one.get(name) for one in flat]
        differ = any(value != values[0] for value in values)
        of_one = name.startswith("model.") and len(architectures) > 1 and not all(name in one for one in flat)
        again = any(_last(other) == _last(name) and known == values for other, known in found.items())
        if differ and not of_one and not again:
            found[name] = values
    return found


def _last(name: str) -> str:
    return name.rpartition(".")[2]


def _flat(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings by dotted name, without places, and without what a model repeats of other sections."""
    sections = {name: section for name, section in settings.items() if isinstance(section, dict)}
    elsewhere = set(sections).union(*(section for name, section in sections.items() if name != "model"))
    return {
        f"{name}.{entry}": value
        for name, section in sections.items()
        for entry, value in section.items()
        if f"{name}.{entry}" not in _PLACES
        and (name != "model" or entry == "_name" or entry not in elsewhere | {"arch"})
    }
