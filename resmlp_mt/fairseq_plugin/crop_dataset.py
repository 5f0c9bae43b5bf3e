"""A fairseq data set whose batches hold several crops of each image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from resmlp_mt.fairseq_plugin.image_dataset import ImageDataset
from resmlp_mt.vision.data.augmentation import Augmentation
from resmlp_mt.vision.data.image_sets import ImageSet
from resmlp_mt.vision.data.multi_crop import Crops, MultiCrop
from resmlp_mt.vision.data.preprocessing import Preprocessing


@dataclass
class _CroppedImage:
    """The crops of an image, and the image with the evaluation transform for the k-NN of the validation."""

    crops: Crops
    whole: Tensor


class CropDataset(ImageDataset):
    """Images as crops, for training and validation; every validation uses the same crops.

    Args:
        images: images and labels.
        preprocessing: preprocessing of the global crops and of whole images.
        multi_crop: maps an image to its crops.
        seed: seed of the training.
        skip_corrupt: skip images that cannot be read with a warning, instead of reporting the first.
        is_training: whether to shuffle the images; otherwise batches also contain whole images.
    """

    transform: Any  # maps an image to a `_CroppedImage`

    def __init__(
        self,
        images: ImageSet,
        preprocessing: Preprocessing,
        multi_crop: MultiCrop,
        seed: int,
        skip_corrupt: bool,
        is_training: bool,
    ) -> None:
        super().__init__(images, preprocessing, Augmentation() if is_training else None, seed, skip_corrupt)
        self.transform = _CropTransform(multi_crop, None if is_training else self.transform)

    def collater(self, samples: list[Any]) -> dict[str, Any]:
        """Makes a batch.

        Returns:
            As `ImageDataset` does, but "net_input" holds "global_crops" (2, batch, channels, size, size) and
            "local_crops" (local_crops, batch, channels, local_size, local_size) or None; in validation "whole" holds
            the whole images (batch, channels, size, size).
        """
        cropped = [sample["image"] for sample in samples if isinstance(sample, dict)]
        whole = [{**s, "image": s["image"].whole} if isinstance(s, dict) else s for s in samples]
        batch = super().collater(whole)
        if "net_input" in batch:
            batch["whole"] = batch["net_input"]["images"]
            small = torch.stack([s.crops.small for s in cropped], dim=1)
            batch["net_input"] = {
                "global_crops": torch.stack([s.crops.large for s in cropped], dim=1),
                "local_crops": small if len(small) else None,
            }
        return batch


class _CropTransform:
    """Maps an image to a `_CroppedImage`. A class, since it is pickled for worker processes."""

    def __init__(self, multi_crop: MultiCrop, whole: Any) -> None:
        self.multi_crop, self.whole = multi_crop, whole

    def __call__(self, image: Any) -> _CroppedImage:
        return _CroppedImage(self.multi_crop(image), self.whole(image) if self.whole else torch.empty(0))
