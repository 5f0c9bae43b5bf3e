"""The fairseq door of image classification: configuration and registered architectures.

Everything that computes is in `classifier` and `resmlp_mt.nn`, which do not know fairseq.
"""

# No `from __future__ import annotations` here: fairseq reads the types of configuration fields.
from dataclasses import dataclass, field, make_dataclass
from typing import Any, Dict, Optional, Tuple

from fairseq.dataclass import ChoiceEnum, FairseqDataclass
from fairseq.models import ARCH_MODEL_REGISTRY, BaseFairseqModel, register_model
from torch import Tensor

from resmlp_mt.errors import require
from resmlp_mt.fairseq_compat import assert_registered
from resmlp_mt.nn.affine import IMAGE_NORMS
from resmlp_mt.nn.channel_mlp import ACTIVATIONS
from resmlp_mt.nn.grid_mixing import MIXINGS
from resmlp_mt.vision.architectures import VISION_ARCHITECTURES
from resmlp_mt.vision.classifier import Classifier
from resmlp_mt.vision.settings import POOLINGS, ClassifierSettings

_DEFAULTS = ClassifierSettings()
OF_THE_TASK = ("image_size", "channels", "num_classes")  # what the images decide


def _option(default: Any, help: str) -> Any:
    return field(default=default, metadata={"help": help})


@dataclass
class ResMLPVisionConfig(FairseqDataclass):
    """Settings of a ResMLP image classifier. "Paper" is arXiv:2105.03404, "deit" the authors' image code."""

    image_size: Optional[int] = _option(None, "side of the images in pixels; the task's unless given (paper: 224)")
    channels: Optional[int] = _option(None, "channels of the images; the task's unless given (paper: 3)")
    num_classes: Optional[int] = _option(None, "classes of the head; the task's unless given (paper: 1000)")
    patch_size: int = _option(_DEFAULTS.patch_size, "side of a patch in pixels (paper: 16, 14 or 8)")
    dim: int = _option(_DEFAULTS.dim, "channels of the tokens (paper: 384 for S, 768 for B)")
    depth: int = _option(_DEFAULTS.depth, "layers (paper: 12, 24 or 36)")
    hidden_ratio: float = _option(_DEFAULTS.hidden_ratio, "hidden channels of the MLP in multiples of dim (paper: 4)")
    norm: ChoiceEnum(IMAGE_NORMS) = _option(_DEFAULTS.norm, "before each sublayer and the pooling (paper: affine)")
    mixing: ChoiceEnum(MIXINGS) = _option(_DEFAULTS.mixing, "of the patches (paper: linear; others in its ablations)")
    pooling: ChoiceEnum(POOLINGS) = _option(_DEFAULTS.pooling, "of the patches (paper: average, or class-MLP)")
    activation: ChoiceEnum(tuple(ACTIVATIONS)) = _option(_DEFAULTS.activation, "of the MLPs (paper, eq. 3: gelu)")
    layer_scale: float = _option(
        _DEFAULTS.layer_scale, "start of the scale behind each sublayer (deit: 0.1, 1e-5 or 1e-6 for 12, 24, 36 layers)"
    )
    post_bias: bool = _option(_DEFAULTS.post_bias, "a bias beside that scale (paper's equations, but not its code)")
    init_std: float = _option(_DEFAULTS.init_std, "deviation of the matrices' start (deit: 0.02)")
    drop_path: float = _option(_DEFAULTS.drop_path, "of whole sublayers for an image (deit, issue 106: 0.05)")


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

    def forward(self, images: Tensor) -> Tensor:
        """Maps images (batch, channels, height, width) to logits (batch, num_classes)."""
        return self.core(images)


def _register(name: str, changes: Dict[str, Any]) -> None:
    """Registers an architecture, so that `--arch NAME` and hydra's `model=NAME` give the same model."""
    defaults = [(key, *_typed(key, value)) for key, value in changes.items() if key not in OF_THE_TASK]
    config = make_dataclass(f"ResMLPVisionConfig_{name}", defaults, bases=(ResMLPVisionConfig,))
    model = type(
        f"ResMLPVisionModel_{name}",
        (ResMLPVisionModel,),
        {"__doc__": f"The architecture {name}.", "__module__": __name__},
    )
    register_model(name, dataclass=config)(model)
    assert_registered(ARCH_MODEL_REGISTRY, name, model)


def _typed(key: str, value: Any) -> Tuple[Any, Any]:
    original = ResMLPVisionConfig.__dataclass_fields__[key]
    return original.type, field(default=value, metadata=dict(original.metadata))


for _name, _changes in VISION_ARCHITECTURES.items():
    _register(_name, _changes)
