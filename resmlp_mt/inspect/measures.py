"""Statistics of a mixing matrix: sparsity, distance and direction of its weights, and similarity of its rows."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resmlp_mt.inspect.matrices import Array, Layer, Stack

THRESHOLD = 0.05  # relative to the largest magnitude in the matrix; arXiv:2105.03404, analysis of the sparsity


def sparsity(weights: Array, threshold: float = THRESHOLD) -> float:
    """The share of weights whose magnitude is below `threshold` times the largest magnitude.

    Source: arXiv:2105.03404, analysis of the sparsity of the linear layers.

    Args:
        weights: weights of any shape; for a causal A only those of the lower triangle.
        threshold: 0.05 in the paper.

    Returns:
        From 0 to 1; 1 if all weights are zero.
    """
    magnitudes = np.abs(weights)
    largest = float(magnitudes.max())
    return 1.0 if largest == 0.0 else float(np.mean(magnitudes < threshold * largest))


@dataclass(frozen=True)
class ShiftProfile:
    """Averages over the diagonals of a mixing matrix: weights with the same offset from output to input position.

    Attributes:
        mean: mean of A[t, t + d] over the positions t that have a position t + d.
        magnitude: mean of |A[t, t + d]|.
        count: number of those positions.

    All are (2 * rows - 1, 2 * columns - 1); the offset (down, right) is at [rows - 1 + down, columns - 1 + right]. A
    sentence has one row, and offsets to later positions are positive. For masked offsets (above the diagonal of a
    causal matrix) the count is 0 and the means are NaN.
    """

    mean: Array
    magnitude: Array
    count: NDArray[np.int64]


def shift_profile(mixing: Array, grid: tuple[int, int], causal: bool = False) -> ShiftProfile:
    """Averages a mixing matrix over its diagonals, on one row of positions or on a grid.

    Args:
        mixing: A, (positions, positions).
        grid: rows and columns of the positions.
        causal: whether only the lower triangle counts.
    """
    rows, columns = grid
    row, column = np.divmod(np.arange(rows * columns), columns)
    down = row[None, :] - row[:, None] + rows - 1
    right = column[None, :] - column[:, None] + columns - 1
    shape = (2 * rows - 1, 2 * columns - 1)
    visible = _visible(len(mixing), causal)
    indices, weights = (down * shape[1] + right)[visible], mixing[visible]
    size = shape[0] * shape[1]
    count = np.bincount(indices, minlength=size).reshape(shape)
    with np.errstate(invalid="ignore"):  # 0 / 0 at masked offsets
        mean = np.bincount(indices, weights, size).reshape(shape) / count
        magnitude = np.bincount(indices, np.abs(weights), size).reshape(shape) / count
    return ShiftProfile(mean, magnitude, count)


def _visible(positions: int, causal: bool) -> NDArray[np.bool_]:
    """True where an output position uses an input position, (positions, positions)."""
    visible = np.ones((positions, positions), dtype=bool)
    return np.tril(visible) if causal else visible


@dataclass(frozen=True)
class LayerMeasures:
    r"""The statistics of one layer.

    Attributes:
        sparsity_mixing, sparsity_expand, sparsity_contract: of A, B and C, see `sparsity`.
        distance: mean over positions t of $\sum_s |A_{ts}|\,d(t, s) / \sum_s |A_{ts}|$, d the Euclidean distance in
            tokens or patches.
        energy_distance: the same with $A_{ts}^2$ instead of $|A_{ts}|$, which gives less weight to the many small
            weights that remain from random initialisation.
        uniform_distance: the value of both if all weights were equal.
        diagonal_share: share of the summed magnitude on the main diagonal.
        symmetry: $\langle A, A^\top\rangle / \langle A, A\rangle$: 1 symmetric, 0 neither, -1 antisymmetric; None if
            A is causal.
        earlier_share: share of the summed off-diagonal magnitude on earlier positions; 0.5 is balanced; None for
            patches and if A is causal.
        shift_invariance: share of A's energy in the means of its diagonals: 1 for a convolution, near 0 if the weights
            of each position are unrelated. For pure noise it is (diagonals / weights) on average.
        shift_invariance_of_noise: the expected share for pure noise.
        peak_offset: (down, right) to the diagonal with the largest mean magnitude among those at least half as long as
            the longest, which excludes single weights in the corners.
        largest: largest magnitude in A.
        gain: see `Layer`.
    """

    sparsity_mixing: float
    sparsity_expand: float
    sparsity_contract: float
    distance: float
    energy_distance: float
    uniform_distance: float
    diagonal_share: float
    symmetry: float | None
    earlier_share: float | None
    shift_invariance: float
    shift_invariance_of_noise: float
    peak_offset: tuple[int, int]
    largest: float
    gain: float | None


def measure(layer: Layer, grid: tuple[int, int], causal: bool) -> LayerMeasures:
    """Measures a layer whose positions lie on `grid`."""
    mixing = layer.mixing
    visible = _visible(len(mixing), causal)
    magnitudes = np.abs(mixing)
    energy, total = float((mixing**2).sum()), float(magnitudes.sum())
    distances = _distances(grid)
    profile = shift_profile(mixing, grid, causal)
    present = profile.count > 0
    diagonal_energy = float((profile.count[present] * profile.mean[present] ** 2).sum())
    off_diagonal = total - float(np.trace(magnitudes))
    earlier = float(np.tril(magnitudes, -1).sum())
    long_enough = np.where(profile.count * 2 >= profile.count.max(), profile.magnitude, -1.0)
    peak = np.unravel_index(int(np.argmax(long_enough)), profile.count.shape)
    return LayerMeasures(
        sparsity_mixing=sparsity(mixing[visible]),
        sparsity_expand=sparsity(layer.expand),
        sparsity_contract=sparsity(layer.contract),
        distance=_mean_distance(magnitudes, distances),
        energy_distance=_mean_distance(mixing**2, distances),
        uniform_distance=_mean_distance(visible.astype(float), distances),
        diagonal_share=_ratio(float(np.trace(magnitudes)), total),
        symmetry=None if causal else _ratio(float((mixing * mixing.T).sum()), energy),
        earlier_share=None if causal or grid[0] > 1 else _ratio(earlier, off_diagonal),
        shift_invariance=_ratio(diagonal_energy, energy),
        shift_invariance_of_noise=float(present.sum() / visible.sum()),
        peak_offset=(int(peak[0]) - grid[0] + 1, int(peak[1]) - grid[1] + 1),
        largest=float(magnitudes.max()),
        gain=layer.gain,
    )


def _distances(grid: tuple[int, int]) -> Array:
    row, column = np.divmod(np.arange(grid[0] * grid[1]), grid[1])
    return np.hypot(row[None, :] - row[:, None], column[None, :] - column[:, None])


def _mean_distance(importance: Array, distances: Array) -> float:
    sums = importance.sum(1)
    means = (importance * distances).sum(1)[sums > 0] / sums[sums > 0]
    return float(means.mean()) if len(means) else 0.0


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole > 0 else 0.0


def measure_stack(stack: Stack) -> list[LayerMeasures]:
    """Measures all layers, first to last."""
    return [measure(layer, stack.grid, stack.causal) for layer in stack.layers]


def as_json(stack: Stack) -> dict[str, Any]:
    """All numbers of a stack as JSON: the measures, diagonal profile and biases of each layer."""
    layers = []
    for number, (layer, measures) in enumerate(zip(stack.layers, measure_stack(stack), strict=True), 1):
        profile = shift_profile(layer.mixing, stack.grid, stack.causal)
        layers.append(
            {
                "layer": number,
                **asdict(measures),
                "profile": {
                    "first_offset": [1 - stack.grid[0], 1 - stack.grid[1]],
                    "mean": _json_rows(profile.mean),
                    "magnitude": _json_rows(profile.magnitude),
                    "count": profile.count.tolist(),
                },
                "bias": None if layer.bias is None else layer.bias.tolist(),
            }
        )
    return {
        "name": stack.name,
        "causal": stack.causal,
        "grid": list(stack.grid),
        "positions_reached_by_training": stack.trained,
        "layers": layers,
    }


def _json_rows(values: Array) -> list[list[float | None]]:
    """Converts an array to lists, and NaN, which JSON lacks, to None."""
    return [[None if np.isnan(value) else float(value) for value in row] for row in values]
