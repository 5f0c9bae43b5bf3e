"""Measures of mixing matrices, on matrices with known values."""

import numpy as np
import pytest
import torch

from resmlp_mt.common.errors import ResMLPError
from resmlp_mt.inspect.image_figures import row_mosaic
from resmlp_mt.inspect.matrices import Layer, find_stacks
from resmlp_mt.inspect.measures import as_json, measure, shift_profile, sparsity


def layer(mixing):
    return Layer(np.asarray(mixing, dtype=float), None, np.ones((5, 3)), np.ones((3, 5)), None)


def parameters(prefix="encoder.", positions=7, layers=2, dim=3, hidden=11):
    generator = torch.Generator().manual_seed(3)
    shapes = {
        "mixing.pre.alpha": (dim,),
        "mixing.sublayer.weight": (positions, positions),
        "mixing.sublayer.bias": (positions,),
        "mixing.post.alpha": (dim,),
        "channels.sublayer.fc1.weight": (hidden, dim),
        "channels.sublayer.fc2.weight": (dim, hidden),
    }
    return {
        f"{prefix}layers.{number}.{name}": torch.randn(shape, generator=generator)
        for number in range(layers)
        for name, shape in shapes.items()
    }


def test_sparsity_is_share_below_five_percent_of_maximum():
    # The largest magnitude is 2, so the bound is 0.1: of six weights 0.09, 0 and -0.05 are below it, 0.1 is not.
    assert sparsity(np.array([[-2.0, 0.09, 0.1], [0.0, -0.05, 1.0]])) == 3 / 6


def test_sparsity_does_not_depend_on_scale():
    weights = np.random.default_rng(3).normal(size=(13, 11))
    assert sparsity(weights) == sparsity(-1e-7 * weights)


def test_causal_sparsity_ignores_upper_triangle():
    measures = measure(layer(np.tril(np.ones((5, 5)))), (1, 5), causal=True)
    assert measures.sparsity_mixing == 0.0
    assert measures.sparsity_expand == 0.0


def test_shift_profile_is_mean_over_diagonal():
    mixing = np.array([[1.0, -2.0, 3.0], [4.0, 5.0, -6.0], [7.0, 8.0, -9.0]])
    profile = shift_profile(mixing, (1, 3))
    # Offsets -2 to 2: (7), (4, 8), (1, 5, -9), (-2, -6), (3).
    np.testing.assert_allclose(profile.mean, [[7, 6, -1, -4, 3]])
    np.testing.assert_allclose(profile.magnitude, [[7, 6, 5, 4, 3]])
    assert profile.count.tolist() == [[1, 2, 3, 2, 1]]


def test_causal_profile_has_no_positive_offsets():
    profile = shift_profile(np.tril(np.full((5, 5), 2.0)), (1, 5), causal=True)
    assert profile.count.tolist() == [[1, 2, 3, 4, 5, 0, 0, 0, 0]]
    np.testing.assert_array_equal(profile.mean[0, :5], 2.0)
    assert np.isnan(profile.mean[0, 5:]).all()


@pytest.mark.parametrize("offset", [-3, 0, 2])
def test_sentence_shift_has_peak_at_offset(offset):
    measures = measure(layer(np.eye(13, k=offset)), (1, 13), causal=False)
    assert measures.peak_offset == (0, offset)
    assert measures.distance == pytest.approx(abs(offset))
    assert measures.energy_distance == pytest.approx(abs(offset))
    assert measures.shift_invariance == pytest.approx(1.0)
    assert measures.diagonal_share == (offset == 0)


@pytest.mark.parametrize(("down", "right"), [(0, 0), (1, -2), (-2, 1)])
def test_image_shift_has_peak_at_offset(down, right):
    rows, columns = 5, 7
    mixing = np.zeros((35, 35))
    for y in range(rows):
        for x in range(columns):
            if 0 <= y + down < rows and 0 <= x + right < columns:
                mixing[y * columns + x, (y + down) * columns + x + right] = 1.0
    measures = measure(layer(mixing), (rows, columns), causal=False)
    assert measures.peak_offset == (down, right)
    assert measures.distance == pytest.approx(np.hypot(down, right))
    assert measures.shift_invariance == pytest.approx(1.0)
    profile = shift_profile(mixing, (rows, columns))
    assert profile.mean[rows - 1 + down, columns - 1 + right] == 1.0
    assert profile.mean.sum() == 1.0


def test_shift_invariance_of_noise():
    mixing = np.random.default_rng(5).normal(size=(97, 97))
    measures = measure(layer(mixing), (1, 97), causal=False)
    assert measures.shift_invariance_of_noise == pytest.approx(193 / 97**2)
    assert measures.shift_invariance == pytest.approx(193 / 97**2, rel=0.3)
    assert measures.distance == pytest.approx(measures.uniform_distance, rel=0.1)


def test_symmetry_of_symmetric_and_antisymmetric_matrices():
    mixing = np.random.default_rng(7).normal(size=(11, 11))
    assert measure(layer(mixing + mixing.T), (1, 11), causal=False).symmetry == pytest.approx(1.0)
    assert measure(layer(mixing - mixing.T), (1, 11), causal=False).symmetry == pytest.approx(-1.0)


def test_earlier_share():
    assert measure(layer(np.eye(11) + np.eye(11, k=-1)), (1, 11), causal=False).earlier_share == 1.0
    assert measure(layer(np.eye(11, k=1)), (1, 11), causal=False).earlier_share == 0.0


def test_zero_matrix_has_finite_measures():
    measures = measure(layer(np.zeros((5, 5))), (1, 5), causal=False)
    assert (measures.sparsity_mixing, measures.distance, measures.shift_invariance) == (1.0, 0.0, 0.0)


@pytest.mark.parametrize("prefix", ["encoder.", "encoder.core."])
def test_checkpoint_and_bundle_give_same_stacks(prefix):
    named = parameters(prefix) | parameters(prefix.replace("encoder", "decoder"), layers=3)
    encoder, decoder = find_stacks(named)
    assert (encoder.name, encoder.causal, len(encoder.layers)) == ("encoder", False, 2)
    assert (decoder.name, decoder.causal, len(decoder.layers)) == ("decoder", True, 3)
    weight = named[f"{prefix}layers.1.mixing.sublayer.weight"]
    np.testing.assert_allclose(encoder.layers[1].mixing, weight.numpy(), rtol=1e-6)
    gain = (named[f"{prefix}layers.1.mixing.pre.alpha"] * named[f"{prefix}layers.1.mixing.post.alpha"]).abs().mean()
    assert encoder.layers[1].gain == pytest.approx(float(gain))


def test_upper_triangle_of_decoder_is_zero():
    (decoder,) = find_stacks(parameters("decoder."))
    assert np.count_nonzero(np.triu(decoder.layers[0].mixing, 1)) == 0


def test_first_positions_are_top_left_submatrix():
    (encoder,) = find_stacks(parameters(positions=13))
    shorter = encoder.first(5)
    assert shorter.grid == (1, 5)
    np.testing.assert_array_equal(shorter.layers[0].mixing, encoder.layers[0].mixing[:5, :5])
    with pytest.raises(ResMLPError, match="from 2 to 13"):
        encoder.first(14)


def test_biases_show_trained_positions():
    named = parameters(positions=13)
    for number, reached in enumerate((5, 3)):
        named[f"encoder.layers.{number}.mixing.sublayer.bias"][reached:] = 0.0
    assert find_stacks(named)[0].trained == 5


def test_mosaic_places_each_row_at_its_patch():
    mixing = np.arange(36.0).reshape(6, 6)
    mosaic = row_mosaic(mixing, (2, 3))
    assert mosaic.shape == (2 * 3 - 1, 3 * 4 - 1)
    # Patch (1, 2) is row 5 of A: 30 to 35 as two rows of three.
    np.testing.assert_array_equal(mosaic[3:5, 8:11], [[30, 31, 32], [33, 34, 35]])
    assert np.isnan(mosaic[2]).all()


def test_mosaic_of_central_patches():
    mixing = np.arange(625.0).reshape(25, 25)
    mosaic = row_mosaic(mixing, (5, 5), 3)
    # The first of the central 3 x 3 patches is (1, 1), row 6 of A.
    np.testing.assert_array_equal(mosaic[:5, :5], mixing[6].reshape(5, 5))
    assert mosaic.shape == (3 * 6 - 1, 3 * 6 - 1)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("mixing.sublayer.weight", torch.zeros(7, 5), "square"),
        ("mixing.sublayer.weight", torch.zeros(7, 7, 1), "2 dimensions"),
        ("mixing.sublayer.weight", torch.zeros(1).expand(10**6, 10**6), "bytes are stored"),
        ("mixing.sublayer.weight", torch.full((7, 7), torch.nan), "NaN or infinity"),
        ("mixing.sublayer.weight", torch.zeros(7, 7, dtype=torch.int64), "2 dimensions"),
        ("mixing.sublayer.bias", torch.zeros(5), "as long as A"),
        ("channels.sublayer.fc1.weight", torch.zeros(0, 3), "2 dimensions"),
    ],
)
def test_invalid_matrix_is_one_line(name, value, message):
    named = parameters()
    named[f"encoder.layers.1.{name}"] = value
    with pytest.raises(ResMLPError, match=message) as error:
        find_stacks(named)
    assert "\n" not in str(error.value)
    assert "layer 2" in str(error.value)


def test_model_without_mixing_is_refused():
    with pytest.raises(ResMLPError, match="mixing matrices"):
        find_stacks({"decoder.layers.0.self_attn.k_proj.weight": torch.zeros(3, 3)})
    without = {name: value for name, value in parameters("").items() if not name.endswith("mixing.sublayer.weight")}
    with pytest.raises(ResMLPError, match=r"has no mixing\.sublayer\.weight"):
        find_stacks(without, (1, 7))


def test_matrix_of_wrong_size_for_grid_is_refused():
    with pytest.raises(ResMLPError, match="shape"):
        find_stacks(parameters("", positions=6), (2, 2))


def test_json_has_no_nan():
    (decoder,) = find_stacks(parameters("decoder.", positions=5))
    content = as_json(decoder)
    assert content["layers"][0]["profile"]["mean"][0][5:] == [None] * 4
    assert content["layers"][0]["profile"]["first_offset"] == [0, -4]


def test_single_corner_weight_is_no_peak():
    mixing = 0.5 * np.eye(11, k=2)
    mixing[10, 0] = 9.0
    assert measure(layer(mixing), (1, 11), causal=False).peak_offset == (0, 2)
