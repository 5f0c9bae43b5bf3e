"""Readers of published data sets, from the original files.

torchvision reads, verifies and downloads where it can. Nothing is unpickled: CIFAR is read from its binary version, not
from the pickles that torchvision reads. Images are opened by `open_image`.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from resmlp_mt.common.errors import ResMLPError
from resmlp_mt.vision.data.image_sets import ArraySet, FileSet, Label, find_image_files, folder_classes, load_folder

if TYPE_CHECKING:
    import numpy as np

# Source: cs.toronto.edu/~kriz/cifar.html, "binary version"; md5 as given there.
_CIFAR_URL = "https://www.cs.toronto.edu/~kriz/{}"
_CIFAR = {
    "cifar10": ("cifar-10-binary.tar.gz", "c32a1d4ab5d03f1284b67883e8d87530", "cifar-10-batches-bin"),
    "cifar100": ("cifar-100-binary.tar.gz", "03b5dce01913d631647c71ecec9e9cb8", "cifar-100-binary"),
}
_CIFAR_PIXELS = 3 * 32 * 32


def load_cifar10(root: Path, split: str, download: bool = False) -> ArraySet:
    """Reads CIFAR-10 from cifar-10-batches-bin/: a record is a label and 3 x 32 x 32 bytes, channel by channel."""
    folder = _cifar_folder("cifar10", root, download)
    names = [f"data_batch_{number}.bin" for number in range(1, 6)] if split == "train" else ["test_batch.bin"]
    return _read_cifar(folder, names, labels_per_image=1, class_file="batches.meta.txt")


def load_cifar100(root: Path, split: str, download: bool = False) -> ArraySet:
    """Reads CIFAR-100 from cifar-100-binary/: a record is a coarse label, a fine label (used here), and the pixels."""
    folder = _cifar_folder("cifar100", root, download)
    names = ["train.bin" if split == "train" else "test.bin"]
    return _read_cifar(folder, names, labels_per_image=2, class_file="fine_label_names.txt")


def _cifar_folder(name: str, root: Path, download: bool) -> Path:
    archive, md5, folder_name = _CIFAR[name]
    url = _CIFAR_URL.format(archive)
    folder = root / folder_name
    if download and not folder.is_dir():
        from torchvision.datasets.utils import download_and_extract_archive

        _fetch(name, url, root, lambda: download_and_extract_archive(url, str(root), md5=md5))
    if not folder.is_dir():
        raise ResMLPError(f"{folder} is missing; add --download, or download {url} and unpack {archive} in {root}")
    return folder


def _fetch(name: str, what: str, root: Path, fetch: Callable[[], Any]) -> Any:
    """Runs a download and reports a failure as a `ResMLPError`."""
    try:
        return fetch()
    except (OSError, RuntimeError, ValueError) as error:  # what torchvision and urllib raise
        reason = " ".join(str(error).split())
        raise ResMLPError(
            f"the files of {name} are not in {root} and cannot be downloaded from {what} ({reason}); "
            "copy them there, or try again with network access"
        ) from error


def _read_cifar(folder: Path, names: list[str], labels_per_image: int, class_file: str) -> ArraySet:
    import numpy as np

    classes = _lines(folder / class_file)
    record = labels_per_image + _CIFAR_PIXELS
    tables: list[np.ndarray] = []
    for path in (folder / name for name in names):
        _require_file(path)
        data = np.fromfile(path, dtype=np.uint8)
        if not len(data) or len(data) % record:
            raise ResMLPError(
                f"{path} has {len(data)} bytes, which is not a multiple of the record size {record}; download it again"
            )
        tables.append(data.reshape(-1, record))
    table = np.concatenate(tables)
    labels = table[:, labels_per_image - 1].astype(int).tolist()
    if max(labels) >= len(classes):
        raise ResMLPError(f"{folder} has the label {max(labels)}, but only {len(classes)} classes; download it again")
    pixels = table[:, labels_per_image:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)  # (count, height, width, 3)
    return ArraySet(classes, np.ascontiguousarray(pixels), labels, str(folder))


def _lines(path: Path) -> list[str]:
    _require_file(path)
    return [line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]


def _require_file(path: Path) -> None:
    if not path.is_file():
        raise ResMLPError(f"{path} is missing; download the data set again")


def load_flowers102(root: Path, split: str, download: bool = False) -> FileSet:
    """Reads Flowers-102 from flowers-102/ with torchvision.

    Note: training images are its "train" and "val" together (2,040) and validation its "test" (6,149), as in DeiT's
    and the paper's table of transfer.
    """
    from torchvision.datasets import Flowers102

    def read() -> list[tuple[Path, int]]:
        names = ("train", "val") if split == "train" else ("test",)
        parts = [Flowers102(root, name, download=download, loader=Path) for name in names]
        return [part[i] for part in parts for i in range(len(part))]

    pairs = _fetch("flowers102", "its website by torchvision (--download)", root, read)
    return _file_set(list(Flowers102.classes), pairs)


def load_cars(root: Path, split: str, _download: bool = False) -> FileSet:
    """Reads Stanford Cars from stanford_cars/ with torchvision; "valid" is its test set.

    The data set can no longer be downloaded.
    """
    from torchvision.datasets import StanfordCars

    part = "train" if split == "train" else "test"
    cars = _fetch(
        "cars",
        "their website, which is closed",
        root,
        lambda: StanfordCars(root, part, download=False, loader=Path),
    )
    return _file_set(list(cars.classes), [cars[i] for i in range(len(cars))])


def _file_set(classes: list[str], pairs: list[tuple[Path, int]]) -> FileSet:
    return FileSet(classes, [path for path, _ in pairs], [int(label) for _, label in pairs])


def load_inat2018(root: Path, split: str, _download: bool = False) -> FileSet:
    """Reads iNaturalist 2018 from train2018.json, val2018.json and the images they list, 8,142 classes."""
    return _read_inat(root, split, 2018)


def load_inat2019(root: Path, split: str, _download: bool = False) -> FileSet:
    """Reads iNaturalist 2019 from train2019.json, val2019.json and the images they list, 1,010 classes."""
    return _read_inat(root, split, 2019)


def _read_inat(root: Path, split: str, year: int) -> FileSet:
    """Reads the images of a year by its lists, since torchvision does not know the splits."""
    path = root / f"{'train' if split == 'train' else 'val'}{year}.json"
    where = f"download it and the images from github.com/visipedia/inat_comp ({year})"
    if not path.is_file():
        raise ResMLPError(f"the list of images {path} is missing; {where}")
    try:
        lists = json.loads(path.read_text(encoding="utf-8"))
        names = {int(row["id"]): str(row["name"]) for row in lists["categories"]}
        files = {row["id"]: Path(row["file_name"]) for row in lists["images"]}
        numbers = sorted(names)
        label_of = {number: index for index, number in enumerate(numbers)}
        pairs = [(files[row["image_id"]], label_of[int(row["category_id"])]) for row in lists["annotations"]]
    except (ValueError, KeyError, TypeError) as error:
        raise ResMLPError(f"{path} is not a list of iNaturalist {year} ({error!r}); {where}") from error
    outside = [file for file, _ in pairs if file.is_absolute() or ".." in file.parts]
    if outside:
        raise ResMLPError(f"{path} lists the image {outside[0]}, which is outside {root}; {where}")
    if not pairs:
        raise ResMLPError(f"{path} lists no images; {where}")
    return _file_set([names[number] for number in numbers], [(root / file, label) for file, label in pairs])


def load_imagenet(root: Path, split: str, _download: bool = False) -> FileSet:
    """Reads ImageNet-1k from train/ and val/ with one folder per class, and optionally two further validation sets.

    "real": the images of val/ with the reassessed labels in real.json, from
    github.com/google-research/reassessed-imagenet. Any of an image's labels counts as correct; images without labels
    are left out. "v2": the images in imagenetv2-matched-frequency-format-val/, from
    github.com/modestyachts/ImageNetV2, whose folders are named by class number.

    Note: `torchvision.datasets.ImageNet(root, split)` unpacks the official archives into these folders.
    """
    if split == "real":
        return _real_labels(root, load_folder(root, "valid"))
    if split == "v2":
        return _second_validation_set(root)
    return load_folder(root, split)


def _real_labels(root: Path, val: FileSet) -> FileSet:
    path = root / "real.json"
    where = "download it from github.com/google-research/reassessed-imagenet"
    if not path.is_file():
        raise ResMLPError(f"the list of reassessed labels {path} is missing; {where}")
    try:
        lists = [tuple(map(int, row)) for row in json.loads(path.read_text(encoding="utf-8"))]
    except (ValueError, TypeError) as error:
        raise ResMLPError(f"{path} is not a list of lists of labels ({error}); {where}") from error
    if len(lists) != len(val):
        raise ResMLPError(f"{path} has labels for {len(lists)} images, but val/ has {len(val)} images; {where}")
    by_name = sorted(val.files, key=lambda file: file.name)  # the list's order: ILSVRC2012_val_00000001 first
    pairs: list[tuple[Path, Label]] = [(file, row) for file, row in zip(by_name, lists, strict=True) if row]
    return FileSet(val.classes, [file for file, _ in pairs], [row for _, row in pairs])


def _second_validation_set(root: Path) -> FileSet:
    folder = root / "imagenetv2-matched-frequency-format-val"
    where = "download it from github.com/modestyachts/ImageNetV2"
    if not folder.is_dir():
        raise ResMLPError(f"the second validation set {folder} is missing; {where}")
    classes = folder_classes(root, "valid")
    labels = sorted(int(entry.name) for entry in folder.iterdir() if entry.name.isdigit())
    if not labels or labels[-1] >= len(classes):
        raise ResMLPError(
            f"the folders in {folder} must be named by class numbers below {len(classes)} (largest: {labels[-1:]}); "
            f"{where}"
        )
    return _file_set(classes, [(path, label) for label in labels for path in find_image_files(folder / str(label))])
