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
        image: the image as passed by the caller.
        guesses: the most probable classes, best first; empty if the image cannot be read.
        error: the reason why the image cannot be read; empty otherwise.
    """

    image: ImageSource
    guesses: tuple[Guess, ...]
    error: str = ""


class Classifier:
    """Classifies images. The result of an image does not depend on the other images of its batch.

    Args:
        loaded: the model, its class names and preprocessing. The model is changed in place.
        device: "cpu", "cuda" or "cuda:N".
        batch_size: images per batch.
        workers: threads that read images, one batch ahead.
        fold: whether to fold the model, which makes inference faster.

    Raises:
        ResMLPError: if the device is not available, or the model has no head.
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
        """Reads a bundle or a checkpoint of `fairseq-train` without executing code in it.

        Args:
            path: the bundle's folder or the checkpoint.
            device: "cpu", "cuda" or "cuda:N".
            batch_size: images per batch.
            workers: threads that read images, one batch ahead.

        Raises:
            ResMLPError: if the file is missing or damaged, or the device is not available.
        """
        return cls(load_classifier(Path(path)), device, batch_size, workers)

    def classify(self, images: Iterable[ImageSource], top_k: int = 5) -> list[Prediction]:
        """Classifies images.

        Args:
            images: paths, or Pillow images.
            top_k: number of classes per result; at most all classes.

        Returns:
            One result per image, in their order. For an image that cannot be read it has an `error` and no classes.

        Raises:
            ResMLPError: if `images` is a single path, or an option is out of range.
        """
        if isinstance(images, str | Path):
            raise ResMLPError(f"classify() takes a list of images, but got the single path {images}; put it in a list")
        return list(self.classify_each(list(images), top_k))

    def classify_each(self, images: Sequence[ImageSource], top_k: int = 5) -> Iterator[Prediction]:
        """Like `classify`, but yields each batch of results as soon as it is ready."""
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
