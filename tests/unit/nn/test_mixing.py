"""Token mixing: causality, padding, submatrix, step equals sequence, folded equals unfolded."""

import pytest
import torch

from resmlp_mt.common.errors import ResMLPError
from resmlp_mt.nn.affine import Affine
from resmlp_mt.nn.mixing import CausalTokenMixing, TokenMixing
from resmlp_mt.nn.mixing_cache import INITIAL_CAPACITY, BeamHistory, MixingCache

LENGTH, BATCH, DIM, MAX_LEN = 7, 5, 3, 11


def make(kind, bias=True):
    torch.manual_seed(2)
    mixing = kind(MAX_LEN, bias, init_std=0.5)
    if bias:
        torch.nn.init.normal_(mixing.bias)
    return mixing


def no_padding():
    return torch.zeros(BATCH, LENGTH, dtype=torch.bool)


def test_mixing_equals_equation():
    mixing = TokenMixing(3)
    with torch.no_grad():
        mixing.weight.copy_(torch.tensor([[1.0, 2.0, 9.0], [3.0, 4.0, 9.0], [9.0, 9.0, 9.0]]))
        mixing.bias.copy_(torch.tensor([0.5, -0.5, 9.0]))
    x = torch.tensor([[[10.0, 1.0]], [[20.0, 2.0]]])  # two positions, one sentence, two features
    # position 0: 1 * 10 + 2 * 20 + 0.5; position 1: 3 * 10 + 4 * 20 - 0.5; the same A for both features
    expected = torch.tensor([[[50.5, 5.5]], [[109.5, 10.5]]])
    assert torch.equal(mixing(x, torch.zeros(1, 2, dtype=torch.bool)), expected)


def test_causal_mixing_equals_equation():
    mixing = CausalTokenMixing(3, bias=False)
    with torch.no_grad():
        mixing.weight.copy_(torch.tensor([[1.0, 2.0, 9.0], [3.0, 4.0, 9.0], [9.0, 9.0, 9.0]]))
    x = torch.tensor([[[10.0]], [[20.0]]])
    assert torch.equal(mixing(x), torch.tensor([[[10.0]], [[110.0]]]))


@pytest.mark.parametrize("kind", [TokenMixing, CausalTokenMixing])
@pytest.mark.parametrize("bias", [True, False])
def test_only_the_top_left_submatrix_is_used_and_trained(kind, bias):
    mixing = make(kind, bias)
    inputs = (torch.randn(LENGTH, BATCH, DIM),) + ((no_padding(),) if kind is TokenMixing else ())
    output = mixing(*inputs)
    output.square().sum().backward()
    gradient = mixing.weight.grad
    assert gradient[:LENGTH, :LENGTH].tril().abs().min(dim=1).values.shape == (LENGTH,)
    assert gradient[LENGTH:].eq(0).all()
    assert gradient[:, LENGTH:].eq(0).all()
    used = gradient[:LENGTH, :LENGTH]
    allowed = torch.ones(LENGTH, LENGTH).tril() if kind is CausalTokenMixing else torch.ones(LENGTH, LENGTH)
    assert torch.equal(used.ne(0).float(), allowed)
    with torch.no_grad():
        mixing.weight[LENGTH:] = 1e6
        mixing.weight[:, LENGTH:] = 1e6
    assert torch.equal(mixing(*inputs), output)


def test_causality():
    mixing = make(CausalTokenMixing)
    x = torch.randn(LENGTH, BATCH, DIM)
    before = mixing(x)
    for changed in range(LENGTH):
        other = x.clone()
        other[changed] += 100.0
        after = mixing(other)
        assert torch.equal(after[:changed], before[:changed])
        assert not torch.equal(after[changed], before[changed])


def test_padding_counts_as_zero():
    mixing = make(TokenMixing)
    mask = no_padding()
    mask[2, 4:] = True
    x = torch.randn(LENGTH, BATCH, DIM)
    zeroed = x.clone()
    zeroed[4:, 2] = 0.0
    poisoned = x.clone()
    poisoned[4:, 2] = float("nan")
    assert torch.equal(mixing(poisoned, mask), mixing(zeroed, no_padding()))


def test_too_long_sentence_is_refused():
    with pytest.raises(
        ResMLPError, match="a sentence of 12 tokens is longer than the 11 positions of the mixing matrix"
    ):
        make(CausalTokenMixing)(torch.zeros(12, BATCH, DIM))


@pytest.mark.parametrize("folded", [False, True])
@pytest.mark.parametrize("bias", [True, False])
def test_step_equals_sequence(bias, folded):
    mixing = make(CausalTokenMixing, bias)
    if folded:
        mixing.fold_affine_(shaken_affine(1), shaken_affine(2))
    x = torch.randn(LENGTH, BATCH, DIM)
    whole = mixing(x)
    cache = MixingCache(BeamHistory(BATCH, BATCH, x.device))
    for step in range(LENGTH):
        cache.beams.advance()
        torch.testing.assert_close(mixing.step(x[step], cache), whole[step], atol=1e-5, rtol=1e-5)


def test_step_equals_sequence_across_reorders():
    steps, slots = INITIAL_CAPACITY + 3, 5
    mixing = CausalTokenMixing(steps, init_std=0.5)
    cache = MixingCache(BeamHistory(2, slots, torch.device("cpu")))
    inputs = torch.randn(0, 2, DIM)  # the inputs of each row so far: (steps, rows, DIM)
    for step in range(steps):
        newest = torch.randn(inputs.size(1), DIM)
        inputs = torch.cat([inputs, newest[None]])
        cache.beams.advance()
        torch.testing.assert_close(mixing.step(newest, cache), mixing(inputs)[-1], atol=1e-5, rtol=1e-5)
        new_order = torch.randint(inputs.size(1), (2 + step % (slots - 1),))
        cache.beams.reorder(new_order)
        inputs = inputs[:, new_order]


def shaken_affine(seed):
    torch.manual_seed(seed)
    affine = Affine(DIM)
    torch.nn.init.normal_(affine.alpha)
    torch.nn.init.normal_(affine.beta)
    return affine


@pytest.mark.parametrize("bias", [True, False])
def test_folded_equals_unfolded(bias):
    mixing, before, after = make(CausalTokenMixing, bias), shaken_affine(1), shaken_affine(2)
    x = torch.randn(LENGTH, BATCH, DIM)
    expected = after(mixing(before(x)))
    assert mixing.fold_affine_(before, after)
    torch.testing.assert_close(mixing(x), expected, atol=1e-5, rtol=1e-5)
