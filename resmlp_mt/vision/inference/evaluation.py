"""Evaluation of a classifier: accuracy over all images with confidence intervals, confusions, speed, and hashes."""

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

from resmlp_mt.common.errors import ResMLPError
from resmlp_mt.common.files import lines_digest
from resmlp_mt.common.versions import versions
from resmlp_mt.vision.bundle import LoadedClassifier
from resmlp_mt.vision.data.image_sets import ImageSet, Label
from resmlp_mt.vision.inference.prediction import read_batches

FORMAT = 1
TOP = 5
_NORMAL_QUANTILE = 1.959963984540054  # of 97.5 %, for intervals of 95 %
_MEBIBYTE, _KIBIBYTE = 1024 * 1024, 1024
_LIBRARIES = ("torch", "torchvision", "pillow", "numpy")
_MAX_NAMED = 5  # classes listed in an error message


@dataclass(frozen=True)
class Outcome:
    """Predictions of a classifier on a data set, with time and memory.

    Attributes:
        guesses: the most probable classes of each image, best first, (images, at most 5).
        labels: one for each image; a tuple where any of several classes counts as correct.
        skipped: one message for each image that could not be read.
        seconds: total time, including reading the images.
        model_seconds: time of the model only.
        peak_megabytes: peak memory of the process, in MiB.
        peak_device_megabytes: peak GPU memory, in MiB; None on a CPU.
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
        """One label per image: of several labels the predicted one if it is among them, else the first."""
        pairs = zip(self.labels, self.guesses[:, 0].tolist(), strict=True)
        return np.array(
            [label if isinstance(label, int) else guess if guess in label else label[0] for label, guess in pairs]
        )

    def count_correct(self, top_k: int) -> int:
        """Counts the images with a correct class among the `top_k` most probable."""
        return sum(
            bool({label} & set(row) if isinstance(label, int) else set(label) & set(row))
            for label, row in zip(self.labels, self.guesses[:, :top_k].tolist(), strict=True)
        )


def check_same_classes(of_model: Sequence[str], of_data: Sequence[str]) -> bool:
    """Compares the classes of a model with those of a data set.

    Returns:
        Whether the model has class names. Classes of imported weights are numbered from 0 and assumed to be in the
        order of the data set.

    Raises:
        ResMLPError: if the classes differ; the message names the first differences.
    """
    if list(of_model) == list(of_data):
        return True
    if len(of_model) == len(of_data) and list(of_model) == [str(index) for index in range(len(of_model))]:
        return False
    missing = [name for name in of_model if name not in set(of_data)]
    unknown = [name for name in of_data if name not in set(of_model)]
    if missing or unknown:
        parts = [("lacks", missing), ("also has", unknown)]
        difference = " and ".join(f"{verb} {_shorten(names)}" for verb, names in parts if names)
    else:
        index = next(index for index, pair in enumerate(zip(of_model, of_data, strict=False)) if pair[0] != pair[1])
        difference = f"has another order, with {of_data[index]!r} at index {index} instead of {of_model[index]!r}"
    raise ResMLPError(
        f"the data set does not have the model's {len(of_model)} classes: it {difference}; "
        "choose other data, or set the model's class names with `resmlp-mt vision convert --classes`"
    )


def _shorten(names: Sequence[str]) -> str:
    more = f" and {len(names) - _MAX_NAMED} more" if len(names) > _MAX_NAMED else ""
    return ", ".join(repr(name) for name in names[:_MAX_NAMED]) + more


@torch.inference_mode()
def classify_dataset(
    loaded: LoadedClassifier, images: ImageSet, batch_size: int = 64, workers: int = 1, skip_corrupt: bool = False
) -> Outcome:
    """Classifies all images of a data set.

    Args:
        loaded: the classifier, see `prepare_for_inference`.
        images: images and labels.
        batch_size: images per batch; the last batch may be smaller.
        workers: threads that read images.
        skip_corrupt: skip images that cannot be read and list them, instead of raising an error.

    Raises:
        ResMLPError: if an image cannot be read, or none can.
    """
    transform = loaded.preprocessing.evaluation_transform()
    device = next(loaded.classifier.parameters()).device
    guesses, labels, skipped, model_seconds = [], [], [], 0.0

    def read(index: int) -> tuple[Tensor, Label] | str:
        try:
            image, label = images[index]
            return transform(image), label
        except ResMLPError as error:
            return str(error)

    start = time.perf_counter()
    for batch in read_batches(range(len(images)), read, batch_size, workers):
        skipped += [sample for sample in batch if isinstance(sample, str)]
        if skipped and not skip_corrupt:
            raise ResMLPError(skipped[0])
        samples = [sample for sample in batch if not isinstance(sample, str)]
        if samples:
            pixels = torch.stack([image for image, _ in samples]).to(device)
            model_start = _now(device)
            best = loaded.classifier(pixels).topk(min(TOP, len(loaded.classes))).indices
            model_seconds += _now(device) - model_start
            guesses.append(best.cpu().numpy())
            labels += [label for _, label in samples]
    seconds = time.perf_counter() - start
    if not labels:
        raise ResMLPError("none of the images can be read; give another data set")
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
    r"""Returns the 95 % confidence interval of a proportion.

    $$\frac{p + z^2/2n \pm z\sqrt{p(1-p)/n + z^2/4n^2}}{1 + z^2/n}$$

    Source: Wilson 1927, "Probable inference, the law of succession, and statistical inference". Unlike p plus or minus
    two standard deviations it stays within [0, 1] and is not empty for p = 0 or 1.

    Args:
        right: number of successes.
        count: number of trials.
    """
    if count == 0:
        return 0.0, 1.0
    share, z2 = right / count, _NORMAL_QUANTILE**2
    middle = share + z2 / (2 * count)
    half = _NORMAL_QUANTILE * math.sqrt(share * (1 - share) / count + z2 / (4 * count**2))
    return max(0.0, (middle - half) / (1 + z2 / count)), min(1.0, (middle + half) / (1 + z2 / count))


def confusion_matrix(outcome: Outcome, classes: int) -> NDArray[np.int64]:
    """Returns the number of images of class i predicted as class j, (classes, classes)."""
    cells = outcome.truth * classes + outcome.guesses[:, 0]
    return np.bincount(cells, minlength=classes * classes).reshape(classes, classes)


def describe(outcome: Outcome, classes: Sequence[str]) -> dict[str, Any]:
    """Returns the accuracy, overall and per class, and the confusions, ready for JSON.

    Args:
        outcome: result of `classify_dataset`.
        classes: class names.
    """
    count = len(outcome.labels)
    matrix = confusion_matrix(outcome, len(classes))
    shares = {f"top{k}": _share(outcome.count_correct(k), count) for k in (1, TOP)}
    wrong = np.argwhere(matrix * (1 - np.eye(len(classes), dtype=np.int64)))
    pairs = sorted(((int(matrix[i, j]), int(i), int(j)) for i, j in wrong), key=lambda pair: (-pair[0], pair[1:]))
    return {
        "pictures": count,
        "skipped": outcome.skipped,
        "interval": "Wilson, 95 %",
        **shares,
        "by_class": [_class_row(matrix, index, name) for index, name in enumerate(classes)],
        "confusions": [{"class": classes[i], "taken_for": classes[j], "pictures": errors} for errors, i, j in pairs],
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


def _class_row(matrix: NDArray[np.int64], index: int, name: str) -> dict[str, Any]:
    row, right = matrix[index], int(matrix[index, index])
    count, guessed = int(row.sum()), int(matrix[:, index].sum())
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
    """Returns the sha256 of image names and labels, one image per line.

    Names are relative to `root`, so the digest does not depend on the location. Pixels are not hashed.
    """
    digest = hashlib.sha256()
    for number, label in enumerate(images.labels):
        name = images.name_of(number).removeprefix(f"{root}/")
        labels = [label] if isinstance(label, int) else label
        digest.update(f"{name}\t{' '.join(images.classes[index] for index in labels)}\n".encode("utf-8", "replace"))
    return f"sha256:{digest.hexdigest()}"


def evaluation_report(
    loaded: LoadedClassifier, images: ImageSet, outcome: Outcome, data: dict[str, Any], settings: dict[str, Any]
) -> dict[str, Any]:
    """Returns the results with everything needed to reproduce them, ready for JSON.

    Args:
        loaded: the classifier.
        images: the evaluated data set.
        outcome: result of `classify_dataset`.
        data: name, root and split of the data set.
        settings: other settings of the run.
    """
    return {
        "format": FORMAT,
        "data": data,
        **describe(outcome, images.classes),
        "hashes": {"labels": labels_digest(images, Path(data["root"])), "classes": lines_digest(images.classes)},
        "settings": {**settings, "preprocessing": asdict(loaded.preprocessing)},
        "versions": versions(_LIBRARIES),
    }
