"""A run on an output folder: its settings, its paths, and the record of its finished steps."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from data_prep import folder
from data_prep.settings import Settings
from data_prep.stages.steps import Steps
from data_prep.stages.subwords import model_names
from resmlp_mt.common.data_folder import raw_path, split_prefix


@dataclass(frozen=True)
class Run:
    """Options of a run that do not affect the data set.

    Attributes:
        out: the output folder.
        workers: number of processes.
        cache: folder of downloads.
        overwrite: delete an existing data set.
        mirrors: base URLs that are tried first.
        models: given sentencepiece models.
        overrides: JSON file that corrects URLs, sizes, digests or numbers of pairs of sources; None without one.
        command: the command line, for the manifest.
    """

    out: Path
    workers: int
    cache: Path
    overwrite: bool = False
    mirrors: tuple[str, ...] = ()
    models: tuple[Path, ...] = ()
    overrides: Path | None = None
    command: str = ""


class Job:
    """The settings, folders and steps of a run, for its stages.

    Args:
        settings: the configuration of the data set.
        run: options of the run.
    """

    def __init__(self, settings: Settings, run: Run) -> None:
        self.settings = settings
        self.run = run
        self.out = run.out
        self.work = run.out / folder.WORK
        self.steps = Steps(self.work)

    @property
    def models(self) -> tuple[Path, ...]:
        """The data set's sentencepiece models: one, or the source's and the target's."""
        return tuple(self.out / name for name in model_names(self.settings))

    def raw(self, split: str) -> tuple[Path, Path]:
        """The paths of the raw text of a held-out split, source and target."""
        src, tgt = self.settings.languages
        return raw_path(self.out, split, src), raw_path(self.out, split, tgt)

    def prefixes(self, target: Path, split: str) -> tuple[Path, Path]:
        """The paths of the binarised text of a split, source and target, without `.bin` and `.idx`.

        Args:
            target: the data set's folder, or that of one shard.
            split: "train", "valid", "test", ...
        """
        src, tgt = self.settings.languages
        return split_prefix(target, split, (src, tgt), src), split_prefix(target, split, (src, tgt), tgt)
