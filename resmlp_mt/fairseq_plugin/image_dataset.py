"""A fairseq data set of images."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from fairseq.data import FairseqDataset

from resmlp_mt.common.errors import ResMLPError
from resmlp_mt.vision.data.augmentation import Augmentation, mix, repeated_order, seeded_generators
from resmlp_mt.vision.data.image_sets import ImageSet
from resmlp_mt.vision.data.preprocessing import Preprocessing

logger = logging.getLogger(__name__)


@dataclass
class Unreadable:
    """Replaces an image that cannot be read, since an exception in a worker process would become a traceback."""

    message: str


class ImageDataset(FairseqDataset):
    """Images for fairseq's iterators.

    The augmentation of an image depends only on the seed, the epoch and the number of the image. So a training depends
    neither on the number of workers nor on interruptions.

    Args:
        images: images and labels.
        preprocessing: preprocessing of the images.
        augmentation: augmentation for training; None for evaluation.
        seed: seed of the training.
        skip_corrupt: skip images that cannot be read with a warning, instead of reporting the first.
    """

    def __init__(
        self,
        images: ImageSet,
        preprocessing: Preprocessing,
        augmentation: Augmentation | None,
        seed: int,
        skip_corrupt: bool,
    ) -> None:
        super().__init__()
        self.images = images
        self.augmentation = augmentation
        self.seed = seed
        self.skip_corrupt = skip_corrupt
        self.epoch = 1
        if augmentation is None:
            self.transform = preprocessing.evaluation_transform()
        else:
            self.transform = preprocessing.training_transform(augmentation)

    def set_epoch(self, epoch: int) -> None:
        """Called by fairseq before the workers of an epoch start."""
        self.epoch = epoch

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, number: int) -> dict[str, Any] | Unreadable:
        """Reads and augments image `number` modulo the number of images; larger numbers are its repetitions."""
        index = int(number) % len(self.images)
        try:
            image, label = self.images[index]
        except ResMLPError as error:
            return Unreadable(str(error))
        with seeded_generators(self.seed, self.epoch, int(number)):
            return {"id": index, "number": int(number), "image": self.transform(image), "label": label}

    def num_tokens(self, index: int) -> int:  # noqa: ARG002 - fairseq's signature
        """Returns 1: every image counts as one token."""
        return 1

    def size(self, index: int) -> int:  # noqa: ARG002 - fairseq's signature
        """Returns 1: all images have the same size."""
        return 1

    def ordered_indices(self) -> np.ndarray:
        """Returns the order of an epoch: shuffled with repetitions in training, unchanged in evaluation."""
        if self.augmentation is None:
            return np.arange(len(self.images), dtype=np.int64)
        return repeated_order(len(self.images), self.augmentation.repetitions, self.seed, self.epoch)

    def collater(self, samples: list[dict[str, Any] | Unreadable]) -> dict[str, Any]:
        """Makes a batch.

        Returns:
            "id" (batch,), "net_input" with "images" (batch, channels, height, width), "target" (batch,) labels or
            (batch, num_classes) probabilities, "nsentences" and "ntokens", both the number of images. An empty
            dictionary if there are no images; only "refused", the error message, if an image cannot be read.
        """
        for sample in samples:
            if isinstance(sample, Unreadable):
                if not self.skip_corrupt:
                    return {"refused": sample.message}
                logger.warning("skipped: %s", sample.message)
        readable = [sample for sample in samples if isinstance(sample, dict)]
        if not readable:
            return {}
        images, target = torch.stack([sample["image"] for sample in readable]), self._target(readable)
        if self.augmentation is not None and (self.augmentation.mixup or self.augmentation.cutmix):
            with seeded_generators(self.seed, self.epoch, readable[0]["number"], 1):  # 1: another seed than the image's
                images, target = mix(images, target, len(self.images.classes), self.augmentation)
        ids = torch.tensor([sample["id"] for sample in readable])
        count = len(readable)
        net_input = {"images": images}
        return {"id": ids, "net_input": net_input, "target": target, "nsentences": count, "ntokens": count}

    def _target(self, samples: list[dict[str, Any]]) -> torch.Tensor:
        labels = [sample["label"] for sample in samples]
        if all(isinstance(label, int) for label in labels):
            return torch.tensor(labels)
        target = torch.zeros(len(labels), len(self.images.classes))
        for row, label in enumerate(labels):
            target[row, list(label)] = 1 / len(label)
        return target
