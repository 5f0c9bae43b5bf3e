"""The features that a frozen classifier gives for a set of pictures."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from resmlp_mt.common.errors import ResMLPError, require, require_whole_number
from resmlp_mt.vision.data.augmentation import drawing_from
from resmlp_mt.vision.data.image_sets import ImageSet, Label
from resmlp_mt.vision.data.preprocessing import Transform
from resmlp_mt.vision.model.classifier import ClassifierModel

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Features:
    """Features and labels of pictures, in the pictures' order.

    Attributes:
        vectors: (pictures, dim), 32 bits, on the CPU.
        labels: of each; several where any of them counts as right.
    """

    vectors: Tensor
    labels: list[Label]

    def targets(self) -> Tensor:
        """One label each, the first where there are several: (pictures,)."""
        return torch.tensor([label if isinstance(label, int) else label[0] for label in self.labels])

    def count_right(self, classes: Tensor) -> int:
        """How many of the classes (pictures,) are right."""
        pairs = zip(classes.tolist(), self.labels, strict=True)
        return sum(found == known if isinstance(known, int) else found in known for found, known in pairs)


class _Tensors(Dataset):
    """Pictures as tensors; what a transform draws depends on the seed and the picture's place alone."""

    def __init__(self, images: ImageSet, transform: Transform, chosen: Sequence[int], seed: int) -> None:
        self.images, self.transform, self.chosen, self.seed = images, transform, chosen, seed

    def __len__(self) -> int:
        return len(self.chosen)

    def __getitem__(self, place: int) -> tuple[Tensor, Label] | str:
        index = self.chosen[place]
        try:
            image, label = self.images[index]
        except ResMLPError as error:  # from a worker it would arrive as a traceback
            return str(error)
        with drawing_from(self.seed, index):
            return self.transform(image), label


@torch.no_grad()
def extract_features(
    classifier: ClassifierModel,
    images: ImageSet,
    transform: Transform,
    batch_size: int = 64,
    workers: int = 0,
    chosen: Iterable[int] | None = None,
    seed: int = 0,
    skip_corrupt: bool = False,
) -> Features:
    """Runs pictures through a classifier up to its head, every one of them, the last batch included.

    The classifier is in evaluation mode meanwhile and does not change.

    Args:
        classifier: on the device to compute on.
        images: pictures and labels.
        transform: from a picture to the classifier's input.
        batch_size: pictures at a time.
        workers: processes that open pictures; 0 for this one.
        chosen: places of the pictures to take; all unless given.
        seed: of a transform that draws.
        skip_corrupt: leave out pictures that cannot be read, with a warning, instead of reporting the first.

    Raises:
        ResMLPError: a picture cannot be read, or none can.
    """
    require_whole_number("the batch size", batch_size, 1, 1_000_000)
    require_whole_number("the number of workers", workers, 0, 1024)
    device = next(classifier.parameters()).device
    places = list(range(len(images)) if chosen is None else chosen)
    loader = DataLoader(_Tensors(images, transform, places, seed), batch_size, num_workers=workers, collate_fn=list)
    vectors: list[Tensor] = []
    labels: list[Label] = []
    was_training = classifier.training
    classifier.eval()
    try:
        for samples in loader:
            read = list(_readable(samples, skip_corrupt))
            if read:
                pictures = torch.stack([picture for picture, _ in read])
                vectors.append(classifier.features(pictures.to(device)).float().cpu())
                labels.extend(label for _, label in read)
    finally:
        classifier.train(was_training)
    require(bool(labels), "pictures", "one or more that can be read", "none", "give others")
    return Features(torch.cat(vectors), labels)


def _readable(samples: list[tuple[Tensor, Label] | str], skip_corrupt: bool) -> Iterator[tuple[Tensor, Label]]:
    for sample in samples:
        if not isinstance(sample, str):
            yield sample
        elif skip_corrupt:
            logger.warning("skipped: %s", sample)
        else:
            raise ResMLPError(sample)
