"""Our search returns the hypotheses of fairseq's search, for every option."""

import math
from typing import Any

import pytest
import torch
from fairseq_oracle import fairseq_search, make_fairseq_model, ours, with_all
from toy import PAD, pad, sentences

from resmlp_mt.common.errors import ResMLPError
from resmlp_mt.translation.search.beam_search import BeamSearch, Source
from resmlp_mt.translation.search.settings import SearchSettings

LENGTHS = [7, 3, 11, 2, 5]
GRID: dict[str, dict[str, Any]] = {
    "greedy": {"beam_size": 1},
    "beam": {"beam_size": 5},
    "wide beam": {"beam_size": 13},
    "beam larger than the vocabulary": {"beam_size": 40},
    "long": {"length_penalty": 2.0},
    "not normalised": {"length_penalty": 0.0},
    "few unknown tokens": {"unknown_penalty": 3.0},
    "many unknown tokens": {"unknown_penalty": -3.0},
    "minimum length": {"min_len": 6},
    "no minimum length": {"min_len": 0},
    "maximum length": {"max_len_b": 4},
    "minimum is maximum length": {"min_len": 5, "max_len_b": 5},
    "no repeated bigram": {"no_repeat_ngram": 2},
    "no repeated trigram": {"no_repeat_ngram": 3},
    "cool": {"temperature": 0.5},
    "hot": {"temperature": 3.0},
    # All of one length: fairseq continues finished hypotheses of a diverse beam.
    "diverse": {"beam_size": 6, "diverse_groups": 3, "min_len": 17},
    "very diverse": {"beam_size": 6, "diverse_groups": 2, "diverse_strength": 3.0, "min_len": 17},
    "siblings": {"sibling_penalty": 0.7},
}


def sources_of(lengths=LENGTHS, seed=5) -> list[Source]:
    return [Source(row.tolist()) for row in sentences(lengths, seed)]


def search(models, settings, sources):
    return BeamSearch([ours(model) for model in models], settings).search(sources)


def assert_same(hypotheses, expected):
    assert len(hypotheses) == len(expected)
    for ours_of_sentence, theirs in zip(hypotheses, expected, strict=True):
        assert [h.tokens for h in ours_of_sentence] == [h.tokens for h in theirs]
        for hypothesis, other in zip(ours_of_sentence, theirs, strict=True):
            assert hypothesis.score == pytest.approx(other.score, abs=1e-5)
            assert hypothesis.token_scores == pytest.approx(other.token_scores, abs=1e-5)


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("name", GRID)
def test_equals_fairseq(name, seed):
    model, task = make_fairseq_model(seed=seed)
    settings = with_all(SearchSettings(**{"max_len_b": 17, **GRID[name]}))
    assert_same(search([model], settings, sources_of()), fairseq_search([model], task, settings, sources_of()))


def test_nbest_are_the_first_of_all_hypotheses():
    model, _ = make_fairseq_model()
    everything = search([model], SearchSettings(beam_size=5, nbest=5), sources_of())
    assert_same(
        search([model], SearchSettings(beam_size=5, nbest=2), sources_of()),
        [of_sentence[:2] for of_sentence in everything],
    )


@pytest.mark.parametrize("changes", [{"diverse_groups": 2}, {"sampling": True}, {"beam_size": 30, "min_len": 0}])
def test_hypotheses_end_once_and_are_unique(changes):
    model, _ = make_fairseq_model(seed=2)
    settings = with_all(SearchSettings(**{"beam_size": 6, "max_len_b": 17, **changes}))
    for hypotheses in search([model], settings, sources_of()):
        assert all(hypothesis.tokens.index(2) == len(hypothesis.tokens) - 1 for hypothesis in hypotheses)
        assert settings.sampling or len({tuple(h.tokens) for h in hypotheses}) == len(hypotheses)


def test_ensemble_equals_fairseq():
    models, tasks = zip(*(make_fairseq_model(seed=seed) for seed in (1, 2, 3)), strict=True)
    for changes in ({}, {"temperature": 1.7}):
        settings = with_all(SearchSettings(max_len_b=17, **changes))
        assert_same(search(models, settings, sources_of()), fairseq_search(models, tasks[0], settings, sources_of()))


@pytest.mark.parametrize("min_len", [1, 9])
def test_prefixes_equal_fairseq(min_len):
    model, task = make_fairseq_model()
    prefixes = [(5, 6, 7), (), (9,), (30, 29, 28, 27, 26), (4, 4)]
    settings = with_all(SearchSettings(max_len_b=17, min_len=min_len))
    sources = [Source(s.tokens, prefix) for s, prefix in zip(sources_of(), prefixes, strict=True)]
    hypotheses = search([model], settings, sources)
    for of_sentence, prefix in zip(hypotheses, prefixes, strict=True):
        assert all(tuple(h.tokens[: len(prefix)]) == prefix for h in of_sentence)
    for number, source in enumerate(sources):  # alone: in fairseq a neighbour's longer prefix lifts the minimum length
        assert_same([hypotheses[number]], fairseq_search([model], task, settings, [source]))


def test_prefix_is_truncated_at_maximum_length():
    model, task = make_fairseq_model()
    settings = with_all(SearchSettings(max_len_b=3))
    sources = [Source(s.tokens, (8, 9, 10, 11, 12)) for s in sources_of([5])]
    assert_same(search([model], settings, sources), fairseq_search([model], task, settings, sources))


CONSTRAINTS: dict[str, list[Any]] = {
    "one token": [[(9,)], [], [(22,)], [(4,)], [(30,)]],
    "phrases": [[(9, 10)], [(5, 6, 7), (8,)], [(22, 21), (11, 12)], [], [(30,), (29,)]],
    "shared tokens": [[(9, 10), (9, 11)], [(9, 9)], [(12, 12, 13), (12, 12)], [(7,), (7,)], [(8, 9), (8, 9)]],
}


@pytest.mark.parametrize("order", ["ordered", "unordered"])
@pytest.mark.parametrize("name", CONSTRAINTS)
@pytest.mark.parametrize("seed", [1, 2])
def test_constraints_equal_fairseq(name, order, seed):
    model, task = make_fairseq_model(seed=seed)
    settings = with_all(SearchSettings(beam_size=6, max_len_b=20, constraint_order=order))
    sources = [Source(s.tokens, constraints=c) for s, c in zip(sources_of(), CONSTRAINTS[name], strict=True)]
    hypotheses = search([model], settings, sources)
    expected = fairseq_search([model], task, settings, sources)
    # At the maximum length fairseq loses hypotheses to candidates with zero probability.
    assert_same([ours_[: len(theirs)] for ours_, theirs in zip(hypotheses, expected, strict=True)], expected)
    for of_sentence, source, theirs in zip(hypotheses, sources, expected, strict=True):
        assert all(len(hypothesis.tokens) == 21 for hypothesis in of_sentence[len(theirs) :])
        for hypothesis in of_sentence:
            text = " ".join(map(str, hypothesis.tokens))
            assert all(" ".join(map(str, constraint)) in text for constraint in source.constraints)


def test_constraints_longer_than_maximum_length():
    model, _ = make_fairseq_model()
    sources = [Source(s.tokens, constraints=[(5, 6, 7, 8, 9)]) for s in sources_of([5, 3])]
    hypotheses = search([model], SearchSettings(max_len_b=3), sources)
    assert all(len(of_sentence) == 1 and of_sentence[0].tokens[-1] == 2 for of_sentence in hypotheses)


SAMPLING = [{}, {"sampling_topk": 5}, {"sampling_topp": 0.6}, {"temperature": 2.0}, {"sampling_topp": 1.0}]


@pytest.mark.parametrize("changes", SAMPLING)
def test_sampling_equals_fairseq_with_the_same_seed(changes):
    model, task = make_fairseq_model()
    settings = with_all(SearchSettings(sampling=True, max_len_b=17, seed=41, **changes))
    sources = [Source(s.tokens, seed=number) for number, s in enumerate(sources_of())]
    hypotheses = search([model], settings, sources)
    for number, source in enumerate(sources):
        torch.manual_seed(41 + number)
        assert_same([hypotheses[number]], fairseq_search([model], task, settings, [source]))


ALONE = [{}, {"sampling": True}, {"sampling": True, "sampling_topp": 0.6}, {"diverse_groups": 2}, {"max_len_a": 1.3}]


@pytest.mark.parametrize("changes", ALONE)
def test_batch_invariance(changes):
    model, _ = make_fairseq_model()
    settings = with_all(SearchSettings(**{"max_len_b": 17, **changes}))
    sources = [Source(s.tokens, seed=number) for number, s in enumerate(sources_of([7, 3, 11, 2, 5, 3, 13]))]
    together = search([model], settings, sources)
    assert_same(search([model], settings, sources[::-1])[::-1], together)
    for source, of_sentence in zip(sources, together, strict=True):
        assert_same(search([model], settings, [source]), [of_sentence])


def test_no_repeated_unigram():
    model, _ = make_fairseq_model()
    for of_sentence in search([model], SearchSettings(no_repeat_ngram=1, nbest=4, min_len=5), sources_of()):
        assert all(len(set(h.tokens)) == len(h.tokens) for h in of_sentence)


def test_search_ends_when_all_tokens_are_masked():
    model, _ = make_fairseq_model(vocab_size=7)
    settings = SearchSettings(beam_size=2, no_repeat_ngram=1, min_len=30)
    sources = [Source([4, 5, 2]), Source([6, 2])]
    assert all(len(h) == 1 and h[0].tokens[-1] == 2 for h in search([model], settings, sources))


def test_nan_is_refused():
    model, _ = make_fairseq_model()
    with torch.no_grad():
        model.decoder.core.output.weight.fill_(math.nan)
    with pytest.raises(ResMLPError, match="training has diverged"):
        search([model], SearchSettings(), sources_of())


def test_minimum_above_maximum_length_is_refused():
    model, _ = make_fairseq_model()
    with pytest.raises(ResMLPError, match="min_len 5 is greater than the maximum length 3"):
        search([model], SearchSettings(min_len=5, max_len_b=3), sources_of())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"beam_size": 0}, "beam_size must be a whole number from 1 to 10000, but is 0"),
        ({"beam_size": 2.5}, "beam_size must be a whole number from 1 to 10000, but is 2.5"),
        ({"beam_size": 100_000}, "beam_size must be a whole number from 1 to 10000"),
        ({"nbest": True}, "nbest must be a whole number"),
        ({"min_len": -1}, "min_len must be a whole number"),
        ({"max_len_b": "20"}, "max_len_b must be a whole number.*'20'"),
        ({"max_len_a": math.inf}, "max_len_a must be a number from 0 to 1000, but is inf"),
        ({"no_repeat_ngram": -1}, "no_repeat_ngram must be a whole number"),
        ({"length_penalty": 1e308}, "length_penalty must be a number from -10 to 10, but is 1e.308"),
        ({"length_penalty": math.nan}, "length_penalty must be a number from -10 to 10, but is nan"),
        ({"unknown_penalty": -math.inf}, "unknown_penalty must be a number"),
        ({"seed": 2**63}, "seed must be a whole number from 0 to 9223372036854775807"),
        ({"sampling": 1}, "sampling must be true or false, but is 1"),
        ({"sampling": True, "sampling_topk": 2.0}, "sampling_topk must be a whole number"),
        ({"sampling": True, "sampling_topp": math.nan}, "sampling_topp must be a number from 0 to 1"),
        ({"diverse_groups": 1.5}, "diverse_groups must be a whole number"),
        ({"diverse_strength": math.inf}, "diverse_strength must be a number"),
        ({"sibling_penalty": math.nan}, "sibling_penalty must be a number"),
        ({"nbest": 9}, "nbest 9 is greater than beam_size 4"),
        ({"temperature": 0.0}, "temperature must be a number from 0.001 to 1000, but is 0.0"),
        ({"sampling_topk": 3}, "sampling_topk requires sampling"),
        ({"diverse_groups": 3}, "beam_size 4 is not divisible by diverse_groups 3"),
        ({"diverse_groups": 2, "sampling": True}, "sampling and diverse_groups cannot be combined"),
        ({"constraint_order": "any"}, "constraint_order must be one of ordered, unordered"),
    ],
)
def test_invalid_options_are_refused(changes, message):
    with pytest.raises(ResMLPError, match=message):
        SearchSettings(**changes)


def test_decoder_state_grows_to_beam_size():
    model, _ = make_fairseq_model()
    decoder = model.decoder.core
    tokens = pad(sentences([5, 3]))
    memory = model.encoder.core(tokens, tokens.eq(PAD))
    grown = decoder.start(memory, torch.arange(2), most_rows=6)
    full = decoder.start(memory, torch.arange(2).repeat_interleave(3))
    rows = torch.arange(2).repeat_interleave(3)
    for step in range(18):  # more steps than the first capacity of the state
        newest = torch.arange(6) + 4 + step % 3
        if step == 0:
            newest = torch.full((6,), 2)
            expected = decoder.step(newest, full)[0]
            logits = decoder.step(newest[:2], grown)[0][rows]
            grown.reorder(rows)
        else:
            expected, logits = decoder.step(newest, full)[0], decoder.step(newest, grown)[0]
        torch.testing.assert_close(logits, expected, atol=1e-5, rtol=1e-5)
        for state in (full, grown):
            state.reorder(torch.tensor([2, 0, 0, 4, 5, 3]))
