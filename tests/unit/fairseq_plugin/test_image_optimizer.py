"""Weight decay applies to matrices and not to vectors, with every optimizer."""

import copy
from typing import Any

import pytest
import torch
from fairseq import optim
from omegaconf import OmegaConf

from resmlp_mt.fairseq_plugin.image_optimizer import decay_groups
from resmlp_mt.vision.model.classifier import ClassifierModel
from resmlp_mt.vision.model.config import ClassifierConfig

NAMES = [name for name in optim.OPTIMIZER_REGISTRY if name.startswith("resmlp_")]


def classifier(**settings):
    torch.manual_seed(1)
    sizes = {"image_size": 6, "patch_size": 2, "channels": 3, "dim": 11, "depth": 2, "num_classes": 5}
    return ClassifierModel(ClassifierConfig(**sizes, **settings))


def build(name, model, **settings):
    structured = OmegaConf.structured(optim.OPTIMIZER_DATACLASS_REGISTRY[name])
    defaults: Any = OmegaConf.to_container(structured, resolve=False)
    cfg = OmegaConf.create({**defaults, "_name": name, "lr": [0.1], **settings})
    return optim.build_optimizer(cfg, list(model.parameters()))


@pytest.mark.parametrize("pooling", ["average", "class_mlp"])
@pytest.mark.parametrize("norm", ["affine", "layernorm"])
def test_only_linear_weights_decay(pooling, norm):
    model = classifier(pooling=pooling, norm=norm, post_bias=True)
    decaying, not_decaying = decay_groups(list(model.parameters()), 0.2)
    assert (decaying["weight_decay"], not_decaying["weight_decay"]) == (0.2, 0.0)
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    linear = {
        id(module.weight)
        for module in model.modules()
        if isinstance(getattr(module, "weight", None), torch.Tensor) and module.weight.dim() > 1
    }
    assert {names[id(p)] for p in decaying["params"]} == {names[i] for i in linear if i in names}
    assert len(decaying["params"]) + len(not_decaying["params"]) == len(names)


@pytest.mark.parametrize("name", NAMES)
def test_zero_gradient_shrinks_only_matrices(name):
    model = classifier()
    optimizer = build(name, model, weight_decay=0.5)
    before = copy.deepcopy(model.state_dict())
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    for key, parameter in model.named_parameters():
        if parameter.dim() > 1:
            assert parameter.abs().sum() < before[key].abs().sum(), key
        else:
            assert torch.equal(parameter, before[key]), key


def test_lamb_equals_timm():
    """With the weight decay of the paper."""
    from timm.optim.lamb import Lamb

    ours, theirs = classifier(), classifier()
    matrices = [p for p in theirs.parameters() if p.dim() > 1]
    vectors = [p for p in theirs.parameters() if p.dim() <= 1]
    groups = [{"params": matrices, "weight_decay": 0.2}, {"params": vectors, "weight_decay": 0.0}]
    reference = Lamb(groups, lr=0.1, eps=1e-8)
    optimizer = build("resmlp_lamb", ours)
    for step in range(3):
        for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
            a.grad = torch.randn(a.shape, generator=torch.Generator().manual_seed(step))
            b.grad = a.grad.clone()
        optimizer.step()
        reference.step()
    for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("name", NAMES)
def test_set_lr_applies_to_both_groups(name):
    optimizer = build(name, classifier())
    optimizer.set_lr(0.3)
    assert [group["lr"] for group in optimizer.param_groups] == [0.3, 0.3]


@pytest.mark.parametrize("name", NAMES)
def test_resume_from_saved_state(name, tmp_path):
    def step(model, optimizer, number):
        for parameter in model.parameters():
            parameter.grad = torch.randn(parameter.shape, generator=torch.Generator().manual_seed(number))
        optimizer.step()

    whole = classifier()
    optimizer = build(name, whole)
    step(whole, optimizer, 1)
    torch.save([whole.state_dict(), optimizer.state_dict()], tmp_path / "state.pt")
    step(whole, optimizer, 2)

    weights, state = torch.load(tmp_path / "state.pt", weights_only=True)
    resumed = classifier()
    resumed.load_state_dict(weights)
    optimizer = build(name, resumed)
    optimizer.load_state_dict(state)
    step(resumed, optimizer, 2)
    for a, b in zip(whole.parameters(), resumed.parameters(), strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("name", NAMES)
def test_flat_parameters_are_unsupported(name):
    """Matrices and vectors cannot be distinguished in a flat parameter."""
    assert not build(name, classifier()).supports_flat_params
