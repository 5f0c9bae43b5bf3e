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

OF_THE_TASK = ("image_size", "channels", "num_classes")  # what the images decide
ResMLPVisionConfig = plugin_config(
    "ResMLPVisionConfig", ClassifierConfig, dict.fromkeys(OF_THE_TASK, "the task's unless given")
)


def classifier_config(cfg: Any, task: Any) -> ClassifierConfig:
    """Our configuration from a `ResMLPVisionConfig`, completed by what the task knows of its images.

    Raises:
        ResMLPError: when configuration and task differ, or the options do not fit together.
    """
    decided = {}
    for each in options_of(ClassifierConfig):
        if each.name not in OF_THE_TASK:
            continue
        given, of_task = getattr(cfg, each.name), getattr(task, each.name, None)
        if None not in (given, of_task) and given != of_task:
            raise ResMLPError(f"{each.flag} is {given}, but the task's images have {of_task}; leave the option out")
        decided[each.name] = next(value for value in (of_task, given, each.default) if value is not None)
    return own_config(ClassifierConfig, cfg, decided)


class ResMLPVisionModel(BaseFairseqModel):
    """A classifier as fairseq knows models. Each architecture is a subclass with a configuration.

    Args:
        core: what computes.
    """

    def __init__(self, core: ClassifierModel) -> None:
        super().__init__()
        self.core = core

    @classmethod
    def build_model(cls, cfg: Any, task: Any) -> "ResMLPVisionModel":
        """Makes the model of a `ResMLPVisionConfig` for the images and classes of a task.

        Raises:
            ResMLPError: when configuration and task differ, or the settings do not fit together.
        """
        return cls(ClassifierModel(classifier_config(cfg, task)))

    @property
    def rows_per_sample(self) -> int:
        """Rows that an image has in the products of the layers: its patches."""
        return self.core.settings.patches

    def forward(self, images: Tensor) -> Tensor:
        """Maps images (batch, channels, height, width) to logits (batch, num_classes)."""
        return self.core(images)


for _name, _changes in VISION_ARCHITECTURES.items():
    _own = {key: value for key, value in _changes.items() if key not in OF_THE_TASK}
    register_architecture(_name, ResMLPVisionConfig, ResMLPVisionModel, _own)
