"""From the stacks of a model to the files of its inspection."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from resmlp_mt.common.errors import ResMLPError
from resmlp_mt.inspect.matrices import Stack
from resmlp_mt.inspect.measures import THRESHOLD, LayerMeasures, as_json, measure_stack
from resmlp_mt.inspect.page import Picture, page

FORMAT = 1
PAGE, NUMBERS = "index.html", "numbers.json"
_LONGEST = 64  # positions drawn unless told otherwise; longer sentences are rare, and their maps hard to read


def inspect_stacks(
    stacks: Sequence[Stack], title: str, about: Mapping[str, str], length: int | None = None
) -> dict[str, bytes]:
    """Draws and measures the matrices of a model.

    Args:
        stacks: of a translation model or of an image classifier.
        title: of the page, the model's name.
        about: what is known of the model, by name; part of the page and of the numbers.
        length: how many positions of sentences are looked at; when None those that training has reached, but at most
            64. Images are always looked at whole.

    Returns:
        The content of each file by its name: the page (`PAGE`), the numbers (`NUMBERS`) and the pictures.

    Raises:
        ResMLPError: when `length` does not suit the matrices, or matplotlib is missing.
    """
    try:
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise ResMLPError("inspect needs matplotlib to draw; run `pip install matplotlib`") from error
    if length is not None and any(stack.is_image for stack in stacks):
        raise ResMLPError(f"--length must be left out for images, but is {length}; their matrices are drawn whole")
    looked_at = [stack if stack.is_image else _shortened(stack, length) for stack in stacks]
    measures = [measure_stack(stack) for stack in looked_at]
    if looked_at[0].is_image:
        pictures = [picture for stack in looked_at for picture in _image_pictures(stack)]
    else:
        pictures = _sentence_pictures(looked_at, stacks)
    pictures += _shared_pictures(looked_at, measures)
    numbers = {
        "format": FORMAT,
        "model": title,
        "about": dict(about),
        "sparsity_threshold": THRESHOLD,
        "stacks": [as_json(stack) for stack in looked_at],
        "pictures": [picture.name for picture in pictures],
    }
    return {
        PAGE: page(title, about, pictures, looked_at, measures).encode(),
        NUMBERS: (json.dumps(numbers, ensure_ascii=False, allow_nan=False) + "\n").encode(),
        **{picture.name: picture.content for picture in pictures},
    }


def _shortened(stack: Stack, length: int | None) -> Stack:
    if length is None:
        length = max(2, min(stack.positions, stack.trained or stack.positions, _LONGEST))
    return stack.first(length)


def _shared_pictures(stacks: Sequence[Stack], measures: Sequence[Sequence[LayerMeasures]]) -> list[Picture]:
    from resmlp_mt.inspect import figures

    return [
        Picture(
            "sparsity.png",
            "Sparsity",
            f"Weights whose magnitude is under {THRESHOLD:.0%} of their matrix's largest (arXiv:2105.03404, figure 3)."
            + " In the decoder only the lower triangle of A counts." * any(stack.causal for stack in stacks),
            figures.draw_sparsity(stacks, measures),
        ),
        Picture(
            "reach.png",
            "Reach and regularity",
            "Left: how far from its own position a layer reads, each place that it reads weighted by the magnitude or "
            "the square of its weight, against equal weights. Right: how much of A is the same at every position, as "
            "in a convolution, and where its magnitude lies.",
            figures.draw_reach(stacks, measures),
        ),
    ]


def _sentence_pictures(stacks: Sequence[Stack], whole: Sequence[Stack]) -> list[Picture]:
    from resmlp_mt.inspect import sentence_figures as figures

    pictures = []
    for stack in stacks:
        pictures.append(
            Picture(
                f"{stack.name}.png",
                f"Mixing matrices of the {stack.name}",
                f"A[t, s] of the first {stack.positions} of its positions: what output position t takes of position s. "
                "Red is positive, blue negative; each layer has a scale of its own, beyond whose ends lie 0.5 % of the "
                "weights." + " Grey: a causal matrix has no later positions." * stack.causal,
                figures.draw_heat_maps(stack),
            )
        )
    for stack in stacks:
        pictures.append(
            Picture(
                f"{stack.name}-diagonals.png",
                f"Diagonals of the {stack.name}",
                "The mean weight by the offset d from output to read position. Where the line touches an edge of the "
                "area, all positions agree on the sign. Offsets beyond half the length are means "
                "over few weights and not drawn.",
                figures.draw_diagonals(stack),
            )
        )
    if biases := figures.draw_biases(stacks):
        caption = "The bias of each position, the same for every channel."
        pictures.append(Picture("biases.png", "Biases", caption, biases))
    caption = (
        "The rows of A over all positions. Rows that no training sentence was long enough to reach are as they were at "
        "the start, and their biases zero."
    )
    pictures.append(Picture("row-norms.png", "How far the training reached", caption, figures.draw_row_norms(whole)))
    return pictures


def _image_pictures(stack: Stack) -> list[Picture]:
    from resmlp_mt.inspect import image_figures as figures

    prefix = "" if stack.name == "layers" else f"{stack.name}-"
    central = " x ".join(str(min(figures.CENTRAL, size)) for size in stack.grid)
    pictures = [
        Picture(
            f"{prefix}rows.png",
            "Rows of A as pictures",
            f"The rows of A of the central {central} patches (arXiv:2105.03404, figure 2), each as a picture of all "
            f"{stack.grid[0]} x {stack.grid[1]} patches, at its own patch's place. Red is positive, blue negative; "
            "beyond the ends of each scale lie 0.5 % of the weights.",
            figures.draw_rows(stack),
        ),
        Picture(
            f"{prefix}kernels.png",
            "Mean response by offset",
            "The mean of A over all pairs of patches with the same offset: the convolution that is nearest to each "
            "layer. The cross is the patch itself.",
            figures.draw_kernels(stack),
        ),
    ]
    if biases := figures.draw_biases(stack):
        caption = "The bias of each patch in its place, the same for every channel."
        pictures.append(Picture(f"{prefix}biases.png", "Biases", caption, biases))
    for number in range(1, len(stack.layers) + 1):
        pictures.append(
            Picture(
                f"{prefix}layer-{number:02}.png",
                f"Layer {number}, all rows",
                "All rows of A, each as a picture of all patches at its own patch's place.",
                figures.draw_whole(stack, number),
                folded=True,
            )
        )
    return pictures
