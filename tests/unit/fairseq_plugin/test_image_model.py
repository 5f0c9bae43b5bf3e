"""Image classifiers in fairseq: the same model from `--arch` and Hydra; the task sets the sizes."""

from dataclasses import fields
from types import SimpleNamespace

import pytest
import torch
from fairseq import options
from fairseq.dataclass.utils import convert_namespace_to_omegaconf
from fairseq.models import ARCH_MODEL_REGISTRY, MODEL_DATACLASS_REGISTRY, build_model
from omegaconf import OmegaConf

from resmlp_mt.common.errors import ResMLPError
from resmlp_mt.vision.model.architectures import VISION_ARCHITECTURES
from resmlp_mt.vision.model.config import ClassifierConfig

pytestmark = pytest.mark.usefixtures("fairseq_plugin")

DIGITS = SimpleNamespace(image_size=8, channels=1, num_classes=10)
IMAGENET = SimpleNamespace(image_size=224, channels=3, num_classes=1000)


def build(name, *args, task=DIGITS):
    arguments = ["data", "--task", "translation", "--arch", name, *args]
    parsed = options.parse_args_and_arch(options.get_training_parser(), arguments)
    return build_model(convert_namespace_to_omegaconf(parsed).model, task)


@pytest.mark.parametrize("name", VISION_ARCHITECTURES)
def test_arch_and_hydra_build_the_same_model(name):
    settings = ClassifierConfig(**VISION_ARCHITECTURES[name])
    task = DIGITS if name == "resmlp_digits" else IMAGENET
    with torch.device("meta"):
        models = build(name, task=task), build_model(OmegaConf.create({"_name": name}), task)
    for model in models:
        assert model.core.settings == settings
        assert type(model) is ARCH_MODEL_REGISTRY[name]


def test_options_reach_classifier():
    chosen = {
        "patch_size": 4,
        "dim": 23,
        "depth": 3,
        "hidden_ratio": 2.0,
        "norm": "layernorm",
        "mixing": "separable",
        "pooling": "class_mlp",
        "activation": "silu",
        "layer_scale": 0.7,
        "init_std": 0.05,
        "drop_path": 0.1,
    }
    args = [arg for name, value in chosen.items() for arg in (f"--{name.replace('_', '-')}", str(value))]
    model = build("resmlp_digits", *args, "--post-bias")
    expected = ClassifierConfig(image_size=8, channels=1, num_classes=10, post_bias=True, **chosen)
    assert model.core.settings == expected
    assert {field.name for field in fields(ClassifierConfig)} == {
        field.name for field in fields(MODEL_DATACLASS_REGISTRY["resmlp_digits"]) if field.name != "_name"
    }


def test_task_sets_image_size_and_classes():
    model = build("resmlp_digits", task=SimpleNamespace(image_size=12, channels=3, num_classes=7))
    assert model(torch.zeros(5, 3, 12, 12)).shape == (5, 7)


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--image-size", 12, "the task's images have 8"),
        ("--channels", 3, "the task's images have 1"),
        ("--num-classes", 7, "the task's images have 10"),
    ],
)
def test_option_contradicting_task_is_refused(option, value, message):
    with pytest.raises(ResMLPError, match=f"{option} is {value}, but {message}; leave the option out"):
        build("resmlp_digits", option, str(value))
    assert build("resmlp_digits", option, message.split()[-1]).core.settings.num_classes == 10


def test_options_set_sizes_missing_from_task():
    model = build("resmlp_digits", "--image-size", "12", "--channels", "2", task=SimpleNamespace())
    settings = model.core.settings
    assert (settings.image_size, settings.channels, settings.num_classes) == (12, 2, 1000)


def test_patch_size_must_divide_image_size():
    with pytest.raises(ResMLPError, match="image_size must be a multiple of patch_size 3, but is 8"):
        build("resmlp_digits", "--patch-size", "3")


def test_switches_are_off_by_default():
    for field in fields(MODEL_DATACLASS_REGISTRY["resmlp_s12"]):
        if field.type is bool:
            assert field.default is False, field.name


def test_state_dict_prefix_is_core():
    model = build("resmlp_digits")
    assert list(model.state_dict()) == [f"core.{name}" for name in model.core.state_dict()]
