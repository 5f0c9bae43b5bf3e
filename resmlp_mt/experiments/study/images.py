"""The images of the study on digits, as folders."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

from resmlp_mt.common.errors import require_whole_number
from resmlp_mt.vision.data.datasets import load_dataset


def write_images(folder: Path, few: int, seed: int) -> None:
    """Writes the digits as four sets of images: "all", "few" (of each class), "0 to 4", and "few of 5 to 9".

    Args:
        folder: gets a folder for each set, with train/CLASS/*.png and val/CLASS/*.png; an existing folder is kept.
        few: training images per class in the small sets.
        seed: seed of their random choice.
    """
    if folder.exists():
        return
    partial_folder = folder.with_name(f"{folder.name}.partial")
    shutil.rmtree(partial_folder, ignore_errors=True)
    for split, split_folder in (("train", "train"), ("valid", "val")):
        images = load_dataset("digits", "", split)
        indices = range(len(images))
        labels = [label for label in images.labels if isinstance(label, int)]
        chosen = _choose(labels, few, seed) if split == "train" else indices
        for index in indices:
            (image, _), label = images[index], labels[index]
            sets = ["all", "0 to 4"] if label < 5 else ["all"]
            if index in chosen:
                sets += ["few"] if label < 5 else ["few", "few of 5 to 9"]
            for name in sets:
                path = partial_folder / name / split_folder / str(label) / f"{index:04}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                image.save(path)
    partial_folder.rename(folder)


def _choose(labels: list[int], few: int, seed: int) -> set[int]:
    """Draws `few` indices of every class."""
    generator = random.Random(seed)
    chosen: set[int] = set()
    for label in sorted(set(labels)):
        of_label = [index for index, other in enumerate(labels) if other == label]
        require_whole_number("--few", few, 1, len(of_label))
        chosen |= set(generator.sample(of_label, few))
    return chosen
