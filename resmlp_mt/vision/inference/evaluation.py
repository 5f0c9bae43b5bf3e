"""Accuracy that can be published: every picture counts, the uncertainty is said, and everything is hashed."""

from __future__ import annotations

import hashlib
import math
import resource
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from resmlp_mt.common.errors import ResMLPError, require
from resmlp_mt.common.files import lines_digest
from resmlp_mt.common.versions import versions
from resmlp_mt.vision.bundle import LoadedClassifier
from resmlp_mt.vision.data.image_sets import ImageSet, Label
from resmlp_mt.vision.inference.prediction import in_batches

FORMAT = 1
TOP = 5
_NORMAL_QUANTILE = 1.959963984540054  # of 97.5 %, for intervals of 95 %
_MEBIBYTE, _KIBIBYTE = 1024 * 1024, 1024
_LIBRARIES = ("torch", "torchvision", "pillow", "numpy")
_NAMED = 5  # differing classes that an error names


@dataclass(frozen=True)
class Outcome:
    """What a classifier said of a data set, and what it took.

    Attributes:
        guesses: the most probable classes of each picture, the best first, (pictures, at most 5).
        labels: of each picture; several where any of them counts as right.
        skipped: names of the pictures that could not be read, and why.
        seconds: from the first picture to the last, reading included.
        model_seconds: of the classifier alone.
        peak_megabytes: largest memory of the process, in MiB.
        peak_device_megabytes: largest memory on the GPU, in MiB; None on a CPU.
    """

    guesses: NDArray[np.int64]
    labels: list[Label]
    skipped: list[str]
    seconds: float
    model_seconds: float
    peak_megabytes: float
    peak_device_megabytes: float | None

    @property
    def truth(self) -> NDArray[np.int64]:
        """One label a picture: of several the guessed one if it is among them, else the first."""
        pairs = zip(self.labels, self.guesses[:, 0].tolist(), strict=True)
        return np.array(
            [label if isinstance(label, int) else guess if guess in label else label[0] for label, guess in pairs]
        )

    def count_right(self, among: int) -> int:
        """How many pictures have a right class among the best `among` guesses."""
        return sum(
            bool({label} & set(row) if isinstance(label, int) else set(label) & set(row))
            for label, row in zip(self.labels, self.guesses[:, :among].tolist(), strict=True)
        )


def require_same_classes(of_model: Sequence[str], of_data: Sequence[str]) -> bool:
    """Compares the classes of a model with those of a data set.

    Returns:
        Whether the model names its classes; weights from elsewhere only number them, from 0, and are taken to have
        the order of the data set.

    Raises:
        ResMLPError: saying which classes differ.
    """
    if list(of_model) == list(of_data):
        return True
    if len(of_model) == len(of_data) and list(of_model) == [str(place) for place in range(len(of_model))]:
        return False
    lacking = [name for name in of_model if name not in set(of_data)]
    unknown = [name for name in of_data if name not in set(of_model)]
    if lacking or unknown:
        parts = [("lack", lacking), ("also have", unknown)]
        differ = ", ".join(f"{verb} {_some(names)}" for verb, names in parts if names)
    else:
        place = next(place for place, pair in enumerate(zip(of_model, of_data, strict=False)) if pair[0] != pair[1])
        differ = f"are in another order: {of_data[place]!r} at place {place} instead of {of_model[place]!r}"
    raise ResMLPError(
        f"the classes of the data must be the model's {len(of_model)}, but {differ}; "
        "name other data, or give the model these names with `resmlp-mt vision convert --classes`"
    )


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(repr(name) for name in names[:_NAMED]) + more


@torch.inference_mode()
def classify_all(
    loaded: LoadedClassifier, images: ImageSet, batch_size: int = 64, workers: int = 1, skip_corrupt: bool = False
) -> Outcome:
    """Classifies every picture of a data set, those of the last, smaller batch included.

    Args:
        loaded: the classifier, made ready.
        images: pictures and labels.
        batch_size: pictures at a time.
        workers: threads that read pictures.
        skip_corrupt: leave out and name pictures that cannot be read, instead of reporting the first.

    Raises:
        ResMLPError: when a picture cannot be read, or none can.
    """
    transform = loaded.preprocessing.evaluation_transform()
    device = next(loaded.classifier.parameters()).device
    guesses, labels, skipped, model_seconds = [], [], [], 0.0

    def read(index: int) -> tuple[Tensor, Label] | str:
        try:
            picture, label = images[index]
            return transform(picture), label
        except ResMLPError as error:
            return str(error)

    start = time.perf_counter()
    for batch in in_batches(range(len(images)), read, batch_size, workers):
        skipped += [sample for sample in batch if isinstance(sample, str)]
        if skipped and not skip_corrupt:
            raise ResMLPError(skipped[0])
        samples = [sample for sample in batch if not isinstance(sample, str)]
        if samples:
            pixels = torch.stack([picture for picture, _ in samples]).to(device)
            began = _now(device)
            best = loaded.classifier(pixels).topk(min(TOP, len(loaded.classes))).indices
            model_seconds += _now(device) - began
            guesses.append(best.cpu().numpy())
            labels += [label for _, label in samples]
    seconds = time.perf_counter() - start
    require(bool(labels), "the data set", "one with a picture that can be read", "without any", "give other pictures")
    on_gpu = device.type == "cuda"
    return Outcome(
        np.concatenate(guesses),
        labels,
        skipped,
        seconds,
        model_seconds,
        resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / _KIBIBYTE,  # KiB on Linux
        torch.cuda.max_memory_allocated(device) / _MEBIBYTE if on_gpu else None,
    )


def _now(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def wilson_interval(right: int, count: int) -> tuple[float, float]:
    r"""The interval of 95 % around a share.

    $$\frac{p + z^2/2n \pm z\sqrt{p(1-p)/n + z^2/4n^2}}{1 + z^2/n}$$

    Source: Wilson 1927, "Probable inference, the law of succession, and statistical inference". Unlike p plus or minus
    two deviations it stays between 0 and 1, and has a width where all or none are right.

    Args:
        right: how many are right.
        count: of how many.
    """
    if count == 0:
        return 0.0, 1.0
    share, z2 = right / count, _NORMAL_QUANTILE**2
    middle = share + z2 / (2 * count)
    half = _NORMAL_QUANTILE * math.sqrt(share * (1 - share) / count + z2 / (4 * count**2))
    return max(0.0, (middle - half) / (1 + z2 / count)), min(1.0, (middle + half) / (1 + z2 / count))


def confusion_matrix(outcome: Outcome, classes: int) -> NDArray[np.int64]:
    """How often a picture of class i was taken for class j: (classes, classes)."""
    places = outcome.truth * classes + outcome.guesses[:, 0]
    return np.bincount(places, minlength=classes * classes).reshape(classes, classes)


def describe(outcome: Outcome, classes: Sequence[str]) -> dict[str, Any]:
    """The accuracies, overall and by class, and the confusions, as JSON holds them.

    Args:
        outcome: of `classify_all`.
        classes: their names.
    """
    count = len(outcome.labels)
    matrix = confusion_matrix(outcome, len(classes))
    shares = {f"top{among}": _share(outcome.count_right(among), count) for among in (1, TOP)}
    wrong = np.argwhere(matrix * (1 - np.eye(len(classes), dtype=np.int64)))
    pairs = sorted(((int(matrix[i, j]), int(i), int(j)) for i, j in wrong), key=lambda pair: (-pair[0], pair[1:]))
    return {
        "pictures": count,
        "skipped": outcome.skipped,
        "interval": "Wilson, 95 %",
        **shares,
        "by_class": [_class_row(matrix, place, name) for place, name in enumerate(classes)],
        "confusions": [{"class": classes[i], "taken_for": classes[j], "pictures": found} for found, i, j in pairs],
        "speed": {
            "seconds": outcome.seconds,
            "images_per_second": count / outcome.seconds,
            "images_per_second_of_the_model": count / outcome.model_seconds,
            "peak_megabytes": outcome.peak_megabytes,
            "peak_device_megabytes": outcome.peak_device_megabytes,
        },
    }


def _share(right: int, count: int) -> dict[str, Any]:
    return {"share": right / count, "right": right, "interval": list(wilson_interval(right, count))}


def _class_row(matrix: NDArray[np.int64], place: int, name: str) -> dict[str, Any]:
    row, right = matrix[place], int(matrix[place, place])
    count, guessed = int(row.sum()), int(matrix[:, place].sum())
    return {
        "class": name,
        "pictures": count,
        "right": right,
        "share": right / count if count else None,
        "interval": list(wilson_interval(right, count)),
        "guessed": guessed,
        "precision": right / guessed if guessed else None,
    }


def labels_digest(images: ImageSet, root: Path) -> str:
    """The sha256 of the data's names and labels, one picture a line; names are relative to `root`.

    It is the same wherever the data lie. The pixels are not read for it.
    """
    digest = hashlib.sha256()
    for index, label in enumerate(images.labels):
        name = images.name_of(index).removeprefix(f"{root}/")
        labels = [label] if isinstance(label, int) else label
        digest.update(f"{name}\t{' '.join(images.classes[place] for place in labels)}\n".encode("utf-8", "replace"))
    return f"sha256:{digest.hexdigest()}"


def full_report(
    loaded: LoadedClassifier, images: ImageSet, outcome: Outcome, data: dict[str, Any], settings: dict[str, Any]
) -> dict[str, Any]:
    """All that must be known to get the same numbers again, as JSON holds it.

    Args:
        loaded: the classifier.
        images: that it was evaluated on.
        outcome: of `classify_all`.
        data: name, root and split of the data set.
        settings: further settings of the run.
    """
    return {
        "format": FORMAT,
        "data": data,
        **describe(outcome, images.classes),
        "hashes": {"labels": labels_digest(images, Path(data["root"])), "classes": lines_digest(images.classes)},
        "settings": {**settings, "preprocessing": asdict(loaded.preprocessing)},
        "versions": versions(_LIBRARIES),
    }
