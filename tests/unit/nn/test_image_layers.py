"""Layers of image classifiers: patches, mixing variants, batch norm, fused and folded affines."""

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from resmlp_mt.common.errors import ResMLPError
from resmlp_mt.nn.affine import Affine, build_norm
from resmlp_mt.nn.channel_mlp import ACTIVATIONS, ChannelMLP
from resmlp_mt.nn.grid_mixing import GridConvolution, TokenMLP, build_mixing
from resmlp_mt.nn.kernels import dispatch
from resmlp_mt.nn.kernels.linear import pack_linears_
from resmlp_mt.nn.mixing import FullTokenMixing
from resmlp_mt.nn.patch_embed import PatchEmbed
from resmlp_mt.nn.residual import ResidualBlock

GRID, PATCHES, BATCH, DIM, HIDDEN = (3, 5), 15, 7, 11, 13


def randomised(module: nn.Module, seed: int = 7) -> nn.Module:
    torch.manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.uniform_(-0.5, 0.5)
    return module


def tokens(seed: int = 1, batch: int = BATCH) -> torch.Tensor:
    return torch.randn(PATCHES, batch, DIM, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_patch_embedding_equals_convolution(memory_format):
    embed = PatchEmbed(2, 3, DIM)
    images = torch.randn(BATCH, 2, 9, 15).contiguous(memory_format=memory_format)
    expected = F.conv2d(images, embed.proj.weight.view(DIM, 2, 3, 3), embed.proj.bias, stride=3)
    torch.testing.assert_close(embed(images), expected.flatten(2).permute(2, 0, 1), atol=1e-5, rtol=1e-5)


def test_partial_patches_are_refused():
    with pytest.raises(ResMLPError, match="images of 9 x 16 pixels cannot be split into patches of 3 x 3"):
        PatchEmbed(2, 3, DIM)(torch.zeros(1, 2, 9, 16))


def test_wrong_number_of_patches_is_refused():
    with pytest.raises(ResMLPError, match="the image has 14 patches, but the mixing matrix is for 15"):
        FullTokenMixing(PATCHES)(torch.zeros(14, BATCH, DIM))


def test_token_mlp_equals_mlp_of_transposed_input():
    mixing = randomised(TokenMLP(PATCHES, HIDDEN, "silu"))
    x = tokens()
    expected = mixing.fc2(F.silu(mixing.fc1(x.permute(1, 2, 0)))).permute(2, 0, 1)
    torch.testing.assert_close(mixing(x), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("kind", ["conv", "depthwise", "separable"])
def test_convolution_uses_row_major_grid(kind):
    mixing = randomised(GridConvolution(kind, DIM, GRID))
    x = tokens()
    mixed = mixing.convolution(x.permute(1, 2, 0).reshape(BATCH, DIM, *GRID)).flatten(2).permute(2, 0, 1)
    torch.testing.assert_close(mixing(x), mixing.pointwise(mixed), atol=1e-5, rtol=1e-5)
    assert mixing.convolution.weight.shape == (DIM, DIM if kind == "conv" else 1, 3, 3)
    assert isinstance(mixing.pointwise, nn.Linear) == (kind == "separable")


def test_unknown_mixing_is_refused():
    with pytest.raises(ResMLPError, match="linear, none, mlp, conv, depthwise, separable"):
        build_mixing("fft", GRID, DIM)


def test_batch_norm_equals_affine_at_inference():
    norm = randomised(build_norm("batchnorm", DIM)).train()
    x = 3 * tokens() + 2
    expected = (x - x.mean((0, 1))) / (x.var((0, 1), correction=0) + norm.eps).sqrt() * norm.weight + norm.bias
    torch.testing.assert_close(norm(x), expected, atol=1e-4, rtol=1e-4)
    norm.eval()
    torch.testing.assert_close(norm.as_affine()(x), norm(x), atol=1e-5, rtol=1e-5)
    assert norm.running_mean.abs().min() > 0.05


SUBLAYERS = {"mixing": lambda: FullTokenMixing(PATCHES), "channels": lambda: ChannelMLP(DIM, HIDDEN)}


def pair_of_blocks(sublayer, norm, post_bias=True):
    """Returns the same block without and with fused affines."""
    plain = randomised(ResidualBlock(sublayer(), DIM, norm, post_bias=post_bias))
    fused = copy.deepcopy(plain)
    fused.fuse_affine = True  # type: ignore[assignment]  # torch's types
    return plain.train(), fused.train()


@pytest.mark.parametrize("batch", [1, BATCH])  # too few tokens for fusing, and enough
@pytest.mark.parametrize("norm", ["affine", "layernorm", "batchnorm", "none"])
@pytest.mark.parametrize("sublayer", SUBLAYERS.values(), ids=SUBLAYERS)
def test_fused_equals_plain_in_outputs_and_gradients(sublayer, norm, batch, monkeypatch):
    monkeypatch.setattr(dispatch, "ONEDNN_IS_FASTER", torch.backends.mkldnn.is_available())
    results = []
    for block in pair_of_blocks(sublayer, norm):
        x = tokens(batch=batch).requires_grad_()
        y = block(x)
        y.backward(torch.cos(y.detach()))
        results.append({"y": y, "x": x.grad, **{name: value.grad for name, value in block.named_parameters()}})
    plain, fused = results
    for name, expected in plain.items():
        torch.testing.assert_close(fused[name], expected, atol=2e-5, rtol=1e-4, msg=name)
        assert expected.any(), name


@pytest.mark.parametrize("is_faster", [True, False])
def test_folded_equals_unfolded_mixing_block(is_faster, monkeypatch):
    monkeypatch.setattr(dispatch, "ONEDNN_IS_FASTER", is_faster and torch.backends.mkldnn.is_available())
    block = pair_of_blocks(SUBLAYERS["mixing"], "affine")[1].eval()
    with torch.no_grad():
        expected = block(tokens())
        block.fold_affine_()
        torch.testing.assert_close(block(tokens()), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("norm", ["affine", "batchnorm"])
@pytest.mark.parametrize("sublayer", SUBLAYERS.values(), ids=SUBLAYERS)
def test_folding_removes_affine_and_batch_norm(sublayer, norm):
    block = pair_of_blocks(sublayer, norm)[1].eval()
    expected = block(tokens())
    block.fold_affine_()
    assert isinstance(block.pre, nn.Identity)
    assert isinstance(block.post, nn.Identity)
    torch.testing.assert_close(block(tokens()), expected, atol=1e-5, rtol=1e-5)


def test_small_layer_scale_does_not_underflow_in_float16():
    """1e-6 times a weight of 0.02 underflows in float16; the scale is applied to the output of the sublayer instead."""
    block = ResidualBlock(ChannelMLP(DIM, HIDDEN), DIM, layer_scale=1e-6, post_bias=False, fuse_affine=True)
    with torch.no_grad():
        block.sublayer.fc2.weight.fill_(0.02)
        block.sublayer.fc1.bias.fill_(100.0)
    x = torch.zeros(PATCHES, BATCH, DIM, dtype=torch.float16)
    assert block.half()(x).abs().min() > 0


def test_fused_is_close_to_plain_under_autocast():
    plain, fused = pair_of_blocks(SUBLAYERS["channels"], "affine")
    with torch.autocast("cpu", dtype=torch.bfloat16):
        torch.testing.assert_close(fused(tokens()), plain(tokens()), atol=0.02, rtol=0.02)


@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_packed_equals_plain_mlp(activation, kind):
    mlp = randomised(ChannelMLP(DIM, HIDDEN, activation)).to(kind).eval()
    x = tokens().to(kind)
    holder = nn.ModuleList([copy.deepcopy(mlp)])
    pack_linears_(holder)
    tolerance = {"atol": 1e-5, "rtol": 1e-5} if kind == torch.float32 else {"atol": 0.02, "rtol": 0.02}
    with torch.no_grad():
        torch.testing.assert_close(holder[0](x), mlp(x), **tolerance)
    torch.testing.assert_close(holder[0](x), mlp(x), **tolerance)  # with gradients, by the plain matmul


def test_identity_affine_fuses_to_the_same_weights():
    mlp, x = randomised(ChannelMLP(DIM, HIDDEN)), tokens()
    assert torch.equal(mlp.forward_fused(x, Affine(DIM), Affine(DIM, bias=False)), mlp(x))
