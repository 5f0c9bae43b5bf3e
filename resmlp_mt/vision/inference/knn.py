"""DINO's weighted k-nearest-neighbour classifier on features, in bounded memory."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from resmlp_mt.common.errors import require

TEMPERATURE = 0.07  # Wu et al. 2018, arXiv:1805.01978, section 3.4, as DINO's authors have it
NEIGHBOURS = (10, 20)  # DINO, section 4.1: 20 is best nearly always
_QUERIES, _BANK = 1024, 65536  # similarities at a time: 256 MiB


def nearest(
    queries: Tensor, bank: Tensor, count: int, query_block: int = _QUERIES, bank_block: int = _BANK
) -> tuple[Tensor, Tensor]:
    """The most similar vectors by cosine, found block by block.

    Args:
        queries: (queries, dim).
        bank: (bank, dim), on the same device.
        count: how many for each query.
        query_block, bank_block: similarities held at a time are their product.

    Returns:
        Similarities, the largest first, and places in the bank: both (queries, count).

    Raises:
        ResMLPError: if the bank holds fewer than `count`.
    """
    require(0 < count <= len(bank), "k", f"between 1 and the {len(bank)} features in the bank", count, "choose another")
    found = []
    for query in F.normalize(queries.float(), dim=1).split(query_block):
        best = query.new_empty(len(query), 0)
        places = torch.empty(len(query), 0, dtype=torch.long, device=query.device)
        for start in range(0, len(bank), bank_block):
            similarity = query @ F.normalize(bank[start : start + bank_block].float(), dim=1).t()
            here = torch.arange(start, start + similarity.size(1), device=query.device).expand_as(similarity)
            best, order = torch.cat((best, similarity), 1).topk(min(count, best.size(1) + similarity.size(1)), dim=1)
            places = torch.cat((places, here), 1).gather(1, order)
        found.append((best, places))
    similarities, places_of = zip(*found, strict=True)
    return torch.cat(similarities), torch.cat(places_of)


def vote(similarities: Tensor, labels: Tensor, num_classes: int, temperature: float = TEMPERATURE) -> Tensor:
    r"""The votes that each class gets from neighbours: $\sum_i e^{s_i / \tau}\,[y_i = c]$.

    Source: arXiv:1805.01978, section 3.4; arXiv:2104.14294, section 4.1.

    Args:
        similarities: of the neighbours, (queries, k).
        labels: theirs, (queries, k).
        num_classes: number of classes.
        temperature: tau.

    Returns:
        Shares of the votes, (queries, num_classes).
    """
    weights = F.softmax(similarities / temperature, dim=1)  # the sum changes no order, and cannot overflow
    return weights.new_zeros(len(weights), num_classes).scatter_add_(1, labels, weights)


def classify(
    queries: Tensor, bank: Tensor, labels: Tensor, num_classes: int, neighbours: tuple[int, ...] = NEIGHBOURS
) -> dict[int, Tensor]:
    """The class of each query by its weighted neighbours.

    Args:
        queries: features, (queries, dim).
        bank: features with known labels, (bank, dim).
        labels: (bank,).
        num_classes: number of classes.
        neighbours: each k to classify with; the search is done once.

    Returns:
        For each k the best class of each query, (queries,).

    Raises:
        ResMLPError: if the bank holds fewer features than the largest k.
    """
    require(min(neighbours) >= 1, "k", "at least 1", min(neighbours), "choose another")
    similarities, places = nearest(queries, bank, max(neighbours))
    known = labels.to(places.device)[places]
    return {k: vote(similarities[:, :k], known[:, :k], num_classes).argmax(1) for k in neighbours}
