"""Labelled images: what every data set gives, and folders of images."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from resmlp_mt.common.errors import require
from resmlp_mt.common.files import destination
from resmlp_mt.vision.data.images import SUFFIXES, open_image

if TYPE_CHECKING:
    import numpy as np
    from PIL.Image import Image

Label = int | tuple[int, ...]  # several where any of them counts as right


class ImageSet(Protocol):
    """Pictures with labels.

    Attributes:
        classes: names; a label is a place in this list.
        labels: of each picture.
    """

    classes: list[str]
    labels: list[Label]

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> tuple[Image, Label]: ...

    def name_of(self, index: int) -> str:
        """What to call a picture: its file, or its place in the data set."""


def namesakes(images: ImageSet, outputs: Iterable[Path]) -> list[Path]:
    """The files of pictures that are called as an output is: all that it could overwrite, and few to look at."""
    names = {destination(path).name for path in outputs}
    if not names:
        return []
    files = (images.name_of(index) for index in range(len(images)))
    return [Path(file) for file in files if file.rpartition(os.sep)[2] in names]


class FileSet:
    """Pictures in files, opened one at a time.

    Their names stand in one array: of a list of a million strings, every worker would soon hold a copy of its own,
    since Python counts references inside the strings.

    Args:
        classes: names.
        files: of the pictures.
        labels: of each.
    """

    def __init__(self, classes: list[str], files: Sequence[str | Path], labels: Sequence[Label]) -> None:
        import numpy as np

        self.classes = classes
        self.labels = list(labels)
        self._names = np.array([os.fsencode(file) for file in files])

    @property
    def files(self) -> list[Path]:
        """The files of all pictures."""
        return [Path(self.name_of(index)) for index in range(len(self))]

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Image, Label]:
        return open_image(self.name_of(index)), self.labels[index]

    def name_of(self, index: int) -> str:
        """The path of a picture."""
        return os.fsdecode(bytes(self._names[index]))


@dataclass
class ArraySet:
    """Small pictures in memory: (count, height, width) grey or (count, height, width, 3) RGB, 8 bits."""

    classes: list[str]
    pixels: np.ndarray
    labels: list[Label]
    source: str

    def __len__(self) -> int:
        return len(self.pixels)

    def __getitem__(self, index: int) -> tuple[Image, Label]:
        from PIL import Image

        return Image.fromarray(self.pixels[index]), self.labels[index]

    def name_of(self, index: int) -> str:
        """The place of a picture in its file."""
        return f"{self.source} #{index}"


def load_folder(root: Path, split: str, download: bool = False) -> FileSet:
    """Reads {train,val,test}/CLASS/PICTURE; "valid" is read from valid/ where there is no val/.

    The classes are those of train/, in alphabetical order, and are the same for every split. Without a train/ they are
    the split's own, so that a validation set alone can be evaluated.
    """
    folder = _split_folder(root, split)
    classes = folder_classes(root, split)
    strangers = sorted(set(_sub_folders(folder)) - set(classes))
    rule = f"those of {root / 'train'}"
    require(not strangers, f"the classes of {folder}", rule, f"also {strangers[:5]}", _ONE_FOLDER_A_CLASS)
    files: list[str] = []
    labels: list[Label] = []
    for label, name in enumerate(classes):
        files += _names_below(folder / name)
        labels += [label] * (len(files) - len(labels))
    rule = f"a folder with pictures ({', '.join(SUFFIXES)})"
    require(len(files) > 0, str(folder), rule, "without any", _ONE_FOLDER_A_CLASS)
    return FileSet(classes, files, labels)


_ONE_FOLDER_A_CLASS = "put the pictures of each class into a folder of its own there"


def folder_classes(root: Path, split: str) -> list[str]:
    """The classes of `load_folder`, without a look at the pictures."""
    folder = root / "train" if (root / "train").is_dir() else _split_folder(root, split)
    classes = _sub_folders(folder)
    require(len(classes) > 0, str(folder), "a folder with one sub-folder a class", "without any", _ONE_FOLDER_A_CLASS)
    return classes


def _sub_folders(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir() if entry.is_dir() and not entry.name.startswith("."))


def _split_folder(root: Path, split: str) -> Path:
    names = {"valid": ("val", "valid")}.get(split, (split,))
    found = [root / name for name in names if (root / name).is_dir()]
    wanted = " or ".join(f"{name}/" for name in names)
    require(
        bool(found),
        f"{root}",
        f"a folder with {wanted} in it",
        "without" if root.is_dir() else "no folder",
        "name the folder that holds the splits",
    )
    return found[0]


def pictures_below(folder: Path) -> list[Path]:
    """All picture files in a folder and its sub-folders, in alphabetical order; none when there is no such folder."""
    return [Path(name) for name in _names_below(folder)]


def _names_below(folder: str | Path) -> list[str]:
    """Their names. Hidden entries are left out, and links to folders, which may lead in circles, are not followed."""
    if not os.path.isdir(folder):  # noqa: PTH112 # a million `Path`s would take minutes
        return []
    with os.scandir(folder) as entries:
        seen = sorted((entry for entry in entries if not entry.name.startswith(".")), key=lambda entry: entry.name)
    found: list[str] = []
    for entry in seen:
        if entry.is_dir(follow_symlinks=False):
            found += _names_below(entry.path)
        elif entry.name.lower().endswith(SUFFIXES):
            found.append(entry.path)
    return found
