"""Selectors and logits processors: one step, without a model."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from resmlp_mt.common.errors import ResMLPError
from resmlp_mt.translation.search.build import build_selector
from resmlp_mt.translation.search.logits_processors import build_logits_processors
from resmlp_mt.translation.search.selectors import topk_of_rows
from resmlp_mt.translation.search.settings import SearchSettings
from resmlp_mt.translation.search.step import SearchStep
from resmlp_mt.translation.special_tokens import SPECIAL_TOKENS

PADDING, END, UNKNOWN = SPECIAL_TOKENS
CPU = torch.device("cpu")
SENTENCES, BEAMS, VOCAB_SIZE = 5, 6, 31
KINDS = {
    "beam": {},
    "siblings": {"sibling_penalty": 0.7},
    "diverse": {"diverse_groups": 3},
    "sampling": {"sampling": True, "sampling_topp": 0.8},
    "constraints": {},
}


def make_selector(kind: str):
    constraints = [[(4 + s, 9)] if kind == "constraints" else () for s in range(SENTENCES)]
    settings = SearchSettings(beam_size=BEAMS, **KINDS[kind])
    return build_selector(settings, BEAMS, constraints, range(SENTENCES), END, CPU)


def random_log_probs(beams: int, seed: int = 1) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    log_probs = torch.randn(SENTENCES, beams, VOCAB_SIZE, generator=generator).log_softmax(-1)
    log_probs[..., PADDING] = -math.inf
    return log_probs


def take_first_step(selector) -> torch.Tensor:
    """Takes a step with all sentences; returns the scores of the beams, (sentences, beams)."""
    step = SearchStep(0, range(SENTENCES))
    candidates = selector.select(random_log_probs(1), torch.zeros(SENTENCES, 1), step)
    chosen = torch.arange(BEAMS).expand(SENTENCES, -1)
    selector.reorder(chosen, step.sentences)
    return candidates.scores.gather(1, chosen)


@pytest.mark.parametrize("kind", KINDS)
def test_candidates_are_continuations(kind):
    selector = make_selector(kind)
    scores = take_first_step(selector)
    log_probs = random_log_probs(BEAMS, 2)
    original = log_probs.clone()
    candidates = selector.select(log_probs, scores, SearchStep(1, range(SENTENCES)))
    assert candidates.scores.shape == candidates.tokens.shape == candidates.beams.shape
    assert candidates.scores.size(1) >= BEAMS
    finite = candidates.scores.isfinite()
    assert not candidates.tokens[finite].eq(PADDING).any()
    if kind in ("beam", "constraints"):  # no penalties, and the whole distribution
        rows = torch.arange(SENTENCES)[:, None]
        totals = (original + scores[..., None])[rows, candidates.beams, candidates.tokens]
        torch.testing.assert_close(candidates.scores[finite], totals[finite], rtol=0, atol=0)


@pytest.mark.parametrize("kind", KINDS)
def test_finished_sentences_do_not_affect_others(kind):
    whole, pruned = make_selector(kind), make_selector(kind)
    scores = take_first_step(whole)
    take_first_step(pruned)
    kept = [4, 1, 2]
    for index in (1, 2):
        log_probs = random_log_probs(BEAMS, index)
        of_kept = pruned.select(log_probs[kept], scores[kept], SearchStep(index, kept))
        of_all = whole.select(log_probs, scores, SearchStep(index, range(SENTENCES)))
        for field, of_field in zip(of_kept, of_all, strict=True):
            assert torch.equal(field, of_field[kept])
        chosen = torch.arange(BEAMS - 1, -1, -1).expand(SENTENCES, -1)
        pruned.reorder(chosen[kept], kept)
        whole.reorder(chosen, range(SENTENCES))


def test_constraints_with_sampling_are_refused():
    settings = SearchSettings(beam_size=BEAMS, sampling=True)
    with pytest.raises(ResMLPError, match="cannot be combined with sampling; leave one of them out"):
        build_selector(settings, BEAMS, [[(5,)]], [0], END, CPU)


def test_unmet_constraints_mask_eos_before_the_limit():
    for at_limit, ends in (((), False), ((0,), True)):
        log_probs = random_log_probs(1)[:1]
        make_selector("constraints").select(log_probs, torch.zeros(1, 1), SearchStep(0, [0], at_limit))
        assert bool(log_probs[0, 0, END].isfinite()) is ends


@given(seed=st.integers(0, 10_000), width=st.sampled_from([7, 640, 641, 1_999]), count=st.integers(1, 7))
def test_topk_of_rows_equals_topk(seed, width, count):
    values = torch.rand(3, width, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    for result, expected in zip(topk_of_rows(values, count), values.topk(count, dim=1), strict=True):
        assert torch.equal(result, expected)


def process(settings: SearchSettings, step: SearchStep, tokens: torch.Tensor | None = None, prefixes=((), ())):
    """Log-probabilities after processing, for two sentences of three beams: (2, 3, vocab_size)."""
    log_probs = torch.zeros(2, 3, VOCAB_SIZE)
    if tokens is None:
        tokens = torch.full((2, 3, step.index + 1), END)
    for processor in build_logits_processors(settings, SPECIAL_TOKENS, prefixes):
        processor.process(log_probs, tokens, step)
    return log_probs


def test_padding_is_masked_and_unknown_penalised():
    log_probs = process(SearchSettings(unknown_penalty=2.5), SearchStep(1, [0, 1]))
    assert (log_probs[..., PADDING] == -math.inf).all()
    assert (log_probs[..., UNKNOWN] == -2.5).all()
    assert (log_probs == 0).sum() == 2 * 3 * (VOCAB_SIZE - 2)


def test_min_and_max_length():
    settings = SearchSettings(min_len=2)
    assert (process(settings, SearchStep(1, [0, 1]))[..., END] == -math.inf).all()
    log_probs = process(settings, SearchStep(2, [0, 1], at_limit=[1]))
    assert (log_probs[0] == 0).sum() == 3 * (VOCAB_SIZE - 1)
    assert (log_probs[1] == 0).sum() == 3
    assert (log_probs[..., END] == 0).all()


def test_prefix_is_forced_before_the_limit():
    settings, prefixes = SearchSettings(min_len=0), [(9, 8, 7), (), (5,), (6, 4)]
    log_probs = process(settings, SearchStep(0, [3, 1]), prefixes=prefixes)
    assert [(beam == 0).nonzero().flatten().tolist() for beam in log_probs[0]] == [[6]] * 3
    assert (log_probs[1] == 0).sum() == 3 * (VOCAB_SIZE - 1)
    log_probs = process(settings, SearchStep(1, [2, 0], at_limit=[1]), prefixes=prefixes)
    assert (log_probs[0] == 0).sum() == 3 * (VOCAB_SIZE - 1)
    assert [(beam == 0).nonzero().flatten().tolist() for beam in log_probs[1]] == [[END]] * 3


def test_no_repeated_ngram():
    tokens = torch.tensor([[END, 7, 8, 7], [END, 7, 7, 7], [END, END, 5, END]]).expand(2, 3, 4)
    log_probs = process(SearchSettings(no_repeat_ngram=2), SearchStep(3, [0, 1]), tokens)
    masked = [set((beam == -math.inf).nonzero().flatten().tolist()) - {PADDING} for beam in log_probs[0]]
    assert masked == [{8}, {7}, {5}]
