"""The table of known image data sets, by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from resmlp_mt.common.errors import ResMLPError
from resmlp_mt.vision.data.dataset_files import (
    load_cars,
    load_cifar10,
    load_cifar100,
    load_flowers102,
    load_imagenet,
    load_inat2018,
    load_inat2019,
)
from resmlp_mt.vision.data.image_sets import ArraySet, ImageSet, folder_classes, load_folder
from resmlp_mt.vision.data.preprocessing import Preprocessing


@dataclass(frozen=True)
class KnownDataset:
    """An entry of `DATASETS`.

    Attributes:
        load: maps (root, split, download) to the images.
        splits: names of the splits.
        preprocessing: the default preprocessing of its images.
    """

    load: Callable[[Path, str, bool], ImageSet]
    splits: tuple[str, ...]
    preprocessing: Preprocessing = field(default_factory=Preprocessing)


def load_digits(_root: Path, split: str, _download: bool = False) -> ArraySet:
    """Returns scikit-learn's 1,797 images of digits, 8 x 8, grey, which are part of its package.

    Every fifth image of each digit, 355 in all, is held out as "valid"; the other 1,442 are "train".
    """
    import numpy as np
    from sklearn.datasets import load_digits as load

    pixels, labels = load(return_X_y=True)
    held_out = np.zeros(len(labels), dtype=bool)
    for digit in range(10):
        held_out[np.flatnonzero(labels == digit)[4::5]] = True
    kept = np.flatnonzero(held_out if split == "valid" else ~held_out)
    grey = (pixels[kept].reshape(-1, 8, 8) * 255 / 16).round().astype(np.uint8)  # 16 is scikit-learn's white
    return ArraySet([str(digit) for digit in range(10)], grey, labels[kept].tolist(), f"digits {split}")


# In data sets without a validation set "valid" is the test set, as in the paper's table of transfer.
# Note: mean and standard deviation are ImageNet's, as in the authors' code, except for digits (measured).
DATASETS: MappingProxyType[str, KnownDataset] = MappingProxyType(
    {
        "folder": KnownDataset(load_folder, ("train", "valid", "test")),
        "digits": KnownDataset(
            load_digits, ("train", "valid"), Preprocessing(8, 1, mean=(0.305,), std=(0.376,), crop=1.0)
        ),
        "cifar10": KnownDataset(load_cifar10, ("train", "valid")),
        "cifar100": KnownDataset(load_cifar100, ("train", "valid")),
        "flowers102": KnownDataset(load_flowers102, ("train", "valid")),
        "cars": KnownDataset(load_cars, ("train", "valid")),
        "inat2018": KnownDataset(load_inat2018, ("train", "valid")),
        "inat2019": KnownDataset(load_inat2019, ("train", "valid")),
        "imagenet": KnownDataset(load_imagenet, ("train", "valid", "real", "v2")),
    }
)


def known_dataset(name: str) -> KnownDataset:
    """Returns the entry of a data set.

    Raises:
        ResMLPError: if the name is unknown; the message lists the known ones.
    """
    if name not in DATASETS:
        raise ResMLPError(f"the data set {name!r} is unknown; choose one of {', '.join(DATASETS)}")
    return DATASETS[name]


def load_dataset(name: str, root: str | Path, split: str, download: bool = False) -> ImageSet:
    """Loads the images of a split.

    Args:
        name: one of `DATASETS`.
        root: the folder that holds the data set.
        split: "train", "valid", or another split of the data set.
        download: download missing files where that is supported.

    Returns:
        The images and their labels.

    Raises:
        ResMLPError: if the data set or split is unknown, or its files are missing, damaged, or cannot be downloaded.
    """
    known = known_dataset(name)
    if split not in known.splits:
        raise ResMLPError(f"the data set {name} has no split {split!r}; choose one of {', '.join(known.splits)}")
    return known.load(Path(root), split, download)


def load_classes(name: str, root: str | Path, download: bool = False) -> list[str]:
    """Lists the classes of a data set, which are the same for all its splits."""
    if name in ("folder", "imagenet"):
        return folder_classes(Path(root), "valid")
    return load_dataset(name, root, "train", download).classes
