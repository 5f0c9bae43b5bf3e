"""The classifier: equations, settings, folding, batch invariance, other image sizes."""

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from toy_classifiers import mixing_matrices, toy_classifier, toy_images

from resmlp_mt.common.errors import ResMLPError
from resmlp_mt.nn.affine import IMAGE_NORMS
from resmlp_mt.nn.channel_mlp import ACTIVATIONS
from resmlp_mt.nn.grid_mixing import MIXINGS
from resmlp_mt.vision.model.classifier import ClassifierModel
from resmlp_mt.vision.model.config import POOLINGS, ClassifierConfig


def test_classifier_equals_the_papers_equations():
    model = toy_classifier(post_bias=True)
    images = toy_images(model.settings)
    convolution = model.patch_embed.proj.weight.view(11, 2, 3, 3)
    x = F.conv2d(images, convolution, model.patch_embed.proj.bias, stride=3).flatten(2).transpose(1, 2)
    for layer in model.layers:  # x: (batch, patches, dim), as in equations 2 and 3
        before, mixing, after = layer.mixing.pre, layer.mixing.sublayer, layer.mixing.post
        mixed = F.linear((before.alpha * x + before.beta).transpose(1, 2), mixing.weight, mixing.bias).transpose(1, 2)
        z = x + after.alpha * mixed + after.beta
        before, mlp, after = layer.channels.pre, layer.channels.sublayer, layer.channels.post
        x = z + after.alpha * mlp.fc2(F.gelu(mlp.fc1(before.alpha * z + before.beta))) + after.beta
    features = (model.norm.alpha * x + model.norm.beta).mean(1)
    torch.testing.assert_close(model.features(images), features, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(model(images), model.head(features), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("norm", IMAGE_NORMS)
@pytest.mark.parametrize("mixing", MIXINGS)
@pytest.mark.parametrize("pooling", POOLINGS)
def test_folded_equals_unfolded(norm, mixing, pooling):
    model = toy_classifier(norm=norm, mixing=mixing, pooling=pooling)
    images = toy_images(model.settings)
    with torch.no_grad():
        expected = model(images)
        matrices = mixing_matrices(model)
        model.optimize_for_inference()
        torch.testing.assert_close(model(images), expected, atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(model(images[:1]), expected[:1], atol=1e-5, rtol=1e-5)
    assert all(torch.equal(a, b) for a, b in zip(mixing_matrices(model), matrices, strict=True))


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_folded_equals_unfolded_for_every_activation(activation):
    model = toy_classifier(activation=activation, post_bias=True)
    images = toy_images(model.settings)
    with torch.no_grad():
        expected = model(images)
        model.optimize_for_inference()
        torch.testing.assert_close(model(images), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("norm", IMAGE_NORMS)
@pytest.mark.parametrize("mixing", MIXINGS)
@pytest.mark.parametrize("pooling", POOLINGS)
def test_every_parameter_gets_a_gradient(norm, mixing, pooling):
    model = toy_classifier(norm=norm, mixing=mixing, pooling=pooling).train()
    model(toy_images(model.settings)).square().sum().backward()
    assert [name for name, value in model.named_parameters() if value.grad is None or not value.grad.any()] == []


@pytest.mark.parametrize("mixing", MIXINGS)
@pytest.mark.parametrize("pooling", POOLINGS)
def test_batch_invariance(mixing, pooling):
    model = toy_classifier(mixing=mixing, pooling=pooling)
    images = toy_images(model.settings, batch=5)
    alone = torch.cat([model(image[None]) for image in images])
    torch.testing.assert_close(model(images), alone, atol=1e-5, rtol=1e-5)


def test_receptive_field_of_mixing():
    """A changed patch affects itself without mixing, its neighbours with a convolution, all patches with a matrix."""
    reached = {}
    for mixing in MIXINGS:
        model = toy_classifier(mixing=mixing, depth=1)
        images = toy_images(model.settings, batch=1)
        changed = images.clone()
        changed[..., 6:9, 9:12] += 1.0  # the patch of row 2, column 3
        differs = (model._patches(images) - model._patches(changed)).abs().amax((1, 2)).view(5, 7) > 1e-7
        reached[mixing] = differs.nonzero().tolist()
    neighbours = [[row, column] for row in (1, 2, 3) for column in (2, 3, 4)]
    assert reached["none"] == [[2, 3]]
    assert reached["conv"] == reached["depthwise"] == reached["separable"] == neighbours
    assert len(reached["linear"]) == len(reached["mlp"]) == 35


def test_class_layer_equals_equation():
    """The layer updates the class embedding only; it mixes all patches and leaves them unchanged."""
    torch.manual_seed(1)
    layer = toy_classifier(pooling="class_mlp").class_layers[0]
    embedding, patches = torch.randn(1, 3, 11), torch.randn(35, 3, 11)
    before = patches.clone()
    tokens = torch.cat((embedding, patches)) * layer.pre.alpha + layer.pre.beta
    gathered = torch.einsum("t,tbd->bd", layer.weight, tokens)[None] + layer.bias
    z = embedding + layer.post.alpha * gathered
    torch.testing.assert_close(layer(embedding, patches), layer.channels(z), atol=1e-5, rtol=1e-5)
    assert torch.equal(patches, before)
    assert layer.weight.shape == (36,)


def test_initialisation_equals_the_authors():
    torch.manual_seed(1)
    model = ClassifierModel(ClassifierConfig(image_size=64, dim=96, depth=2, num_classes=50, layer_scale=1e-5))
    for name, value in model.named_parameters():
        if name.endswith("post.alpha"):
            assert value.eq(1e-5).all(), name
        elif name.endswith("alpha"):
            assert value.eq(1).all(), name
        elif value.dim() == 1 and not name.startswith("patch_embed"):
            assert value.eq(0).all(), name
        elif not name.startswith("patch_embed"):
            assert 0.016 < value.std().item() < 0.022, name
    bound = (3 * 16 * 16) ** -0.5  # torch's default init of a convolution, which deit keeps
    assert 0.9 * bound < model.patch_embed.proj.weight.abs().max().item() <= bound


def test_stochastic_depth_skips_sublayers_per_image():
    model = toy_classifier(drop_path=0.5, depth=1)
    images = toy_images(model.settings, batch=1).expand(29, -1, -1, -1)
    torch.testing.assert_close(model(images), model(images[:1]).expand(29, -1), atol=1e-5, rtol=1e-5)
    torch.manual_seed(1)
    distinct = model.train()(images).mul(1000).round().unique(dim=0)
    assert len(distinct) == 4  # each of the two sublayers is skipped or not


def test_new_head_keeps_the_features():
    model = toy_classifier()
    images = toy_images(model.settings)
    features = model.features(images)
    model.replace_head(23)
    assert torch.equal(model.features(images), features)
    assert model(images).shape == (3, 23)
    assert model.settings.num_classes == 23
    model.replace_head(0)
    assert isinstance(model.head, nn.Identity)
    assert torch.equal(model(images), features)


def test_norm_is_applied_before_pooling():
    model = toy_classifier()
    images = toy_images(model.settings)
    torch.testing.assert_close(model.features(images), model.norm(model._patches(images)).mean(0))


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((3, 2, 15, 15), r"images of shape \(2, 15, 21\) \(channels, height, width\), not \(2, 15, 15\)"),
        ((3, 3, 15, 21), "resize"),
    ],
)
def test_wrong_image_shape_is_refused(shape, message):
    with pytest.raises(ResMLPError, match=message):
        toy_classifier()(torch.zeros(shape))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"image_size": 225}, "image_size must be a multiple of patch_size 16, but is 225"),
        ({"image_size": 0}, "image_size must be"),
        ({"image_size": (224, 225)}, "image_size must be"),
        ({"depth": 0}, "depth must be a whole number from 1 to 1000000, but is 0"),
        ({"hidden_ratio": 0.0}, "hidden_ratio must be above 0"),
        ({"num_classes": -1}, "num_classes must be a whole number from 0"),
        ({"drop_path": 1.0}, "drop_path must be at least 0 and below 1"),
        ({"init_std": 0.0}, "init_std must be above 0"),
        ({"init_std": float("nan")}, "init_std must be a number"),
        ({"depth": 2.5}, "depth must be a whole number"),
        ({"dim": True}, "dim must be a whole number"),
        ({"hidden_ratio": float("inf")}, "hidden_ratio must be a number"),
        ({"post_bias": "no"}, "post_bias must be true or false"),
        ({"image_size": "224"}, "image_size must be a whole number"),
        ({"image_size": (224, 16, 16)}, "image_size must be a whole number from 1 to 1000000 or 2 whole numbers"),
        ({"image_size": 16 * 1000}, "has 1000000 patches of 16 pixels, but at most 16384"),
        ({"norm": "groupnorm"}, "affine, layernorm, batchnorm, none"),
        ({"mixing": "fft"}, "linear, none, mlp, conv, depthwise, separable"),
        ({"pooling": "max"}, "average, class_mlp"),
        ({"activation": "tanh"}, "gelu, relu, silu, hardswish"),
    ],
)
def test_invalid_settings_are_refused(changes, message):
    with pytest.raises(ResMLPError, match=message):
        ClassifierConfig(**changes)


@pytest.mark.parametrize("mixing", [kind for kind in MIXINGS if kind != "mlp"])
@pytest.mark.parametrize("norm", ["affine", "batchnorm"])
@pytest.mark.parametrize("pooling", POOLINGS)
def test_features_at_any_size_equal_resized_model(mixing, norm, pooling):
    model = toy_classifier(mixing=mixing, norm=norm, pooling=pooling)
    copy = model.at_image_size((9, 24))
    images = toy_images(copy.settings)
    torch.testing.assert_close(model.features_at_any_size(images), copy.features(images))
    own = toy_images(model.settings)
    assert torch.equal(model.features_at_any_size(own), model.features(own))
    assert torch.equal(model.at_image_size((15, 21))(own), model(own))
    assert copy.settings == replace(model.settings, image_size=(9, 24))


def test_images_of_another_size_train_all_parameters():
    model = toy_classifier(pooling="class_mlp", norm="batchnorm").train()
    statistics = model.norm.running_mean.clone()
    model.features_at_any_size(torch.randn(3, 2, 9, 12)).square().sum().backward()
    unused = [name for name, value in model.named_parameters() if value.grad is None or not value.grad.any()]
    assert unused == ["head.weight", "head.bias"]
    assert not torch.equal(model.norm.running_mean, statistics)


def test_token_mlp_cannot_change_image_size():
    with pytest.raises(ResMLPError, match="mixing mlp .* cannot change the image size"):
        toy_classifier(mixing="mlp").at_image_size((9, 12))
