"""The other layers: affine, MLP, residual block, cross-attention, padding alignment, packing."""

import math

import pytest
import torch
from torch import nn

from resmlp_mt.common.errors import ResMLPError
from resmlp_mt.nn.affine import Affine, build_norm
from resmlp_mt.nn.channel_mlp import ACTIVATIONS, ChannelMLP
from resmlp_mt.nn.cross_attention import CrossAttention
from resmlp_mt.nn.kernels.linear import Linear, PackedLinear, pack_linears_
from resmlp_mt.nn.mixing import TokenMixing
from resmlp_mt.nn.padding import left_align, undo_left_align
from resmlp_mt.nn.positions import PositionalEmbedding, sinusoids
from resmlp_mt.nn.residual import ResidualBlock

DIM, HIDDEN, LENGTH, BATCH, SOURCE = 6, 13, 5, 3, 7


def randomised(module, seed=7):
    torch.manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.normal_()
    return module


def test_affine_is_equation_1():
    affine = Affine(2, scale=3.0)
    with torch.no_grad():
        affine.beta.copy_(torch.tensor([1.0, -1.0]))
    assert torch.equal(affine(torch.tensor([[2.0, 4.0]])), torch.tensor([[7.0, 11.0]]))


def test_affine_without_bias_only_scales():
    affine = Affine(2, scale=3.0, bias=False)
    assert torch.equal(affine(torch.tensor([2.0, 4.0])), torch.tensor([6.0, 12.0]))
    assert [name for name, _ in affine.named_parameters()] == ["alpha"]


def test_affine_is_identity_at_initialisation():
    x = torch.randn(LENGTH, DIM)
    assert torch.equal(build_norm("affine", DIM)(x), x)


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (lambda: build_norm("groupnorm", DIM), "affine, layernorm, batchnorm, none"),
        (lambda: ChannelMLP(DIM, HIDDEN, "tanh"), "gelu, relu, silu, hardswish"),
        (lambda: PositionalEmbedding("rotary", LENGTH, DIM), "learned, sinusoidal"),
    ],
)
def test_unknown_choice_is_refused(make, name):
    with pytest.raises(ResMLPError, match=name):
        make()


def test_dim_not_divisible_by_heads_is_refused():
    with pytest.raises(ResMLPError, match="model dim 6 is not divisible by its 5 cross-attention heads"):
        CrossAttention(DIM, 5, DIM)


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("norm", ["affine", "layernorm"])
def test_folded_equals_unfolded_mlp_block(activation, norm):
    block = randomised(ResidualBlock(ChannelMLP(DIM, HIDDEN, activation), DIM, norm)).eval()
    x = torch.randn(LENGTH, BATCH, DIM)
    expected = block(x)
    block.fold_affine_()
    torch.testing.assert_close(block(x), expected, atol=1e-4, rtol=1e-5)
    assert isinstance(block.post, nn.Identity)
    assert isinstance(block.pre, nn.Identity) == (norm == "affine")


def test_layer_scale_zero_is_identity():
    block = ResidualBlock(ChannelMLP(DIM, HIDDEN), DIM, layer_scale=0.0)
    x = torch.randn(LENGTH, BATCH, DIM)
    assert torch.equal(block(x), x)


def test_stochastic_depth_skips_sentences_and_keeps_the_mean():
    torch.manual_seed(1)
    block = ResidualBlock(nn.Identity(), DIM, layer_scale=1.0, drop_path=0.25).train()  # type: ignore[type-var]  # an identity instead of a sublayer
    x = torch.ones(LENGTH, 4000, DIM)
    added = block(x) - x
    per_sentence = added[0, :, 0]
    assert torch.equal(added, per_sentence[None, :, None].expand_as(added))
    torch.testing.assert_close(per_sentence.unique(), torch.tensor([0.0, 1 / 0.75]))
    assert per_sentence.mean().item() == pytest.approx(1.0, abs=0.05)
    assert torch.equal(block.eval()(x), 2 * x)


@pytest.mark.parametrize("norm", ["affine", "layernorm"])
def test_folded_equals_unfolded_attention_block(norm):
    block = randomised(ResidualBlock(CrossAttention(DIM, 2, 11), DIM, norm)).eval()
    keys, values = block.sublayer.project_memory(torch.randn(SOURCE, BATCH, 11))
    mask = torch.ones(BATCH, 1, 1, SOURCE, dtype=torch.bool)
    x = torch.randn(LENGTH, BATCH, DIM)
    expected = block(x, keys, values, mask)
    block.fold_affine_()
    torch.testing.assert_close(block(x, keys, values, mask), expected, atol=1e-4, rtol=1e-4)
    assert isinstance(block.pre, nn.Identity) == (norm == "affine")


def test_folding_twice_changes_nothing():
    block = randomised(ResidualBlock(ChannelMLP(DIM, HIDDEN), DIM)).eval()
    block.fold_affine_()
    folded = {name: value.clone() for name, value in block.state_dict().items()}
    block.fold_affine_()
    assert list(folded) == list(block.state_dict())
    assert all(torch.equal(folded[name], value) for name, value in block.state_dict().items())


def test_block_with_unfoldable_sublayer_is_unchanged():
    block = randomised(ResidualBlock(TokenMixing(LENGTH), DIM)).eval()
    before = {name: value.clone() for name, value in block.state_dict().items()}
    block.fold_affine_()
    assert list(before) == list(block.state_dict())
    assert all(torch.equal(before[name], value) for name, value in block.state_dict().items())


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("activation", ACTIVATIONS.values(), ids=ACTIVATIONS)
@torch.no_grad()
def test_forward_activated_equals_activation_of_forward(activation, packed):
    linear = Linear(HIDDEN, DIM)
    layer = PackedLinear(linear) if packed else linear
    x = torch.randn(LENGTH, BATCH, HIDDEN)
    torch.testing.assert_close(layer.forward_activated(x, activation), activation(linear(x)), atol=1e-5, rtol=1e-5)


def attention_with_memory():
    attention = randomised(CrossAttention(DIM, 2, 11)).eval()
    keys, values = attention.project_memory(torch.randn(SOURCE, BATCH, 11))
    mask = torch.ones(BATCH, 1, 1, SOURCE, dtype=torch.bool)
    mask[1, ..., 4:] = False
    return attention, keys, values, mask


def test_output_is_the_attention_weighted_sum():
    mask = attention_with_memory()[3]
    single = randomised(CrossAttention(DIM, 1, 11)).eval()
    keys, values = single.project_memory(torch.randn(SOURCE, BATCH, 11))
    x = torch.randn(LENGTH, BATCH, DIM)
    weights = single.weights(x, keys, mask)
    torch.testing.assert_close(weights.sum(-1), torch.ones(BATCH, LENGTH))
    assert weights[1, :, 4:].eq(0).all()
    by_hand = single.out_proj((weights @ values[:, 0]).transpose(0, 1))
    torch.testing.assert_close(single(x, keys, values, mask), by_hand, atol=1e-4, rtol=1e-5)


def test_attention_step_equals_sequence():
    attention, keys, values, mask = attention_with_memory()
    x = torch.randn(LENGTH, BATCH, DIM)
    whole = attention(x, keys, values, mask)
    rows = x.transpose(0, 1).reshape(BATCH * LENGTH, DIM)  # row r belongs to sentence r // LENGTH
    stepped = attention.step(rows, keys, values, mask)
    torch.testing.assert_close(stepped, whole.transpose(0, 1).reshape_as(stepped), atol=1e-5, rtol=1e-5)
    weights = attention.step_weights(rows, keys, mask)
    torch.testing.assert_close(weights, attention.weights(x, keys, mask).flatten(0, 1))


def test_masked_source_position_is_ignored():
    attention, keys, values, mask = attention_with_memory()
    x = torch.randn(LENGTH, BATCH, DIM)
    expected = attention(x, keys, values, mask)
    values = values.clone()
    values[1, :, 4:] += 1000.0
    assert torch.equal(attention(x, keys, values, mask), expected)


def test_left_align_keeps_the_order_of_tokens():
    tokens = torch.tensor([[0, 0, 5, 6], [7, 8, 9, 4], [3, 0, 0, 0], [0, 2, 0, 1]])
    aligned, mask, positions = left_align(tokens, tokens.eq(0))
    assert aligned.tolist() == [[5, 6, 0, 0], [7, 8, 9, 4], [3, 0, 0, 0], [2, 1, 0, 0]]
    assert torch.equal(mask, aligned.eq(0))
    assert torch.equal(undo_left_align(aligned, positions), tokens)


def test_sinusoids_equal_formula():
    table = sinusoids(3, 4)
    assert table[0].tolist() == [0.0, 1.0, 0.0, 1.0]
    # the pairs of features have the frequencies 1 and 10000 ** -(2 / 4) = 1 / 100
    expected = [math.sin(2), math.cos(2), math.sin(0.02), math.cos(0.02)]
    torch.testing.assert_close(table[2], torch.tensor(expected))


@pytest.mark.parametrize("bias", [True, False])
def test_packed_equals_plain_linear(bias):
    linear = nn.Linear(HIDDEN, DIM, bias)
    holder = nn.ModuleDict({"inside": nn.ModuleDict({"linear": linear})})
    pack_linears_(holder)
    packed = holder["inside"]["linear"]  # type: ignore[index]  # a ModuleDict
    x = torch.randn(LENGTH, BATCH, HIDDEN)
    assert type(packed) is PackedLinear
    assert packed.weight is linear.weight
    with torch.no_grad():
        torch.testing.assert_close(packed(x), linear(x), atol=1e-5, rtol=1e-5)
        linear.weight.add_(1.0)  # an in-place change takes effect
        torch.testing.assert_close(packed(x), linear(x), atol=1e-5, rtol=1e-5)
        packed.double()
        torch.testing.assert_close(packed(x.double()), nn.functional.linear(x.double(), packed.weight, packed.bias))
    x.requires_grad_()
    packed.float()(x).sum().backward()
    assert x.grad is not None
