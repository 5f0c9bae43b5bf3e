"""Image classification as a fairseq task: data sets, augmentation, and batches."""

# No `from __future__ import annotations` here: fairseq reads the types of configuration fields.
import logging
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Optional

from fairseq.criterions import FairseqCriterion
from fairseq.data.iterators import EpochBatchIterator
from fairseq.dataclass import ChoiceEnum, FairseqDataclass
from fairseq.models import BaseFairseqModel
from fairseq.optim import FairseqOptimizer
from fairseq.tasks import TASK_REGISTRY, FairseqTask, register_task
from omegaconf import II, MISSING
from torch import Tensor

from resmlp_mt.common.errors import ResMLPError
from resmlp_mt.fairseq_plugin.image_criterions import AVERAGED
from resmlp_mt.fairseq_plugin.image_dataset import ImageDataset
from resmlp_mt.fairseq_plugin.registration import assert_registered, option
from resmlp_mt.vision.data.augmentation import Augmentation
from resmlp_mt.vision.data.datasets import DATASETS, known_dataset, load_classes, load_dataset
from resmlp_mt.vision.data.images import CORRUPT_IMAGES
from resmlp_mt.vision.data.preprocessing import INTERPOLATIONS, Preprocessing
from resmlp_mt.vision.training.finetuning import initialise_from

NAME = "resmlp_image_classification"

logger = logging.getLogger(__name__)


@dataclass
class ImageConfig(FairseqDataclass):
    """Options of an image task: data set, preprocessing, initial parameters."""

    data: str = option(MISSING, "folder of the data set; ignored for data sets that are part of a package")
    dataset_name: ChoiceEnum(tuple(DATASETS)) = option("folder", "folder: train/CLASS/*, val/CLASS/*")  # noqa: RUF009
    download: bool = option(False, "download missing files of the data set")
    corrupt_images: ChoiceEnum(CORRUPT_IMAGES) = option("refuse", "images that cannot be read: stop, or skip them")  # noqa: RUF009
    image_size: Optional[int] = option(None, "side of the images in pixels (default: the data set's)")
    channels: Optional[int] = option(None, "3 for RGB, 1 for grey (default: the data set's)")
    crop: Optional[float] = option(None, "evaluation crop as a fraction of the resized image (paper: 0.9)")
    interpolation: ChoiceEnum(INTERPOLATIONS) = option("bicubic", "interpolation of resizing (paper: bicubic)")  # noqa: RUF009
    init_from: Optional[str] = option(None, "bundle or checkpoint to initialize from; classes and size may differ")
    seed: int = II("common.seed")


@dataclass
class ImageClassificationConfig(ImageConfig):
    """Options of the task. The augmentation defaults are DeiT's (arXiv:2012.12877, table 9), as in the paper."""

    repeated_augmentation: int = option(3, "copies of an image in a batch, each augmented independently (DeiT: 3)")
    rand_augment: str = option("rand-m9-mstd0.5-inc1", "timm's RandAugment policy, or none")
    random_erasing: float = option(0.25, "probability of filling a rectangle with noise (DeiT: 0.25)")
    mixup: float = option(0.8, "alpha of mixup, 0 for none (DeiT: 0.8)")
    cutmix: float = option(1.0, "alpha of CutMix, 0 for none (DeiT: 1)")
    flip: float = option(0.5, "probability of a horizontal flip (DeiT: 0.5)")
    crop_scale: float = option(0.08, "smallest fraction of the image area that a random crop keeps (DeiT: 0.08)")


@register_task(NAME, dataclass=ImageClassificationConfig)
class ImageClassificationTask(FairseqTask):
    """Image classification.

    Args:
        cfg: options of the task.

    Attributes:
        classes: names of the classes.
        preprocessing: preprocessing of the images.
        uses_ema: with --store-ema, validation also evaluates the averaged weights (ema_top1, ...).

    Raises:
        ResMLPError: if the data set is missing or damaged, or options are inconsistent.
    """

    uses_ema = True

    def __init__(self, cfg: ImageClassificationConfig) -> None:
        super().__init__(cfg)
        default = known_dataset(str(cfg.dataset_name)).preprocessing
        default = default.with_channels(default.channels if cfg.channels is None else cfg.channels)
        given = {name: getattr(cfg, name) for name in ("image_size", "crop") if getattr(cfg, name) is not None}
        self.preprocessing: Preprocessing = replace(default, **given, interpolation=str(cfg.interpolation))
        self.classes: list[str] = load_classes(str(cfg.dataset_name), cfg.data, cfg.download)
        self.state.merge_state_dict({"classes": self.classes, "preprocessing": asdict(self.preprocessing)})

    @classmethod
    def setup_task(
        cls,
        cfg: ImageClassificationConfig,
        **unused: Any,  # noqa: ARG003 - fairseq passes from_checkpoint
    ) -> "ImageClassificationTask":
        """Builds the task; called by fairseq."""
        return cls(cfg)

    def build_model(self, cfg: Any, from_checkpoint: bool = False) -> Any:
        """Builds the model, with --init-from from the parameters of a trained model.

        Raises:
            ResMLPError: if the trained model cannot be read or does not match.
        """
        model = super().build_model(cfg, from_checkpoint)
        if self.cfg.init_from and not from_checkpoint:
            logger.info("initialised: %s", initialise_from(model.core, Path(self.cfg.init_from), self.classes))
        return model

    @property
    def num_classes(self) -> int:
        """Number of classes."""
        return len(self.classes)

    @property
    def image_size(self) -> int:
        """Side of the images, in pixels."""
        return self.preprocessing.image_size

    @property
    def channels(self) -> int:
        """Channels of the images."""
        return self.preprocessing.channels

    @property
    def source_dictionary(self) -> None:
        """Returns None: images have no dictionary."""

    @property
    def target_dictionary(self) -> None:
        """Returns None: images have no dictionary."""

    def max_positions(self) -> None:
        """Returns None: images have no length limit."""

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Compares the classes of a trained model with those of the data set; called when fairseq loads a model.

        Raises:
            ResMLPError: if the model was trained with other classes than the data set has.
        """
        trained = state_dict.get("classes", self.classes)
        if trained != self.classes:
            raise ResMLPError(
                f"{self.cfg.data} has other classes ({len(self.classes)}: {', '.join(self.classes[:3])}...) than those "
                f"that the model was trained with ({len(trained)}: {', '.join(trained[:3])}...); give the data set "
                "that it was trained with"
            )

    def load_dataset(self, split: str, **unused: Any) -> None:  # noqa: ARG002 - fairseq passes epoch and others
        """Loads the images of a split; the training split is augmented."""
        images = load_dataset(str(self.cfg.dataset_name), self.cfg.data, split, self.cfg.download)
        augmentation = self._augmentation() if split == "train" else None
        skip_corrupt = str(self.cfg.corrupt_images) == "skip"
        self.datasets[split] = ImageDataset(images, self.preprocessing, augmentation, self.cfg.seed, skip_corrupt)

    def _augmentation(self) -> Augmentation:
        cfg = self.cfg
        return Augmentation(
            repetitions=cfg.repeated_augmentation,
            rand_augment=None if cfg.rand_augment == "none" else cfg.rand_augment,
            random_erasing=cfg.random_erasing,
            mixup=cfg.mixup,
            cutmix=cfg.cutmix,
            flip=cfg.flip,
            crop_scale=cfg.crop_scale,
        )

    def get_batch_iterator(
        self,
        dataset: ImageDataset,
        max_sentences: Optional[int] = None,
        seed: int = 1,
        num_shards: int = 1,
        shard_id: int = 0,
        num_workers: int = 0,
        epoch: int = 1,
        data_buffer_size: int = 0,
        skip_remainder_batch: bool = False,
        **unused: Any,  # noqa: ARG002 - fairseq passes options of sentences
    ) -> EpochBatchIterator:
        """Builds the iterator of one epoch; each epoch has new batches.

        fairseq's own iterator would keep the batches of the first epoch, and its workers would not see a new epoch.
        Batches contain `max_sentences` images; the last one may be smaller.

        Raises:
            ResMLPError: if no batch size is given.
        """
        size = max_sentences or 0
        if size <= 0:
            raise ResMLPError("image tasks require --batch-size; give the number of images per batch")
        dataset.set_epoch(epoch)
        order = dataset.ordered_indices()
        return EpochBatchIterator(
            dataset=dataset,
            collate_fn=dataset.collater,
            batch_sampler=[order[start : start + size] for start in range(0, len(order), size)],
            seed=seed,
            num_shards=num_shards,
            shard_id=shard_id,
            num_workers=num_workers,
            epoch=epoch,
            # Without workers fairseq would fill its buffer in a thread, which must not use the global generators.
            buffer_size=data_buffer_size if num_workers else 0,
            skip_remainder_batch=skip_remainder_batch,
        )

    def train_step(
        self,
        sample: dict[str, Any],
        model: BaseFairseqModel,
        criterion: FairseqCriterion,
        optimizer: FairseqOptimizer,
        update_num: int,
        ignore_grad: bool = False,
        ema_model: Optional[BaseFairseqModel] = None,  # noqa: ARG002 - fairseq's trainer passes it if uses_ema
    ) -> tuple[Tensor, int, dict[str, Any]]:
        """Checks that the images of the batch could be read, then runs fairseq's step."""
        _check_readable(sample)
        return super().train_step(sample, model, criterion, optimizer, update_num, ignore_grad)

    def valid_step(
        self,
        sample: dict[str, Any],
        model: BaseFairseqModel,
        criterion: FairseqCriterion,
        ema_model: Optional[BaseFairseqModel] = None,
    ) -> tuple[Tensor, int, dict[str, Any]]:
        """Runs fairseq's step, also for the averaged weights if there are any."""
        _check_readable(sample)
        loss, count, logged = super().valid_step(sample, model, criterion)
        if ema_model is not None:
            _, _, averaged = super().valid_step(sample, ema_model, criterion)
            logged |= {AVERAGED + name: averaged[name] for name in ("loss", "top1", "top5")}
        return loss, count, logged


def _check_readable(sample: dict[str, Any]) -> None:
    if "refused" in sample:
        raise ResMLPError(sample["refused"])


assert_registered(TASK_REGISTRY, NAME, ImageClassificationTask)
