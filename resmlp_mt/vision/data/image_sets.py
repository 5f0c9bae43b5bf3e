"""Sets of labelled images: the protocol, image files, arrays, and one folder per class."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from resmlp_mt.common.errors import ResMLPError
from resmlp_mt.common.files import destination
from resmlp_mt.vision.data.images import SUFFIXES, open_image

if TYPE_CHECKING:
    import numpy as np
    from PIL.Image import Image

Label = int | tuple[int, ...]  # a tuple where any of several classes counts as correct


class ImageSet(Protocol):
    """Images with labels.

    Attributes:
        classes: names; a label is an index into this list.
        labels: one for each image.
    """

    classes: list[str]
    labels: list[Label]

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> tuple[Image, Label]: ...

    def name_of(self, index: int) -> str:
        """Returns the name of an image: its file, or its index in the data set."""


def files_named_like(images: ImageSet, outputs: Iterable[Path]) -> list[Path]:
    """Lists the image files that have the same file name as an output; an output can overwrite no others."""
    names = {destination(path).name for path in outputs}
    if not names:
        return []
    files = (images.name_of(index) for index in range(len(images)))
    return [Path(file) for file in files if file.rpartition(os.sep)[2] in names]


class FileSet:
    """Image files, opened one at a time.

    The file names are stored in one array. A list of a million strings would be copied into the memory of every worker
    process, since reading a string changes its reference count.

    Args:
        classes: class names.
        files: paths of the images.
        labels: one for each image.
    """

    def __init__(self, classes: list[str], files: Sequence[str | Path], labels: Sequence[Label]) -> None:
        import numpy as np

        self.classes = classes
        self.labels = list(labels)
        self._names = np.array([os.fsencode(file) for file in files])

    @property
    def files(self) -> list[Path]:
        """Paths of all images."""
        return [Path(self.name_of(index)) for index in range(len(self))]

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Image, Label]:
        return open_image(self.name_of(index)), self.labels[index]

    def name_of(self, index: int) -> str:
        """Returns the path of an image."""
        return os.fsdecode(bytes(self._names[index]))


@dataclass
class ArraySet:
    """Small images in memory: (count, height, width) grey or (count, height, width, 3) RGB, 8 bits."""

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
        """Returns the source and the index of an image."""
        return f"{self.source} #{index}"


def load_folder(root: Path, split: str, _download: bool = False) -> FileSet:
    """Reads {train,val,test}/CLASS/IMAGE; "valid" is read from val/, or from valid/ if there is no val/.

    The classes of every split are the sub-folders of train/ in alphabetical order. Without train/ they are the
    sub-folders of the split, so that a single validation set can be evaluated.
    """
    folder = _split_folder(root, split)
    classes = folder_classes(root, split)
    unknown = sorted(set(_sub_folders(folder)) - set(classes))
    if unknown:
        raise ResMLPError(f"{folder} has classes that {root / 'train'} lacks: {unknown[:5]}; {_ONE_FOLDER_PER_CLASS}")
    files: list[str] = []
    labels: list[Label] = []
    for label, name in enumerate(classes):
        files += _names_below(folder / name)
        labels += [label] * (len(files) - len(labels))
    if not files:
        raise ResMLPError(f"{folder} contains no images ({', '.join(SUFFIXES)}); {_ONE_FOLDER_PER_CLASS}")
    return FileSet(classes, files, labels)


_ONE_FOLDER_PER_CLASS = "put the images of each class into a sub-folder of their own"


def folder_classes(root: Path, split: str) -> list[str]:
    """Lists the classes of `load_folder` without reading the images."""
    folder = root / "train" if (root / "train").is_dir() else _split_folder(root, split)
    classes = _sub_folders(folder)
    if not classes:
        raise ResMLPError(f"{folder} has no sub-folders; {_ONE_FOLDER_PER_CLASS}")
    return classes


def _sub_folders(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir() if entry.is_dir() and not entry.name.startswith("."))


def _split_folder(root: Path, split: str) -> Path:
    names = {"valid": ("val", "valid")}.get(split, (split,))
    for name in names:
        if (root / name).is_dir():
            return root / name
    expected = " or ".join(f"{name}/" for name in names)
    problem = f"contains no {expected}" if root.is_dir() else "is not a folder"
    raise ResMLPError(f"{root} {problem}; give the folder that contains the splits")


def find_image_files(folder: Path) -> list[Path]:
    """Lists the image files in a folder and its sub-folders in alphabetical order; empty if there is no such folder."""
    return [Path(name) for name in _names_below(folder)]


def _names_below(folder: str | Path) -> list[str]:
    """Lists the paths of the image files.

    Hidden entries are skipped. Links to folders are not followed, since they may form cycles.
    """
    if not os.path.isdir(folder):  # noqa: PTH112 # a million `Path`s would take minutes
        return []
    with os.scandir(folder) as entries:
        visible = sorted((entry for entry in entries if not entry.name.startswith(".")), key=lambda entry: entry.name)
    names: list[str] = []
    for entry in visible:
        if entry.is_dir(follow_symlinks=False):
            names += _names_below(entry.path)
        elif entry.name.lower().endswith(SUFFIXES):
            names.append(entry.path)
    return names
