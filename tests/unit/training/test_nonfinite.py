"""`NonFiniteInspector` names the first layer with a non-finite output or gradient, and changes nothing."""

import copy
from typing import Any

import pytest
import torch
from fairseq_oracle import make_fairseq_model
from torch import nn

from resmlp_mt.training.nonfinite import BACKWARD, FORWARD, INPUT, PARAMETER, NonFiniteInspector, describe

BATCH, SRC_LEN, TGT_LEN, VOCAB = 3, 7, 5, 31


class Exploding(torch.autograd.Function):
    """The identity, with an infinite gradient."""

    @staticmethod
    def forward(ctx, x):  # noqa: ARG004 - required by torch.autograd.Function
        return x.clone()

    @staticmethod
    def backward(ctx, gradient):  # noqa: ARG004 - required by torch.autograd.Function
        return gradient.clone().index_put_((torch.tensor(0),), torch.tensor(float("inf")))


def change_output(model, name, change):
    """Applies `change` to the output of a layer."""
    layer = model.get_submodule(name)
    forward = layer.forward
    layer.forward = lambda *args, **kwargs: change(forward(*args, **kwargs))
    return model


def with_nan(output):
    return output.clone().index_put_((torch.tensor(0),), torch.tensor(float("nan"), dtype=output.dtype))


def batch():
    generator = torch.Generator().manual_seed(5)
    src_tokens = torch.randint(4, VOCAB, (BATCH, SRC_LEN), generator=generator)
    previous = torch.randint(4, VOCAB, (BATCH, TGT_LEN), generator=generator)
    return {"src_tokens": src_tokens, "src_lengths": torch.full((BATCH,), SRC_LEN), "prev_output_tokens": previous}


def inspect(model, loss=lambda logits: logits.float().logsumexp(-1).sum()):
    with NonFiniteInspector(model) as inspector:
        loss(model(**batch())[0]).backward()
    return inspector.finding


@pytest.fixture(params=["resmlp_tiny", "resmlp_multi30k"])
def model(request):
    sizes = {f"{side}_{size}": 8 for side in ("encoder", "decoder") for size in ("embed_dim", "ffn_embed_dim")}
    heads = {"decoder_attention_heads": 2}
    return make_fairseq_model(vocab_size=VOCAB, arch=request.param, **sizes, **heads)[0].train()


def layers(model):
    """The names of all layers that are called and have parameters of their own."""
    called = set()
    handles = [
        layer.register_forward_hook(lambda *_, name=name: called.add(name)) for name, layer in model.named_modules()
    ]
    model(**batch())
    for handle in handles:
        handle.remove()
    return sorted(
        name for name in called if next(model.get_submodule(name).parameters(recurse=False), None) is not None
    )


class TestForward:
    def test_finite_model_has_no_finding(self, model):
        assert inspect(model) is None

    def test_layer_with_nan_output_is_named(self, model):
        names = layers(model)
        assert len(names) > 10
        for name in names:
            finding = inspect(change_output(copy.deepcopy(model), name, with_nan))
            assert finding.kind == FORWARD
            kind = type(model.get_submodule(name)).__name__
            assert finding.place == f"the output of {name} ({kind})"
            assert finding.value.startswith("NaN in ")

    def test_nan_output_in_bfloat16(self, model):
        name = layers(model)[-1]
        assert name in inspect(change_output(model.bfloat16(), name, with_nan)).place

    def test_parameters_and_inputs_are_reported_first(self):
        layer = nn.Sequential(nn.Linear(5, 3), nn.Linear(3, 2))
        with NonFiniteInspector(layer) as inspector:
            layer(torch.tensor([[1.0, 2.0, float("inf"), 3.0, 4.0]]))
        assert (inspector.finding.kind, inspector.finding.place) == (INPUT, "the input of the model")
        assert inspector.finding.value == "infinite in 1 of 5 values"
        with torch.no_grad():
            layer[1].bias[1] = float("nan")
        with NonFiniteInspector(layer) as inspector:
            layer(torch.ones(2, 5))
        assert (inspector.finding.kind, inspector.finding.place) == (PARAMETER, "parameter 1.bias")


class TestBackward:
    def test_layer_with_infinite_gradient_is_named(self):
        stack = nn.Sequential(*(nn.Sequential(nn.Linear(5, 5), nn.GELU()) for _ in range(3)))
        for number in range(3):
            broken = copy.deepcopy(stack)
            linear: Any = broken.get_submodule(f"{number}.0")
            linear.forward = lambda x, linear=linear: Exploding.apply(nn.functional.linear(x, linear.weight))
            with NonFiniteInspector(broken) as inspector:
                broken(torch.ones(2, 5, requires_grad=True)).sum().backward()
            finding = inspector.finding
            assert finding.kind == BACKWARD
            # Autograd decides whether the gradient of the parameter or of the input comes first.
            assert finding.place in (
                f"the gradient of parameter {number}.0.weight",
                f"the gradient at the input of {number}.0 (Linear)",
            )

    def test_infinite_gradient_in_translation_model(self, model):
        for name in ("encoder.core.layers.0", "decoder.core.layers.1"):
            inner = next(n for n, layer in model.named_modules() if n.startswith(name) and isinstance(layer, nn.Linear))
            finding = inspect(change_output(copy.deepcopy(model), inner, Exploding.apply))
            assert finding.kind == BACKWARD
            assert name in finding.place

    def test_infinite_gradient_of_loss_is_at_model_output(self, model):
        finding = inspect(model, lambda logits: Exploding.apply(logits).sum())
        assert finding.place == f"the gradient at the output of the model ({type(model).__name__})"


def test_identity_layer_is_not_named():
    layer = nn.Sequential(nn.Linear(5, 3), nn.Identity())
    with NonFiniteInspector(layer) as inspector:
        Exploding.apply(layer(torch.ones(2, 5))).sum().backward()
    assert inspector.finding.place == "the gradient at the output of the model (Sequential)"


def test_inspection_keeps_gradients_and_removes_hooks(model):
    def gradients(is_inspected):
        copied = copy.deepcopy(model)
        torch.manual_seed(3)
        if is_inspected:
            inspect(copied)
            assert not any(layer._forward_hooks or layer._forward_pre_hooks for layer in copied.modules())
        else:
            copied(**batch())[0].float().logsumexp(-1).sum().backward()
        return [parameter.grad for parameter in copied.parameters()]

    for inspected, plain in zip(gradients(True), gradients(False), strict=True):
        assert torch.equal(inspected, plain)


def test_only_nonfinite_values_are_described():
    assert describe(torch.tensor([1.0, -3e38])) is None
    assert describe(torch.tensor([1.0, float("-inf"), float("nan")])) == "NaN in 2 of 3 values"
