"""The public API for image classification: `Classifier`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import torch
from torch import Tensor

from resmlp_mt.common.errors import ResMLPError
from resmlp_mt.vision.bundle import LoadedClassifier, load_classifier
from resmlp_mt.vision.data.images import convert_image, open_image
from resmlp_mt.vision.inference.prediction import prepare_for_inference, read_batches

if TYPE_CHECKING:
    from PIL.Image import Image

ImageSource: TypeAlias = "str | Path | Image"


@dataclass(frozen=True)
class Guess:
    """A class and its probability, from 0 to 1."""

    name: str
    probability: float


@dataclass(frozen=True)
class Prediction:
    """The result for one image.

    Attributes:
        image: as it was given.
        guesses: the most probable first; none when the image cannot be read.
        error: why it cannot be read, empty otherwise.
    """

    image: ImageSource
    guesses: tuple[Guess, ...]
    error: str = ""


class Classifier:
    """Classifies images. An image's result does not depend on its batch.

    Args:
        loaded: the model, the names of its classes and the preprocessing of its images. The model is changed.
        device: "cpu", "cuda" or "cuda:N".
        batch_size: images per batch.
        workers: threads that read images, one batch ahead.
        fold: whether to fold the model for inference, which is faster.

    Raises:
        ResMLPError: when the device is not available, or the model has no head.
    """

    def __init__(
        self, loaded: LoadedClassifier, device: str = "cpu", batch_size: int = 64, workers: int = 1, fold: bool = True
    ) -> None:
        if not loaded.classes:
            raise ResMLPError("the model has no head and cannot classify; name another model")
        self.model = prepare_for_inference(loaded.classifier, device, fold)
        self.classes = loaded.classes
        self.preprocessing = loaded.preprocessing
        self.batch_size = batch_size
        self.workers = workers

    @classmethod
    def from_pretrained(
        cls, path: str | Path, device: str = "cpu", batch_size: int = 64, workers: int = 1
    ) -> Classifier:
        """Reads a bundle, or a checkpoint of `fairseq-train`; nothing in it is run.

        Raises:
            ResMLPError: when something is missing or damaged.
        """
        return cls(load_classifier(Path(path)), device, batch_size, workers)

    def classify(self, images: Iterable[ImageSource], top_k: int = 5) -> list[Prediction]:
        """Classifies images.

        Args:
            images: files, or images of Pillow.
            top_k: number of classes in each result, or all where there are fewer.

        Returns:
            A result for each image, in their order; one that cannot be read has an `error` instead of classes.

        Raises:
            ResMLPError: when `images` is a single path, or an option is out of range.
        """
        if isinstance(images, str | Path):
            raise ResMLPError(f"classify() takes a list of images, but got the single path {images}; put it in a list")
        return list(self.classify_each(list(images), top_k))

    def classify_each(self, images: Sequence[ImageSource], top_k: int = 5) -> Iterator[Prediction]:
        """As `classify`, but yields the results batch by batch while it reads."""
        if top_k < 1:
            raise ResMLPError(f"top_k must be at least 1, but is {top_k}")
        transform, channels = self.preprocessing.evaluation_transform(), self.preprocessing.channels

        def read(image: ImageSource) -> Tensor | str:
            try:
                upright = (
                    open_image(image, channels) if isinstance(image, str | Path) else convert_image(image, channels)
                )
                return transform(upright)
            except ResMLPError as error:
                return str(error)

        done = 0
        for batch in read_batches(images, read, self.batch_size, self.workers):
            tensors = [result for result in batch if isinstance(result, Tensor)]
            guesses = iter(self._guesses(torch.stack(tensors), top_k) if tensors else [])
            for image, result in zip(images[done:], batch, strict=False):
                if isinstance(result, Tensor):
                    yield Prediction(image, next(guesses))
                else:
                    yield Prediction(image, (), result)
            done += len(batch)

    @torch.inference_mode()
    def _guesses(self, images: Tensor, top_k: int) -> list[tuple[Guess, ...]]:
        device = next(self.model.parameters()).device
        probabilities = self.model(images.to(device)).float().softmax(1).cpu()
        values, indices = probabilities.topk(min(top_k, len(self.classes)))
        return [
            tuple(Guess(self.classes[index], value) for value, index in zip(row_values, row_indices, strict=True))
            for row_values, row_indices in zip(values.tolist(), indices.tolist(), strict=True)
        ]
