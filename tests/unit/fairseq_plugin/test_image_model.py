"""Image classifiers in fairseq: the same model through `--arch` and hydra, and what the task decides."""

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


def built(name, *words, task=DIGITS):
    arguments = ["data", "--task", "translation", "--arch", name, *words]
    parsed = options.parse_args_and_arch(options.get_training_parser(), arguments)
    return build_model(convert_namespace_to_omegaconf(parsed).model, task)


@pytest.mark.parametrize("name", VISION_ARCHITECTURES)
def test_every_row_is_the_same_model_through_every_door(name):
    settings = ClassifierConfig(**VISION_ARCHITECTURES[name])
    task = DIGITS if name == "resmlp_digits" else IMAGENET
    with torch.device("meta"):
        models = built(name, task=task), build_model(OmegaConf.create({"_name": name}), task)
    for model in models:
        assert model.core.settings == settings
        assert type(model) is ARCH_MODEL_REGISTRY[name]


def test_every_option_reaches_the_classifier():
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
    words = [word for name, value in chosen.items() for word in (f"--{name.replace('_', '-')}", str(value))]
    model = built("resmlp_digits", *words, "--post-bias")
    expected = ClassifierConfig(image_size=8, channels=1, num_classes=10, post_bias=True, **chosen)
    assert model.core.settings == expected
    assert {field.name for field in fields(ClassifierConfig)} == {
        field.name for field in fields(MODEL_DATACLASS_REGISTRY["resmlp_digits"]) if field.name != "_name"
    }


def test_images_and_classes_are_the_tasks():
    model = built("resmlp_digits", task=SimpleNamespace(image_size=12, channels=3, num_classes=7))
    assert model(torch.zeros(5, 3, 12, 12)).shape == (5, 7)


@pytest.mark.parametrize(
    ("word", "value", "said"),
    [
        ("--image-size", 12, "the task's images have 8"),
        ("--channels", 3, "the task's images have 1"),
        ("--num-classes", 7, "the task's images have 10"),
    ],
)
def test_an_option_that_contradicts_the_task_is_refused(word, value, said):
    with pytest.raises(ResMLPError, match=f"{word} is {value}, but {said}; leave the option out"):
        built("resmlp_digits", word, str(value))
    assert built("resmlp_digits", word, said.split()[-1]).core.settings.num_classes == 10


def test_a_task_that_says_nothing_leaves_the_choice_to_the_options():
    model = built("resmlp_digits", "--image-size", "12", "--channels", "2", task=SimpleNamespace())
    settings = model.core.settings
    assert (settings.image_size, settings.channels, settings.num_classes) == (12, 2, 1000)


def test_settings_that_do_not_fit_the_images_are_refused():
    with pytest.raises(ResMLPError, match="image_size must be a multiple of patch_size 3, but is 8"):
        built("resmlp_digits", "--patch-size", "3")


def test_every_switch_is_off_by_default():
    for field in fields(MODEL_DATACLASS_REGISTRY["resmlp_s12"]):
        if field.type is bool:
            assert field.default is False, field.name


def test_the_state_holds_the_classifiers_own_names_behind_core():
    model = built("resmlp_digits")
    assert list(model.state_dict()) == [f"core.{name}" for name in model.core.state_dict()]
