"""Image classifiers as fairseq models: configuration and registered architectures.

The computation is in `resmlp_mt.vision.model.classifier` and `resmlp_mt.nn`, which do not import fairseq.
"""

from typing import Any

from fairseq.models import BaseFairseqModel
from torch import Tensor

from resmlp_mt.common.config import options_of
from resmlp_mt.common.errors import ResMLPError
from resmlp_mt.fairseq_plugin.registration import own_config, plugin_config, register_architecture
from resmlp_mt.vision.model.architectures import VISION_ARCHITECTURES
from resmlp_mt.vision.model.classifier import ClassifierModel
from resmlp_mt.vision.model.config import ClassifierConfig

OF_THE_TASK = ("image_size", "channels", "num_classes")  # options that the data set determines
ResMLPVisionConfig = plugin_config(
    "ResMLPVisionConfig", ClassifierConfig, dict.fromkeys(OF_THE_TASK, "default: the task's")
)


def classifier_config(cfg: Any, task: Any) -> ClassifierConfig:
    """Converts a `ResMLPVisionConfig` to our configuration; image size, channels and classes come from the task.

    Raises:
        ResMLPError: if the configuration and the task differ, or the options are inconsistent.
    """
    decided = {}
    for declared in options_of(ClassifierConfig):
        if declared.name not in OF_THE_TASK:
            continue
        given, of_task = getattr(cfg, declared.name), getattr(task, declared.name, None)
        if None not in (given, of_task) and given != of_task:
            raise ResMLPError(f"{declared.flag} is {given}, but the task's images have {of_task}; leave the option out")
        decided[declared.name] = next(value for value in (of_task, given, declared.default) if value is not None)
    return own_config(ClassifierConfig, cfg, decided)


class ResMLPVisionModel(BaseFairseqModel):
    """fairseq's model interface around `ClassifierModel`. Each architecture is a subclass with a configuration.

    Args:
        core: the classifier.
    """

    def __init__(self, core: ClassifierModel) -> None:
        super().__init__()
        self.core = core

    @classmethod
    def build_model(cls, cfg: Any, task: Any) -> "ResMLPVisionModel":
        """Builds the model of a `ResMLPVisionConfig` for the images and classes of a task.

        Raises:
            ResMLPError: if the configuration and the task differ, or the options are inconsistent.
        """
        return cls(ClassifierModel(classifier_config(cfg, task)))

    @property
    def rows_per_sample(self) -> int:
        """Rows per image in the matmuls of the layers: its patches."""
        return self.core.settings.patches

    def forward(self, images: Tensor) -> Tensor:
        """Maps images (batch, channels, height, width) to logits (batch, num_classes)."""
        return self.core(images)


for _name, _changes in VISION_ARCHITECTURES.items():
    _defaults = {key: value for key, value in _changes.items() if key not in OF_THE_TASK}
    register_architecture(_name, ResMLPVisionConfig, ResMLPVisionModel, _defaults)
