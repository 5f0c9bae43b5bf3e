"""DINO's weighted k-nearest-neighbour classifier on features, in bounded memory."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from resmlp_mt.common.errors import ResMLPError

TEMPERATURE = 0.07  # Wu et al. 2018, arXiv:1805.01978, section 3.4; also in DINO's code
NEIGHBOURS = (10, 20)  # DINO, section 4.1: 20 is best in nearly all cases
_QUERIES, _BANK = 1024, 65536  # size of a block of similarities: 256 MiB


def nearest(
    queries: Tensor, bank: Tensor, count: int, query_block: int = _QUERIES, bank_block: int = _BANK
) -> tuple[Tensor, Tensor]:
    """Finds the most similar vectors by cosine similarity, block by block.

    Args:
        queries: (queries, dim).
        bank: (bank, dim), on the same device.
        count: number of neighbours of each query.
        query_block: number of queries in a block of similarities.
        bank_block: number of bank vectors in a block of similarities.

    Returns:
        Similarities in descending order, and indices in the bank: both (queries, count).

    Raises:
        ResMLPError: if the bank has fewer than `count` vectors.
    """
    if not 0 < count <= len(bank):
        raise ResMLPError(f"k must be between 1 and the {len(bank)} features in the bank, but is {count}")
    results = []
    for query in F.normalize(queries.float(), dim=1).split(query_block):
        best = query.new_empty(len(query), 0)
        indices = torch.empty(len(query), 0, dtype=torch.long, device=query.device)
        for start in range(0, len(bank), bank_block):
            similarity = query @ F.normalize(bank[start : start + bank_block].float(), dim=1).t()
            block_indices = torch.arange(start, start + similarity.size(1), device=query.device).expand_as(similarity)
            best, order = torch.cat((best, similarity), 1).topk(min(count, best.size(1) + similarity.size(1)), dim=1)
            indices = torch.cat((indices, block_indices), 1).gather(1, order)
        results.append((best, indices))
    similarities, neighbours = zip(*results, strict=True)
    return torch.cat(similarities), torch.cat(neighbours)


def vote(similarities: Tensor, labels: Tensor, num_classes: int, temperature: float = TEMPERATURE) -> Tensor:
    r"""Computes the weighted votes of the neighbours for each class: $\sum_i e^{s_i / \tau}\,[y_i = c]$.

    Source: arXiv:1805.01978, section 3.4; arXiv:2104.14294, section 4.1.

    Args:
        similarities: similarities of the neighbours, (queries, k).
        labels: labels of the neighbours, (queries, k).
        num_classes: number of classes.
        temperature: tau.

    Returns:
        Votes normalized to sum 1, (queries, num_classes).
    """
    weights = F.softmax(similarities / temperature, dim=1)  # normalized: same order, no overflow
    return weights.new_zeros(len(weights), num_classes).scatter_add_(1, labels, weights)


def classify(
    queries: Tensor, bank: Tensor, labels: Tensor, num_classes: int, neighbours: tuple[int, ...] = NEIGHBOURS
) -> dict[int, Tensor]:
    """Classifies queries by a weighted vote of their neighbours.

    Args:
        queries: features, (queries, dim).
        bank: features with known labels, (bank, dim).
        labels: (bank,).
        num_classes: number of classes.
        neighbours: values of k; the neighbours are searched once.

    Returns:
        For each k the predicted class of each query, (queries,).

    Raises:
        ResMLPError: if k is below 1, or the bank has fewer features than the largest k.
    """
    if min(neighbours) < 1:
        raise ResMLPError(f"k must be at least 1, but is {min(neighbours)}")
    similarities, indices = nearest(queries, bank, max(neighbours))
    neighbour_labels = labels.to(indices.device)[indices]
    return {k: vote(similarities[:, :k], neighbour_labels[:, :k], num_classes).argmax(1) for k in neighbours}
