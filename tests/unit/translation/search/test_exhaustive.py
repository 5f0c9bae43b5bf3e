"""Beam search equals exhaustive search if the beam holds all hypotheses."""

import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from resmlp_mt.translation.search.beam_search import BeamSearch, Source
from resmlp_mt.translation.search.settings import SearchSettings

PAD, END, UNKNOWN = 1, 2, 3
VOCAB_SIZE = 40


class TableModel:
    """A step model with random probabilities for each prefix; most tokens have zero probability."""

    max_source_len = max_target_len = 20
    vocab_size = VOCAB_SIZE
    device = torch.device("cpu")

    def __init__(self, seed: int, tokens: tuple[int, ...]) -> None:
        self.seed, self.tokens = seed, tokens

    def start(self, source, padding_mask, beam_size):  # noqa: ARG002 - the step model's protocol
        rows = [row[~mask].tolist() for row, mask in zip(source, padding_mask, strict=True)]
        return TableState([(tuple(row), ()) for row in rows])

    def step(self, tokens, state):
        state.rows = [
            (source, (*target, token)) for (source, target), token in zip(state.rows, tokens.tolist(), strict=True)
        ]
        return torch.stack([self.logits(source, target[1:]) for source, target in state.rows])

    def logits(self, source, target):
        generator = torch.Generator().manual_seed(hash((self.seed, source, target)) % 2**31)
        logits = torch.full((VOCAB_SIZE,), -math.inf)
        allowed = [END, *self.tokens]
        logits[allowed] = torch.randn(len(allowed), generator=generator)
        return logits


class TableState:
    def __init__(self, rows):
        self.rows = rows

    def reorder(self, backpointers):
        self.rows = [self.rows[row] for row in backpointers.tolist()]


def exhaustive(model, source, options: SearchSettings):
    """All translations with their scores, best first."""
    hypotheses = []
    for length in range(options.min_len, options.max_len_b + 1):
        for tokens in itertools.product(model.tokens, repeat=length):
            total = 0.0
            for position, token in enumerate((*tokens, END)):
                log_probs = model.logits(source, tokens[:position]).double().log_softmax(0)
                log_probs[UNKNOWN] -= options.unknown_penalty
                is_forced = position == options.max_len_b
                total += float(log_probs[END] if is_forced else log_probs[token])
            ngrams = [tokens[i : i + options.no_repeat_ngram] for i in range(length - options.no_repeat_ngram + 1)]
            if not options.no_repeat_ngram or len(set(ngrams)) == len(ngrams):
                hypotheses.append(((*tokens, END), total / (length + 1) ** options.length_penalty))
    return sorted(hypotheses, key=lambda pair: -pair[1])


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    tokens=st.sampled_from([(4, 5), (UNKNOWN, 7), (0, 39)]),
    sources=st.lists(st.lists(st.integers(4, 39), max_size=4), min_size=1, max_size=4),
    max_len=st.integers(1, 4),
    min_len=st.integers(0, 1),
    length_penalty=st.sampled_from([0.0, 0.6, 1.0, 2.0]),
    unknown_penalty=st.sampled_from([0.0, 1.5]),
    no_repeat_ngram=st.sampled_from([0, 2]),
)
def test_full_beam_equals_exhaustive_search(
    seed, tokens, sources, max_len, min_len, length_penalty, unknown_penalty, no_repeat_ngram
):
    model = TableModel(seed, tokens)
    options = SearchSettings(
        beam_size=39, nbest=39, max_len_b=max_len, min_len=min_len, length_penalty=length_penalty,
        unknown_penalty=unknown_penalty, no_repeat_ngram=no_repeat_ngram,
    )  # fmt: skip
    batch = [Source([*source, END]) for source in sources]
    for source, hypotheses in zip(batch, BeamSearch([model], options).search(batch), strict=True):
        expected = exhaustive(model, tuple(source.tokens), options)
        assert {tuple(h.tokens) for h in hypotheses} == {tokens for tokens, _ in expected}
        assert [h.score for h in hypotheses] == pytest.approx([score for _, score in expected], abs=1e-5)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), prefix=st.lists(st.sampled_from([4, 5]), max_size=3))
def test_prefix_search_equals_exhaustive_search(seed, prefix):
    model = TableModel(seed, (4, 5))
    options = SearchSettings(beam_size=39, max_len_b=4, length_penalty=0.0)
    source = Source([9, END], prefix=prefix)
    (hypotheses,) = BeamSearch([model], options).search([source])
    begun = [pair for pair in exhaustive(model, (9, END), options) if list(pair[0][: len(prefix)]) == prefix]
    assert tuple(hypotheses[0].tokens) == begun[0][0]
    assert hypotheses[0].score == pytest.approx(begun[0][1], abs=1e-5)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), order=st.sampled_from(["ordered", "unordered"]))
def test_constrained_search_equals_exhaustive_search(seed, order):
    model = TableModel(seed, (4, 5))
    options = SearchSettings(beam_size=39, max_len_b=4, length_penalty=0.0, constraint_order=order)
    (hypotheses,) = BeamSearch([model], options).search([Source([9, END], constraints=[(5,), (4,)])])
    every = exhaustive(model, (9, END), options)
    satisfying = [
        pair for pair in every if {4, 5} <= set(pair[0]) and (order == "unordered" or 4 in pair[0][pair[0].index(5) :])
    ]
    assert hypotheses[0].score == pytest.approx(satisfying[0][1], abs=1e-5)
