"""Weighted k-NN equals brute force for every block size."""

import math

import pytest
import torch

from resmlp_mt.common.errors import ResMLPError
from resmlp_mt.vision.inference.knn import TEMPERATURE, classify, nearest, vote

QUERIES, BANK, DIM, CLASSES, K = 13, 53, 7, 5, 11


@pytest.fixture
def features():
    generator = torch.Generator().manual_seed(3)
    queries, bank = (torch.randn(count, DIM, generator=generator) for count in (QUERIES, BANK))
    return queries, bank, torch.randint(CLASSES, (BANK,), generator=generator)


def brute_force(query: list[float], bank: list[list[float]], labels: list[int], k: int) -> int:
    def cosine(a, b):
        return sum(x * y for x, y in zip(a, b, strict=True)) / math.sqrt(sum(x * x for x in a) * sum(y * y for y in b))

    neighbours = sorted(range(len(bank)), key=lambda i: -cosine(query, bank[i]))[:k]
    votes = [0.0] * CLASSES
    for i in neighbours:
        votes[labels[i]] += math.exp(cosine(query, bank[i]) / TEMPERATURE)
    return votes.index(max(votes))


def test_classes_equal_brute_force(features):
    queries, bank, labels = features
    result = classify(queries, bank, labels, CLASSES, (1, K, BANK))
    for k, classes in result.items():
        expected = [brute_force(query, bank.tolist(), labels.tolist(), k) for query in queries.tolist()]
        assert classes.tolist() == expected, k


@pytest.mark.parametrize(("query_block", "bank_block"), [(1, 1), (3, 2), (13, 53), (5, 17), (100, 1000)])
def test_block_size_invariance(features, query_block, bank_block):
    queries, bank, _ = features
    similarities, indices = nearest(queries, bank, K, query_block, bank_block)
    expected, order = torch.nn.functional.cosine_similarity(queries[:, None], bank, dim=2).topk(K, dim=1)
    assert torch.equal(indices, order)
    assert torch.allclose(similarities, expected, atol=1e-6)


def test_feature_norm_invariance(features):
    queries, bank, labels = features
    lengths = torch.rand(BANK, 1) * 10 + 0.1
    assert torch.equal(
        classify(queries, bank * lengths, labels, CLASSES)[20], classify(queries, bank, labels, CLASSES)[20]
    )


def test_votes_are_weighted_by_similarity():
    # exp(1 / 0.07) against twice exp(0.9 / 0.07): 1 > 2 exp(-0.1 / 0.07) = 0.48
    similarities, labels = torch.tensor([[1.0, 0.9, 0.9]]), torch.tensor([[2, 0, 0]])
    shares = vote(similarities, labels, 3)
    weight = 2 * math.exp(-0.1 / TEMPERATURE)
    assert torch.allclose(shares, torch.tensor([[weight / (1 + weight), 0.0, 1 / (1 + weight)]]))


def test_k_larger_than_the_bank_is_refused(features):
    queries, bank, labels = features
    with pytest.raises(
        ResMLPError, match=f"k must be between 1 and the {BANK} features in the bank, but is {BANK + 1}"
    ):
        classify(queries, bank, labels, CLASSES, (K, BANK + 1))
