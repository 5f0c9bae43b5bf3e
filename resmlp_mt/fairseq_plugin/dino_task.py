"""DINO as a fairseq task: crops of images, a student and a teacher, and the update of the teacher.

The computation is in `resmlp_mt.vision` (`self_distillation`, `dino`, `multi_crop`, `knn`), the loss in
`dino_criterion`.
"""

# No `from __future__ import annotations` here: fairseq reads the types of configuration fields.
from dataclasses import dataclass
from typing import Any, Optional

from fairseq.criterions import FairseqCriterion
from fairseq.models import BaseFairseqModel
from fairseq.optim import FairseqOptimizer
from fairseq.tasks import TASK_REGISTRY, register_task
from omegaconf import II
from torch import Tensor

from resmlp_mt.common.errors import ResMLPError
from resmlp_mt.fairseq_plugin.crop_dataset import CropDataset
from resmlp_mt.fairseq_plugin.dino_criterion import NAME
from resmlp_mt.fairseq_plugin.image_task import ImageClassificationTask, ImageConfig
from resmlp_mt.fairseq_plugin.registration import assert_registered, option
from resmlp_mt.vision.data.datasets import load_dataset
from resmlp_mt.vision.data.multi_crop import MultiCrop, MultiCropSettings
from resmlp_mt.vision.inference.features import Features, extract_features
from resmlp_mt.vision.inference.knn import classify
from resmlp_mt.vision.training.dino import DinoHead, cosine_schedule
from resmlp_mt.vision.training.self_distillation import SelfDistillation

KNN_NEIGHBOURS = 20  # arXiv:2104.14294, section 4.1


@dataclass
class ResMLPDinoConfig(ImageConfig):
    """Options of the task. "Paper" is arXiv:2104.14294, "authors" is its code, main_dino.py."""

    local_crops: int = option(8, "local crops per image, besides the two global crops (paper: 8; 0 for none)")
    local_crop_size: int = option(96, "side of a local crop in pixels, a multiple of the patch size (paper: 96)")
    crop_split: float = option(
        0.4, "fraction of the image area; global crops cover more, local crops less (authors: 0.4)"
    )
    smallest_crop: float = option(0.05, "smallest fraction that a local crop covers (paper: 0.05)")
    flip: float = option(0.5, "probability of a horizontal flip (authors: 0.5)")
    colours: float = option(1.0, "strength of the colour jitter, 0 for none (paper: 1)")
    blur: float = option(1.0, "strength of the blur, 0 for none (paper: 1)")
    head_dim: int = option(65536, "output dim of the projection (paper: 65536)")
    head_hidden_dim: int = option(2048, "hidden dim of the projection (paper: 2048)")
    head_bottleneck_dim: int = option(256, "input dim of the projection's last layer (paper: 256)")
    frozen_head_epochs: int = option(1, "epochs in which the projection's last layer is frozen (authors: 1)")
    teacher_momentum: float = option(
        0.996, "initial momentum of the teacher's moving average; cosine to 1 (paper: 0.996)"
    )
    centre_momentum: float = option(0.9, "momentum of the moving average of the teacher's outputs (authors: 0.9)")
    weight_decay_start: Optional[float] = option(
        None, "initial weight decay of parameters whose --weight-decay is not 0; with --weight-decay-end (paper: 0.04)"
    )
    weight_decay_end: Optional[float] = option(None, "final weight decay of a cosine schedule (paper: 0.4)")
    knn_pictures: int = option(10000, "training images for the k-NN of the validation; 0 for no k-NN")
    max_update: int = II("optimization.max_update")
    num_workers: int = II("dataset.num_workers")


class ResMLPDinoModel(SelfDistillation, BaseFairseqModel):
    """fairseq's model interface around `SelfDistillation`.

    Args:
        student: the classifier to train.
        head: the projection of its features.
    """

    num_updates = 0

    def set_num_updates(self, num_updates: int) -> None:
        """Sets the number of updates; called by fairseq before each update and after loading a checkpoint."""
        self.num_updates = num_updates


@register_task(NAME, dataclass=ResMLPDinoConfig)
class ResMLPDinoTask(ImageClassificationTask):
    """Self-supervised training with DINO. Only the k-NN of the validation uses labels.

    Args:
        cfg: options of the task.

    Raises:
        ResMLPError: if the data set is missing or damaged, or options are inconsistent.
    """

    uses_ema = False  # the teacher already is a moving average
    num_classes = 0  # the networks have no head

    def __init__(self, cfg: ResMLPDinoConfig) -> None:
        super().__init__(cfg)
        self.state.merge_state_dict({"classes": []})  # without a head the classes are not part of the checkpoint
        if (cfg.weight_decay_start is None) != (cfg.weight_decay_end is None):
            raise ResMLPError("--weight-decay-start and --weight-decay-end require each other; give both or neither")
        for name in ("teacher_momentum", "centre_momentum"):
            value = getattr(cfg, name)
            if not 0 <= value <= 1:
                raise ResMLPError(f"--{name.replace('_', '-')} must be between 0 and 1, but is {value}")
        crops = (cfg.local_crops, cfg.local_crop_size, cfg.crop_split, cfg.smallest_crop, cfg.flip)
        self._multi_crop = MultiCrop(MultiCropSettings(*crops, cfg.colours, cfg.blur), self.preprocessing)
        self._epoch = 1
        self._bank: Optional[tuple[int, Features]] = None  # the k-NN's bank and its update number

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Does nothing: the classes of the training data need not match."""

    def build_model(self, cfg: Any, from_checkpoint: bool = False) -> ResMLPDinoModel:
        """Builds a student of the architecture, its teacher and their projection heads.

        Raises:
            ResMLPError: if local crops do not fit the architecture.
        """
        student = super().build_model(cfg, from_checkpoint).core
        if self.cfg.local_crops:
            student.settings.at_image_size(self.cfg.local_crop_size)
        sizes = (self.cfg.head_dim, self.cfg.head_hidden_dim, self.cfg.head_bottleneck_dim)
        return ResMLPDinoModel(student, DinoHead(student.settings.dim, *sizes))

    def load_dataset(self, split: str, **unused: Any) -> None:  # noqa: ARG002 - fairseq passes epoch and others
        """Loads the images of a split."""
        images = load_dataset(str(self.cfg.dataset_name), self.cfg.data, split, self.cfg.download)
        self.datasets[split] = CropDataset(
            images, self.preprocessing, self._multi_crop, self.cfg.seed, self._skips_corrupt, split == "train"
        )

    @property
    def _skips_corrupt(self) -> bool:
        return str(self.cfg.corrupt_images) == "skip"

    def begin_epoch(self, epoch: int, model: ResMLPDinoModel) -> None:  # noqa: ARG002 - fairseq's signature
        """Stores the epoch; called by fairseq before the first update of an epoch, also when it resumes within one."""
        self._epoch = epoch

    def train_step(
        self,
        sample: dict[str, Any],
        model: ResMLPDinoModel,
        criterion: FairseqCriterion,
        optimizer: FairseqOptimizer,
        update_num: int,
        ignore_grad: bool = False,
        ema_model: Optional[BaseFairseqModel] = None,  # noqa: ARG002 - fairseq's signature
    ) -> tuple[Tensor, int, dict[str, Any]]:
        """Runs fairseq's step; dummy batches do not affect the centre."""
        loss, count, logged = super().train_step(sample, model, criterion, optimizer, update_num, ignore_grad)
        if not ignore_grad:
            model.accumulate_centre(criterion.teacher_logits)
        return loss, count, logged

    def optimizer_step(self, optimizer: FairseqOptimizer, model: ResMLPDinoModel, update_num: int) -> None:
        """Updates the student, then the teacher and the centre, with the schedules' values for this update.

        Raises:
            ResMLPError: if --max-update is not given.
        """
        cfg = self.cfg
        if not cfg.max_update > 0:
            raise ResMLPError("DINO's schedules require --max-update, the number of updates of the training")
        if cfg.weight_decay_end is not None:
            decay = cosine_schedule(cfg.weight_decay_start, cfg.weight_decay_end, update_num, cfg.max_update)
            for group in optimizer.optimizer.param_groups:
                if group["weight_decay"] != 0:
                    group["weight_decay"] = decay
        if self._epoch <= cfg.frozen_head_epochs:
            model.student_head.directions.grad = None
        super().optimizer_step(optimizer, model, update_num)
        model.update_teacher(cosine_schedule(cfg.teacher_momentum, 1.0, update_num, cfg.max_update))
        model.update_centre(cfg.centre_momentum)

    def valid_step(
        self,
        sample: dict[str, Any],
        model: ResMLPDinoModel,
        criterion: FairseqCriterion,
        ema_model: Optional[BaseFairseqModel] = None,  # noqa: ARG002 - fairseq's signature
    ) -> tuple[Tensor, int, dict[str, Any]]:
        """Runs fairseq's step and counts the images that a k-NN on the teacher's features classifies correctly."""
        loss, count, logged = super().valid_step(sample, model, criterion)
        if self.cfg.knn_pictures and count:
            bank = self._bank_of(model)
            features = model.teacher.features(sample["whole"]).float().cpu()
            k = min(KNN_NEIGHBOURS, len(bank.labels))
            guesses = classify(features, bank.vectors, bank.targets(), len(self.classes), (k,))[k]
            target = sample["target"].cpu()
            correct = guesses.eq(target) if target.dim() == 1 else target.gather(1, guesses[:, None])[:, 0] > 0
            logged["knn_top1"] = correct.sum().item()
        return loss, count, logged

    def _bank_of(self, model: ResMLPDinoModel) -> Features:
        """Returns the teacher's features of evenly spaced training images; computed once per validation."""
        if self._bank is None or self._bank[0] != model.num_updates:
            images = load_dataset(str(self.cfg.dataset_name), self.cfg.data, "train", self.cfg.download)
            step = -(-len(images) // self.cfg.knn_pictures)
            transform = self.preprocessing.evaluation_transform()
            indices = range(0, len(images), step)
            bank = extract_features(
                model.teacher,
                images,
                transform,
                64,
                self.cfg.num_workers,
                indices,
                skip_corrupt=self._skips_corrupt,
            )
            self._bank = model.num_updates, bank
        return self._bank[1]


assert_registered(TASK_REGISTRY, NAME, ResMLPDinoTask)
