"""Extraction of the features of a frozen classifier for a set of images."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from resmlp_mt.common.errors import ResMLPError, require_whole_number
from resmlp_mt.vision.data.augmentation import seeded_generators
from resmlp_mt.vision.data.image_sets import ImageSet, Label
from resmlp_mt.vision.data.preprocessing import Transform
from resmlp_mt.vision.model.classifier import ClassifierModel

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Features:
    """Features and labels in the order of the images.

    Attributes:
        vectors: (images, dim), float32, on the CPU.
        labels: one for each image; a tuple where any of several classes counts as correct.
    """

    vectors: Tensor
    labels: list[Label]

    def targets(self) -> Tensor:
        """Returns the labels as a tensor (images,); the first of several labels."""
        return torch.tensor([label if isinstance(label, int) else label[0] for label in self.labels])

    def count_correct(self, classes: Tensor) -> int:
        """Counts the correct predictions among `classes` (images,)."""
        pairs = zip(classes.tolist(), self.labels, strict=True)
        return sum(guess == label if isinstance(label, int) else guess in label for guess, label in pairs)


class _Tensors(Dataset):
    """Images as tensors; a random transform depends only on the seed and the index of the image."""

    def __init__(self, images: ImageSet, transform: Transform, indices: Sequence[int], seed: int) -> None:
        self.images, self.transform, self.indices, self.seed = images, transform, indices, seed

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, position: int) -> tuple[Tensor, Label] | str:
        index = self.indices[position]
        try:
            image, label = self.images[index]
        except ResMLPError as error:  # an exception in a worker process would become a traceback
            return str(error)
        with seeded_generators(self.seed, index):
            return self.transform(image), label


@torch.no_grad()
def extract_features(
    classifier: ClassifierModel,
    images: ImageSet,
    transform: Transform,
    batch_size: int = 64,
    workers: int = 0,
    indices: Iterable[int] | None = None,
    seed: int = 0,
    skip_corrupt: bool = False,
) -> Features:
    """Computes the features of all images, in evaluation mode. The classifier is not changed.

    Args:
        classifier: the classifier, on the device to compute on.
        images: images and labels.
        transform: maps an image to the classifier's input.
        batch_size: images per batch; the last batch may be smaller.
        workers: processes that read images; 0: this process.
        indices: indices of the images to use; default: all.
        seed: seed of a random transform.
        skip_corrupt: skip images that cannot be read with a warning, instead of raising an error.

    Raises:
        ResMLPError: if an image cannot be read, or none can.
    """
    require_whole_number("the batch size", batch_size, 1, 1_000_000)
    require_whole_number("the number of workers", workers, 0, 1024)
    device = next(classifier.parameters()).device
    chosen = list(range(len(images)) if indices is None else indices)
    loader = DataLoader(_Tensors(images, transform, chosen, seed), batch_size, num_workers=workers, collate_fn=list)
    vectors: list[Tensor] = []
    labels: list[Label] = []
    was_training = classifier.training
    classifier.eval()
    try:
        for samples in loader:
            read = list(_readable(samples, skip_corrupt))
            if read:
                batch = torch.stack([image for image, _ in read])
                vectors.append(classifier.features(batch.to(device)).float().cpu())
                labels.extend(label for _, label in read)
    finally:
        classifier.train(was_training)
    if not labels:
        raise ResMLPError("none of the images can be read; give another data set")
    return Features(torch.cat(vectors), labels)


def _readable(samples: list[tuple[Tensor, Label] | str], skip_corrupt: bool) -> Iterator[tuple[Tensor, Label]]:
    for sample in samples:
        if not isinstance(sample, str):
            yield sample
        elif skip_corrupt:
            logger.warning("skipped: %s", sample)
        else:
            raise ResMLPError(sample)
