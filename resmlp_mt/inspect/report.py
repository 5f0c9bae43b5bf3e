"""Writes the figures, numbers and page of `resmlp-mt inspect` for the stacks of a model."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from resmlp_mt.common.errors import ResMLPError
from resmlp_mt.inspect.matrices import Stack
from resmlp_mt.inspect.measures import THRESHOLD, LayerMeasures, as_json, measure_stack
from resmlp_mt.inspect.page import Picture, page

FORMAT = 1
PAGE, NUMBERS = "index.html", "numbers.json"
_MAX_LENGTH = 64  # positions drawn by default; longer sentences are rare, and their heat maps hard to read


def inspect_stacks(
    stacks: Sequence[Stack], title: str, about: Mapping[str, str], length: int | None = None
) -> dict[str, bytes]:
    """Draws and measures the matrices of a model.

    Args:
        stacks: the stacks of a translation model or an image classifier.
        title: title of the page, the model's name.
        about: facts about the model, by name; included in the page and in the numbers.
        length: number of sentence positions to include; by default those that occurred in training, at most 64. Image
            matrices are always included completely.

    Returns:
        The content of each file by name: the page (`PAGE`), the numbers (`NUMBERS`) and the figures.

    Raises:
        ResMLPError: if `length` does not fit the matrices, or matplotlib is missing.
    """
    try:
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise ResMLPError("inspect requires matplotlib; run `pip install matplotlib`") from error
    if length is not None and any(stack.is_image for stack in stacks):
        raise ResMLPError("--length applies only to translation models; leave it out for an image classifier")
    selected = [stack if stack.is_image else _first_positions(stack, length) for stack in stacks]
    measures = [measure_stack(stack) for stack in selected]
    if selected[0].is_image:
        figures = [figure for stack in selected for figure in _image_figures(stack)]
    else:
        figures = _sentence_figures(selected, stacks)
    figures += _shared_figures(selected, measures)
    numbers = {
        "format": FORMAT,
        "model": title,
        "about": dict(about),
        "sparsity_threshold": THRESHOLD,
        "stacks": [as_json(stack) for stack in selected],
        "pictures": [figure.name for figure in figures],
    }
    return {
        PAGE: page(title, about, figures, selected, measures).encode(),
        NUMBERS: (json.dumps(numbers, ensure_ascii=False, allow_nan=False) + "\n").encode(),
        **{figure.name: figure.content for figure in figures},
    }


def _first_positions(stack: Stack, length: int | None) -> Stack:
    if length is None:
        length = max(2, min(stack.positions, stack.trained or stack.positions, _MAX_LENGTH))
    return stack.first(length)


def _shared_figures(stacks: Sequence[Stack], measures: Sequence[Sequence[LayerMeasures]]) -> list[Picture]:
    from resmlp_mt.inspect import figures as draw

    return [
        Picture(
            "sparsity.png",
            "Sparsity",
            f"Share of weights below {THRESHOLD:.0%} of the largest magnitude in a matrix (arXiv:2105.03404, figure 3)."
            + " In the decoder only the lower triangle of A counts." * any(stack.causal for stack in stacks),
            draw.draw_sparsity(stacks, measures),
        ),
        Picture(
            "reach.png",
            "Reach and shift invariance",
            "Left: mean distance between output and input positions, weighted by |A| or A², compared with equal "
            "weights. Right: share of A that is the same at every position, as in a convolution, and shares of its "
            "magnitude by direction.",
            draw.draw_reach(stacks, measures),
        ),
    ]


def _sentence_figures(stacks: Sequence[Stack], whole: Sequence[Stack]) -> list[Picture]:
    from resmlp_mt.inspect import sentence_figures as draw

    figures = []
    for stack in stacks:
        figures.append(
            Picture(
                f"{stack.name}.png",
                f"Mixing matrices of the {stack.name}",
                f"A[t, s] for the first {stack.positions} positions: the weight of input position s in output position "
                "t. Red is positive, blue negative. Each layer has its own scale, which clips 0.5 % of the weights."
                + " Grey: later positions, which a causal matrix does not use."
                * stack.causal,
                draw.draw_heat_maps(stack),
            )
        )
    for stack in stacks:
        figures.append(
            Picture(
                f"{stack.name}-diagonals.png",
                f"Diagonals of the {stack.name}",
                "Mean weight by the offset d from output to input position. Where the line touches the edge of the "
                "grey area, all weights of the diagonal have the same sign. Offsets beyond half the length are "
                "averages over few weights and not drawn.",
                draw.draw_diagonals(stack),
            )
        )
    if biases := draw.draw_biases(stacks):
        caption = "The bias of each position, shared by all features."
        figures.append(Picture("biases.png", "Biases", caption, biases))
    caption = (
        "The norm of each row of A, for all positions. Rows beyond the longest training sentence keep their initial "
        "values, and their biases are zero."
    )
    figures.append(Picture("row-norms.png", "Row norms of A", caption, draw.draw_row_norms(whole)))
    return figures


def _image_figures(stack: Stack) -> list[Picture]:
    from resmlp_mt.inspect import image_figures as draw

    prefix = "" if stack.name == "layers" else f"{stack.name}-"
    central = " x ".join(str(min(draw.CENTRAL, size)) for size in stack.grid)
    figures = [
        Picture(
            f"{prefix}rows.png",
            "Rows of A as images",
            f"The rows of A for the central {central} patches (arXiv:2105.03404, figure 2), each drawn as an image of "
            f"all {stack.grid[0]} x {stack.grid[1]} patches at the position of its output patch. Red is positive, blue "
            "negative. Each scale clips 0.5 % of the weights.",
            draw.draw_rows(stack),
        ),
        Picture(
            f"{prefix}kernels.png",
            "Mean weight by offset",
            "The mean of A over all pairs of patches with the same offset, which is the closest convolution to each "
            "layer. The cross marks the output patch.",
            draw.draw_kernels(stack),
        ),
    ]
    if biases := draw.draw_biases(stack):
        caption = "The bias of each patch on the grid, shared by all features."
        figures.append(Picture(f"{prefix}biases.png", "Biases", caption, biases))
    for number in range(1, len(stack.layers) + 1):
        figures.append(
            Picture(
                f"{prefix}layer-{number:02}.png",
                f"Layer {number}, all rows",
                "All rows of A, each drawn as an image of all patches at the position of its output patch.",
                draw.draw_whole(stack, number),
                folded=True,
            )
        )
    return figures
