"""The history of a training run for its report, read from the files next to its checkpoints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from resmlp_mt.common.errors import ResMLPError
from resmlp_mt.training.fairseq_log import parse_log
from resmlp_mt.training.provenance import RUN, read_run
from resmlp_mt.training.run_record import METRICS, TRAIN, VALID, read_records

# Validation metrics besides the loss, in order of preference; higher is better.
QUALITIES = {"bleu": "BLEU", "top1": "top-1 accuracy, %", "knn_top1": "top-1 accuracy of nearest neighbours, %"}


@dataclass(frozen=True)
class History:
    """A training run.

    Attributes:
        name: display name.
        train: records of training updates, in order.
        valid: records of validations on the first subset, in order.
        run: content of `run.json`; for a log, only the settings.
    """

    name: str
    train: list[dict[str, Any]]
    valid: list[dict[str, Any]]
    run: dict[str, Any]

    @property
    def settings(self) -> dict[str, Any]:
        """All fairseq settings."""
        return self.run.get("settings", {})

    @property
    def updates(self) -> int:
        """The last recorded update."""
        return max((record["update"] for record in (*self.train, *self.valid)), default=0)

    @property
    def unit(self) -> str:
        """The unit that fairseq counts as tokens; an image counts as one."""
        counts = [(r.get("tokens"), r.get("sentences")) for r in self.train]
        return "images" if counts and all(tokens == sentences for tokens, sentences in counts) else "target tokens"

    def quality(self) -> str | None:
        """The name of the validation metric besides the loss, or None if there is none."""
        return next((name for name in QUALITIES if any(name in record for record in self.valid)), None)

    def best(self, measure: str) -> dict[str, Any] | None:
        """The best validation by a metric, or None if no validation has the metric."""
        candidates = [record for record in self.valid if record.get(measure) is not None]
        choose = max if measure in QUALITIES else min
        return choose(candidates, key=lambda record: record[measure], default=None)


def read_histories(paths: Sequence[Path], names: Sequence[str] | None) -> list[History]:
    """Reads training runs.

    Args:
        paths: checkpoint folders or fairseq logs.
        names: display names; default: names of the folders or logs, with parent folders where needed to be unique.

    Raises:
        ResMLPError: if a path contains no training run, or the names are not unique or not one per path.
    """
    names = list(names) if names else _names(paths)
    if not len(names) == len(paths) == len(set(names)):
        raise ResMLPError(f"--names takes {len(paths)} different names, one for each RUN, but got {' '.join(names)}")
    return [_read(path, name) for path, name in zip(paths, names, strict=True)]


def run_files(paths: Sequence[Path]) -> list[Path]:
    """All files that `read_histories` may read."""
    return [file for path in paths for file in (path, path / METRICS, path / RUN, *path.glob("*.log"))]


def _names(paths: Sequence[Path]) -> list[str]:
    absolute = [path.absolute() for path in paths]
    max_parts = max(len(path.parts) for path in absolute)
    for count in range(1, max_parts):  # the shortest unique suffixes
        names = ["/".join(path.parts[-count:]) for path in absolute]
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
        raise ResMLPError(f"{path} contains no training records; give a folder with {METRICS}, or a fairseq log")
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
        raise ResMLPError(
            f"{path} cannot be read as a training folder or log ({error.strerror}); check the path"
        ) from error
    return lines


# Where a run was executed and saved does not affect its results.
_LOCATION_SETTINGS = {
    *("checkpoint.save_dir", "common.tensorboard_logdir", "common.log_file", "common.user_dir"),
    *("distributed_training.distributed_init_method", "distributed_training.distributed_port"),
    "distributed_training.device_id",
}


def settings_that_differ(histories: Sequence[History]) -> dict[str, list[Any]]:
    """The settings that differ between runs, by dotted name, with the value in each run; None where absent.

    Note: model settings that only some of several architectures have are left out, and so are the folders and files of
    a run. fairseq repeats some settings in several sections, and older architectures repeat those of all sections;
    repeated settings are listed once.
    """
    flat = [_flat(history.settings) for history in histories]
    if len(flat) < 2 or not all(flat):
        return {}
    architectures = {settings.get("model._name") for settings in flat}
    differing: dict[str, list[Any]] = {}
    for name in dict.fromkeys(name for settings in flat for name in settings):
        values = [settings.get(name) for settings in flat]
        differs = any(value != values[0] for value in values)
        is_in_all = all(name in settings for settings in flat)
        is_architecture_specific = name.startswith("model.") and len(architectures) > 1 and not is_in_all
        is_repeated = any(_last(other) == _last(name) and known == values for other, known in differing.items())
        if differs and not is_architecture_specific and not is_repeated:
            differing[name] = values
    return differing


def _last(name: str) -> str:
    """The last component of a dotted name."""
    return name.rpartition(".")[2]


def _flat(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings by dotted name, without locations and without those that the model repeats from other sections."""
    sections = {name: section for name, section in settings.items() if isinstance(section, dict)}
    elsewhere = set(sections).union(*(section for name, section in sections.items() if name != "model"))
    return {
        f"{name}.{entry}": value
        for name, section in sections.items()
        for entry, value in section.items()
        if f"{name}.{entry}" not in _LOCATION_SETTINGS
        and (name != "model" or entry == "_name" or entry not in elsewhere | {"arch"})
    }
