"""Parameter counts of the registered image architectures, against a formula and the paper."""

import pytest
import torch

from resmlp_mt.vision.model.architectures import VISION_ARCHITECTURES
from resmlp_mt.vision.model.classifier import ClassifierModel
from resmlp_mt.vision.model.config import ClassifierConfig

# arXiv:2105.03404, tables 1 and 3: millions of parameters with 1000 classes
PAPER = {
    "resmlp_s12": 15.4,
    "resmlp_s24": 30.0,
    "resmlp_s36": 44.7,
    "resmlp_b24": 115.7,
    "resmlp_b24_p8": 129.1,
    "resmlp_s12_p14": 15.6,
    "resmlp_s12_p8": 22.1,
    "resmlp_s12_class_mlp": 17.7,
    "resmlp_s24_class_mlp": 32.4,
    "resmlp_s36_class_mlp": 47.1,
}
# arXiv:2105.03404, table 4: S12 with another layer instead of the mixing matrix
ABLATIONS = {"none": 14.9, "mlp": 18.6, "conv": 30.8, "depthwise": 14.9, "separable": 16.7}


def count(settings: ClassifierConfig) -> int:
    with torch.device("meta"):
        return sum(parameter.numel() for parameter in ClassifierModel(settings).parameters())


def expected(settings: ClassifierConfig) -> int:
    """By formula: m * n + n for a linear layer from m to n, 2 * d for an Affine before a sublayer, d for LayerScale."""

    def linear(inputs, outputs):
        return inputs * outputs + outputs

    dim, patches, hidden = settings.dim, settings.patches, 4 * settings.dim
    channels = 2 * dim + linear(dim, hidden) + linear(hidden, dim) + dim
    layer = 2 * dim + linear(patches, patches) + dim + channels
    class_layer = 2 * dim + (patches + 1) + 1 + dim + channels
    pooling = dim + 2 * class_layer if settings.pooling == "class_mlp" else 0
    patch_embedding = linear(settings.channels * settings.patch_size**2, dim)
    return patch_embedding + settings.depth * layer + pooling + 2 * dim + linear(dim, settings.num_classes)


@pytest.mark.parametrize("name", VISION_ARCHITECTURES)
def test_parameter_count_equals_formula(name):
    settings = ClassifierConfig(**VISION_ARCHITECTURES[name])
    assert count(settings) == expected(settings)


@pytest.mark.parametrize(("name", "millions"), PAPER.items())
def test_parameter_count_equals_paper(name, millions):
    assert round(count(ClassifierConfig(**VISION_ARCHITECTURES[name])) / 1e6, 1) == millions


def test_s12_parameter_count_equals_deit_and_timm():
    # Patches 3 * 16 * 16 * 384 + 384 = 295,296; each layer 196 * 196 + 196 + 1,181,568 + 6 * 384 = 1,222,484;
    # last Affine 768; head 384 * 1000 + 1000 = 385,000.
    assert 295_296 + 12 * 1_222_484 + 768 + 385_000 == 15_350_872
    assert count(ClassifierConfig(**VISION_ARCHITECTURES["resmlp_s12"])) == 15_350_872


@pytest.mark.parametrize(("mixing", "millions"), ABLATIONS.items())
def test_ablation_parameter_count_equals_paper(mixing, millions):
    assert round(count(ClassifierConfig(mixing=mixing)) / 1e6, 1) == millions


@pytest.mark.parametrize("name", VISION_ARCHITECTURES)
def test_layer_scale_init_by_depth(name):
    settings = ClassifierConfig(**VISION_ARCHITECTURES[name])
    by_depth = {4: 0.1, 12: 0.1, 24: 1e-5, 36: 1e-6}
    assert settings.layer_scale == (1e-6 if settings.dim == 768 else by_depth[settings.depth])
