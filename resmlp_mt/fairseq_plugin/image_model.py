"""Image classifiers as fairseq models: configuration and registered architectures.

The computation is in `resmlp_mt.vision.model.classifier` and `resmlp_mt.nn`, which do not import fairseq.
"""

# No `from __future__ import annotations` here: fairseq reads the types of configuration fields.
from dataclasses import dataclass
from typing import Any, Optional

from fairseq.dataclass import ChoiceEnum, FairseqDataclass
from fairseq.models import BaseFairseqModel
from torch import Tensor

from resmlp_mt.common.errors import require
from resmlp_mt.fairseq_plugin.registration import option, register_architecture
from resmlp_mt.nn.affine import IMAGE_NORMS
from resmlp_mt.nn.channel_mlp import ACTIVATIONS
from resmlp_mt.nn.grid_mixing import MIXINGS
from resmlp_mt.vision.model.architectures import VISION_ARCHITECTURES
from resmlp_mt.vision.model.classifier import Classifier
from resmlp_mt.vision.model.settings import POOLINGS, ClassifierSettings

_DEFAULTS = ClassifierSettings()
OF_THE_TASK = ("image_size", "channels", "num_classes")  # what the images decide


@dataclass
class ResMLPVisionConfig(FairseqDataclass):
    """Settings of a ResMLP image classifier. "Paper" is arXiv:2105.03404, "deit" the authors' image code."""

    image_size: Optional[int] = option(None, "side of the images in pixels; the task's unless given (paper: 224)")
    channels: Optional[int] = option(None, "channels of the images; the task's unless given (paper: 3)")
    num_classes: Optional[int] = option(None, "classes of the head; the task's unless given (paper: 1000)")
    patch_size: int = option(_DEFAULTS.patch_size, "side of a patch in pixels (paper: 16, 14 or 8)")
    dim: int = option(_DEFAULTS.dim, "channels of the tokens (paper: 384 for S, 768 for B)")
    depth: int = option(_DEFAULTS.depth, "layers (paper: 12, 24 or 36)")
    hidden_ratio: float = option(_DEFAULTS.hidden_ratio, "hidden channels of the MLP in multiples of dim (paper: 4)")
    norm: ChoiceEnum(IMAGE_NORMS) = option(_DEFAULTS.norm, "before each sublayer and the pooling (paper: affine)")
    mixing: ChoiceEnum(MIXINGS) = option(_DEFAULTS.mixing, "of the patches (paper: linear; others in its ablations)")
    pooling: ChoiceEnum(POOLINGS) = option(_DEFAULTS.pooling, "of the patches (paper: average, or class-MLP)")
    activation: ChoiceEnum(tuple(ACTIVATIONS)) = option(_DEFAULTS.activation, "of the MLPs (paper, eq. 3: gelu)")
    layer_scale: float = option(
        _DEFAULTS.layer_scale, "start of the scale behind each sublayer (deit: 0.1, 1e-5 or 1e-6 for 12, 24, 36 layers)"
    )
    post_bias: bool = option(_DEFAULTS.post_bias, "a bias beside that scale (paper's equations, but not its code)")
    init_std: float = option(_DEFAULTS.init_std, "deviation of the matrices' start (deit: 0.02)")
    drop_path: float = option(_DEFAULTS.drop_path, "of whole sublayers for an image (deit, issue 106: 0.05)")


def classifier_settings(cfg: ResMLPVisionConfig, task: Any) -> ClassifierSettings:
    """The settings of a configuration, completed by what the task says of its images.

    Raises:
        ResMLPError: when configuration and task differ, or the settings do not fit together.
    """
    chosen = {name: getattr(cfg, name) for name in ClassifierSettings.__dataclass_fields__}
    for name in OF_THE_TASK:
        of_task = getattr(task, name, None)
        if of_task is None:
            of_task = getattr(_DEFAULTS, name) if chosen[name] is None else chosen[name]
        given = chosen[name] is not None
        option = f"--{name.replace('_', '-')}"
        require(not given or chosen[name] == of_task, option, f"the task's {of_task}", chosen[name], "leave it out")
        chosen[name] = of_task
    for name in ("norm", "mixing", "pooling", "activation"):
        chosen[name] = str(chosen[name])
    return ClassifierSettings(**chosen)


class ResMLPVisionModel(BaseFairseqModel):
    """A classifier as fairseq knows models. Each architecture is a subclass with a configuration.

    Args:
        core: what computes.
    """

    def __init__(self, core: Classifier) -> None:
        super().__init__()
        self.core = core

    @classmethod
    def build_model(cls, cfg: ResMLPVisionConfig, task: Any) -> "ResMLPVisionModel":
        """Makes the model of a configuration for the images and classes of a task.

        Raises:
            ResMLPError: when configuration and task differ, or the settings do not fit together.
        """
        return cls(Classifier(classifier_settings(cfg, task)))

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
