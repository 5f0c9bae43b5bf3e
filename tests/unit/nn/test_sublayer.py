"""The `Sublayer` protocol, for every kind of sublayer."""

import copy

import pytest
import torch

from resmlp_mt.nn.affine import Affine
from resmlp_mt.nn.channel_mlp import ChannelMLP
from resmlp_mt.nn.cross_attention import CrossAttention
from resmlp_mt.nn.grid_mixing import GridConvolution, TokenMLP
from resmlp_mt.nn.mixing import CausalTokenMixing, FullTokenMixing, TokenMixing
from resmlp_mt.nn.mixing_cache import BeamHistory, MixingCache

LENGTH, BATCH, DIM, HIDDEN, SOURCE = 15, 7, 10, 13, 3
GRID = (3, 5)

# kind: (sublayer, inputs besides x, can be folded)
SUBLAYERS = {
    "TokenMixing": (lambda: TokenMixing(LENGTH), lambda _: (torch.zeros(BATCH, LENGTH, dtype=torch.bool),), False),
    "CausalTokenMixing": (lambda: CausalTokenMixing(LENGTH), lambda _: (), True),
    "FullTokenMixing": (lambda: FullTokenMixing(LENGTH), lambda _: (), True),
    "TokenMLP": (lambda: TokenMLP(LENGTH, HIDDEN), lambda _: (), False),
    "GridConvolution": (lambda: GridConvolution("separable", DIM, GRID), lambda _: (), False),
    "ChannelMLP": (lambda: ChannelMLP(DIM, HIDDEN), lambda _: (), True),
    "CrossAttention": (lambda: CrossAttention(DIM, 2, DIM), lambda attention: attention_inputs(attention), True),
}
every_kind = pytest.mark.parametrize("kind", SUBLAYERS)


def attention_inputs(attention):
    memory = torch.randn(SOURCE, BATCH, DIM, generator=torch.Generator().manual_seed(5))
    return *attention.project_memory(memory), torch.ones(BATCH, 1, 1, SOURCE, dtype=torch.bool)


def randomised(module, seed):
    torch.manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.uniform_(-0.5, 0.5)
    return module.eval()


def example(kind):
    make, inputs, can_fold = SUBLAYERS[kind]
    sublayer = randomised(make(), 1)
    pre, post = randomised(Affine(DIM), 2), randomised(Affine(DIM), 3)
    return sublayer, inputs(sublayer), pre, post, torch.randn(LENGTH, BATCH, DIM), can_fold


@every_kind
@pytest.mark.parametrize("has_pre", [True, False])
@torch.no_grad()
def test_folded_equals_unfolded(kind, has_pre):
    sublayer, inputs, pre, post, x, can_fold = example(kind)
    plain = sublayer(x, *inputs)
    expected = post(sublayer(pre(x) if has_pre else x, *inputs))
    assert sublayer.fold_affine_(pre if has_pre else None, post) == can_fold
    torch.testing.assert_close(sublayer(x, *inputs), expected if can_fold else plain, atol=1e-5, rtol=1e-5)


@every_kind
@torch.no_grad()
def test_folding_leaves_the_affines_unchanged(kind):
    sublayer, _, pre, post, _, _ = example(kind)
    before = copy.deepcopy([*pre.parameters(), *post.parameters()])
    sublayer.fold_affine_(pre, post)
    assert all(torch.equal(a, b) for a, b in zip(before, [*pre.parameters(), *post.parameters()], strict=True))


@pytest.mark.parametrize("kind", ["FullTokenMixing", "ChannelMLP"])
@pytest.mark.parametrize("has_pre", [True, False])
def test_fused_equals_plain(kind, has_pre):
    sublayer, _, pre, post, x, _ = example(kind)
    expected = post(sublayer(pre(x) if has_pre else x))
    torch.testing.assert_close(
        sublayer.forward_fused(x, pre if has_pre else None, post), expected, atol=1e-5, rtol=1e-5
    )


@pytest.mark.parametrize("kind", ["CausalTokenMixing", "ChannelMLP", "CrossAttention"])
@pytest.mark.parametrize("folded", [False, True])
@torch.no_grad()
def test_step_equals_sequence(kind, folded):
    sublayer, inputs, pre, post, x, _ = example(kind)
    if folded:
        sublayer.fold_affine_(pre, post)
    whole = sublayer(x, *inputs)
    cache = MixingCache(BeamHistory(BATCH, BATCH, x.device))
    for position in range(LENGTH):
        cache.beams.advance()
        stepped = sublayer.step(x[position], *((cache,) if kind == "CausalTokenMixing" else inputs))
        torch.testing.assert_close(stepped, whole[position], atol=1e-5, rtol=1e-5)
