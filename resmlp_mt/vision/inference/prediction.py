"""Classifying pictures: reading them ahead in their order, the classifier made ready, and its best guesses."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor

from resmlp_mt.common.errors import ResMLPError, require, require_whole_number
from resmlp_mt.vision.bundle import LoadedClassifier
from resmlp_mt.vision.data.image_sets import pictures_below
from resmlp_mt.vision.data.images import SUFFIXES, open_image
from resmlp_mt.vision.model.classifier import ClassifierModel

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Guess:
    """A class and its probability, from 0 to 1."""

    name: str
    probability: float


@dataclass(frozen=True)
class Prediction:
    """What is said of a picture.

    Attributes:
        picture: its file.
        guesses: the most probable first; none when the picture cannot be read.
        error: why it cannot be read, empty otherwise.
    """

    picture: Path
    guesses: tuple[Guess, ...]
    error: str = ""


def find_pictures(places: Sequence[Path]) -> list[Path]:
    """Lists files and the pictures in folders, in the order given; those of a folder in alphabetical order.

    Files stand for themselves, whatever they are called and whether or not they exist, so that each gets its answer.

    Raises:
        ResMLPError: when a folder holds no pictures.
    """
    found: list[Path] = []
    for place in places:
        inside = pictures_below(place) if place.is_dir() else [place]
        require(bool(inside), str(place), f"a folder with pictures ({', '.join(SUFFIXES)})", "without any", "name more")
        found += inside
    return found


def make_ready(classifier: ClassifierModel, device: str, fold: bool = True) -> ClassifierModel:
    """Brings a classifier to a device and folds it for inference, unless told not to.

    Raises:
        ResMLPError: when the device is not there.
    """
    try:
        torch.zeros((), device=torch.device(device)).item()  # fails on "meta", which is none
        classifier.to(torch.device(device))
    except (RuntimeError, AssertionError) as error:
        said = str(error).splitlines()[0][:120]
        raise ResMLPError(f"the device must be there, but {device} is not ({said}); use cpu") from error
    classifier.eval()
    if fold:
        classifier.fold()
    return classifier


def in_batches(
    items: Sequence[Item], read: Callable[[Item], Result], batch_size: int, workers: int = 1
) -> Iterator[list[Result]]:
    """Reads items in threads, in their order, one batch ahead of the caller.

    Args:
        items: what to read.
        read: of one item.
        batch_size: items in a batch; the last may be smaller.
        workers: threads. Pillow decodes and resizes without holding Python back.
    """
    require_whole_number("the batch size", batch_size, 1, 1_000_000)
    require_whole_number("the number of workers", workers, 1, 1024)
    ahead: deque[list[Future[Result]]] = deque()
    with ThreadPoolExecutor(workers) as pool:
        for start in range(0, len(items), batch_size):
            ahead.append([pool.submit(read, item) for item in items[start : start + batch_size]])
            if len(ahead) > 1:
                yield [result.result() for result in ahead.popleft()]
        for batch in ahead:
            yield [result.result() for result in batch]


def predict(
    loaded: LoadedClassifier, pictures: Sequence[Path], top_k: int = 5, batch_size: int = 64, workers: int = 1
) -> Iterator[Prediction]:
    """Classifies pictures; each gets a prediction, in the order given.

    Args:
        loaded: the classifier, made ready.
        pictures: files.
        top_k: number of guesses, or all classes where there are fewer.
        batch_size: pictures at a time.
        workers: threads that read pictures.

    Raises:
        ResMLPError: when the classifier has no classes or a setting is out of range.
    """
    require(bool(loaded.classes), "the classifier", "one with a head", "one without", "name another model")
    require(top_k >= 1, "top-k", "at least 1", top_k, "raise it")
    transform, channels = loaded.preprocessing.evaluation_transform(), loaded.preprocessing.channels

    def read(picture: Path) -> Tensor | str:
        try:
            return transform(open_image(picture, channels))
        except ResMLPError as error:
            return str(error)

    done = 0
    for batch in in_batches(pictures, read, batch_size, workers):
        images = [image for image in batch if isinstance(image, Tensor)]
        guesses = iter(_guesses(loaded, torch.stack(images), top_k) if images else [])
        for picture, result in zip(pictures[done:], batch, strict=False):
            if isinstance(result, Tensor):
                yield Prediction(picture, next(guesses))
            else:
                yield Prediction(picture, (), result)
        done += len(batch)


@torch.inference_mode()
def _guesses(loaded: LoadedClassifier, images: Tensor, top_k: int) -> list[tuple[Guess, ...]]:
    device = next(loaded.classifier.parameters()).device
    probabilities = loaded.classifier(images.to(device)).float().softmax(1).cpu()
    values, places = probabilities.topk(min(top_k, len(loaded.classes)))
    return [
        tuple(Guess(loaded.classes[place], value) for value, place in zip(row_values, row_places, strict=True))
        for row_values, row_places in zip(values.tolist(), places.tolist(), strict=True)
    ]
