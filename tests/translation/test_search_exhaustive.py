"""The search finds what trying out every translation finds."""

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
    """Draws the probabilities after each beginning of a translation at random; most tokens have none."""

    max_source_len = max_target_len = 20
    vocab_size = VOCAB_SIZE
    device = torch.device("cpu")

    def __init__(self, seed: int, words: tuple[int, ...]) -> None:
        self.seed, self.words = seed, words

    def start(self, source, padding_mask, beam_size):
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
        allowed = [END, *self.words]
        logits[allowed] = torch.randn(len(allowed), generator=generator)
        return logits


class TableState:
    def __init__(self, rows):
        self.rows = rows

    def reorder(self, origins):
        self.rows = [self.rows[origin] for origin in origins.tolist()]


def exhaustive(model, source, options: SearchSettings):
    """All translations with their scores, best first."""
    found = []
    for length in range(options.min_len, options.max_len_b + 1):
        for words in itertools.product(model.words, repeat=length):
            total = 0.0
            for place, token in enumerate((*words, END)):
                log_probs = model.logits(source, words[:place]).double().log_softmax(0)
                log_probs[UNKNOWN] -= options.unknown_penalty
                is_forced = place == options.max_len_b
                total += float(log_probs[END] if is_forced else log_probs[token])
            ngrams = [words[i : i + options.no_repeat_ngram] for i in range(length - options.no_repeat_ngram + 1)]
            if not options.no_repeat_ngram or len(set(ngrams)) == len(ngrams):
                found.append(((*words, END), total / (length + 1) ** options.length_penalty))
    return sorted(found, key=lambda pair: -pair[1])


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    words=st.sampled_from([(4, 5), (UNKNOWN, 7), (0, 39)]),
    sources=st.lists(st.lists(st.integers(4, 39), max_size=4), min_size=1, max_size=4),
    max_len=st.integers(1, 4),
    min_len=st.integers(0, 1),
    length_penalty=st.sampled_from([0.0, 0.6, 1.0, 2.0]),
    unknown_penalty=st.sampled_from([0.0, 1.5]),
    no_repeat_ngram=st.sampled_from([0, 2]),
)
def test_a_beam_that_holds_everything_finds_every_translation_in_order(
    seed, words, sources, max_len, min_len, length_penalty, unknown_penalty, no_repeat_ngram
):
    model = TableModel(seed, words)
    options = SearchSettings(
        beam_size=39, nbest=39, max_len_b=max_len, min_len=min_len, length_penalty=length_penalty,
        unknown_penalty=unknown_penalty, no_repeat_ngram=no_repeat_ngram,
    )  # fmt: skip
    batch = [Source([*source, END]) for source in sources]
    for source, found in zip(batch, BeamSearch([model], options).search(batch), strict=True):
        expected = exhaustive(model, tuple(source.tokens), options)
        assert {tuple(h.tokens) for h in found} == {tokens for tokens, _ in expected}
        assert [h.score for h in found] == pytest.approx([score for _, score in expected], abs=1e-5)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), prefix=st.lists(st.sampled_from([4, 5]), max_size=3))
def test_a_forced_beginning_leaves_the_best_of_those_that_begin_so(seed, prefix):
    model = TableModel(seed, (4, 5))
    options = SearchSettings(beam_size=39, max_len_b=4, length_penalty=0.0)
    source = Source([9, END], prefix=prefix)
    (found,) = BeamSearch([model], options).search([source])
    begun = [pair for pair in exhaustive(model, (9, END), options) if list(pair[0][: len(prefix)]) == prefix]
    assert tuple(found[0].tokens) == begun[0][0]
    assert found[0].score == pytest.approx(begun[0][1], abs=1e-5)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), order=st.sampled_from(["ordered", "unordered"]))
def test_constraints_leave_the_best_of_those_that_hold_them(seed, order):
    model = TableModel(seed, (4, 5))
    options = SearchSettings(beam_size=39, max_len_b=4, length_penalty=0.0, constraint_order=order)
    (found,) = BeamSearch([model], options).search([Source([9, END], constraints=[(5,), (4,)])])
    tries = exhaustive(model, (9, END), options)
    holding = [
        pair for pair in tries if {4, 5} <= set(pair[0]) and (order == "unordered" or 4 in pair[0][pair[0].index(5) :])
    ]
    assert found[0].score == pytest.approx(holding[0][1], abs=1e-5)
