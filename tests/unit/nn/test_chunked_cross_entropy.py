"""The chunked loss equals label-smoothed cross-entropy, with oneDNN and without."""

import pytest
import torch
import torch.nn.functional as F
from fairseq.criterions.label_smoothed_cross_entropy import label_smoothed_nll_loss

from resmlp_mt.nn import chunked_cross_entropy as loss_module
from resmlp_mt.nn.chunked_cross_entropy import chunked_cross_entropy
from resmlp_mt.nn.kernels import dispatch, matmul
from resmlp_mt.nn.kernels.linear import Linear, PackedLinear, pack_linears_

BATCH, LENGTH, DIM, VOCAB_SIZE = 5, 7, 11, 13
PADDING = 1


def example(dtype=torch.float64):
    generator = torch.Generator().manual_seed(3)
    features = torch.randn(BATCH, LENGTH, DIM, generator=generator, dtype=dtype, requires_grad=True)
    weight = torch.randn(VOCAB_SIZE, DIM, generator=generator, dtype=dtype, requires_grad=True)
    target = torch.randint(2, VOCAB_SIZE, (BATCH, LENGTH), generator=generator)
    target[3, 4:] = PADDING
    target[0, 2:] = PADDING
    return features, weight, target


def fairseq_loss(features, weight, target, smoothing):
    log_probabilities = torch.log_softmax(features @ weight.t(), -1).view(-1, weight.size(0))
    return label_smoothed_nll_loss(log_probabilities, target.view(-1, 1), smoothing, ignore_index=PADDING)


@pytest.mark.parametrize("chunk", [1, 3, 512], ids=["one position", "several", "all at once"])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_loss_and_gradients_equal_fairseq(monkeypatch, chunk, smoothing):
    monkeypatch.setattr(loss_module, "CHUNK_ROWS", chunk)
    features, weight, target = example()
    expected = fairseq_loss(features, weight, target, smoothing)
    expected_gradients = torch.autograd.grad(3 * expected[0], (features, weight))
    loss, nll = chunked_cross_entropy(features, weight, target, smoothing, PADDING)
    torch.testing.assert_close((loss, nll), expected, rtol=1e-12, atol=1e-12)
    gradients = torch.autograd.grad(3 * loss, (features, weight))
    torch.testing.assert_close(gradients, expected_gradients, rtol=1e-12, atol=1e-12)


def test_bfloat16_is_close_to_float64():
    features, weight, target = example()
    exact = fairseq_loss(features, weight, target, 0.1)[0]
    exact_gradient = torch.autograd.grad(exact, weight)[0]
    low = [tensor.detach().bfloat16().requires_grad_() for tensor in (features, weight)]
    loss = chunked_cross_entropy(low[0], low[1], target, 0.1, PADDING).loss
    (gradient,) = torch.autograd.grad(loss, low[1])
    assert loss.dtype == torch.float32
    assert gradient.dtype == torch.bfloat16
    torch.testing.assert_close(loss.double(), exact, rtol=0.02, atol=0.0)
    torch.testing.assert_close(gradient.double(), exact_gradient, rtol=0.05, atol=0.05)


def test_padding_has_zero_loss():
    features, weight, target = example()
    loss, nll = chunked_cross_entropy(features, weight, torch.full_like(target, PADDING), 0.1, PADDING)
    loss.backward()
    assert loss == nll == 0
    assert not features.grad.any()
    assert not weight.grad.any()


def test_loss_without_gradients_is_the_same():
    features, weight, target = example()
    with torch.no_grad():
        loss = chunked_cross_entropy(features, weight, target, 0.1, PADDING).loss
    torch.testing.assert_close(loss, fairseq_loss(features, weight, target, 0.1)[0].detach())


@pytest.mark.skipif(not hasattr(torch.ops.mkldnn, "_linear_pointwise"), reason="PyTorch without oneDNN")
@pytest.mark.parametrize("shape", [(17, 11), (3, 5, 11)], ids=["rows", "sequences"])
@pytest.mark.parametrize("bias", [True, False])
def test_onednn_linear_equals_plain_linear_in_training(monkeypatch, shape, bias):
    monkeypatch.setattr(dispatch, "SMALLEST_MATMUL", 0)
    torch.manual_seed(2)
    layer = Linear(11, 7, bias=bias)
    x = torch.randn(*shape, requires_grad=True)
    out_gradient = torch.randn(*shape[:-1], 7)
    results = []
    for faster in (False, True):
        monkeypatch.setattr(dispatch, "ONEDNN_IS_FASTER", faster)
        y = layer(x)
        assert ("_Linear" in type(y.grad_fn.next_functions[0][0]).__name__ + type(y.grad_fn).__name__) == faster
        with torch.no_grad():
            torch.testing.assert_close(layer(x), y.detach())
        results.append([y, *torch.autograd.grad(y, (x, *layer.parameters()), out_gradient)])
    torch.testing.assert_close(results[0], results[1], rtol=1e-5, atol=1e-5)


@pytest.mark.skipif(not hasattr(torch.ops.mkldnn, "_linear_pointwise"), reason="PyTorch without oneDNN")
def test_matmuls_of_views(monkeypatch):
    monkeypatch.setattr(dispatch, "ONEDNN_IS_FASTER", True)
    monkeypatch.setattr(dispatch, "SMALLEST_MATMUL", 0)
    a, b = torch.randn(19, 5), torch.randn(5, 23)
    torch.testing.assert_close(matmul.matmul_nt(a, b.t()), a @ b)
    torch.testing.assert_close(matmul.matmul_nt(a.t(), torch.randn(19, 3).t()).shape, torch.Size((5, 3)))


def test_linear_layer_is_packed_for_inference():
    holder = torch.nn.Sequential(Linear(5, 3))
    pack_linears_(holder)
    assert type(holder[0]) is PackedLinear


def test_number_of_matmul_shapes_is_bounded(monkeypatch):
    """oneDNN caches a kernel for every shape without a limit."""
    monkeypatch.setattr(dispatch, "ONEDNN_IS_FASTER", True)
    monkeypatch.setattr(dispatch, "SMALLEST_MATMUL", 0)
    monkeypatch.setattr(loss_module, "CHUNK_ROWS", 64)
    shapes = set()

    def multiply(a, b, bias, *_):
        shapes.add((a.shape, b.shape))
        return F.linear(a, b, bias)

    monkeypatch.setattr(matmul, "_onednn_linear", multiply)
    layer = Linear(11, 7)
    for rows in range(512, 1024):
        x = torch.randn(rows, 11, requires_grad=True)
        target = torch.zeros(rows, dtype=torch.long)
        loss = chunked_cross_entropy(layer(x), torch.ones(5, 7, requires_grad=True), target, 0.1, PADDING).loss
        loss.backward()
    assert len(shapes) <= 3 * 16 + 3 * 16  # forward, and backward for inputs and weights, of the layer and of the loss
