"""Batched beam search over a `StepModel`. Hypotheses, their order and scores equal those of fairseq's search."""

from __future__ import annotations

import itertools
import math
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from resmlp_mt.common.errors import ResMLPError
from resmlp_mt.translation.engine.step_model import StepModel
from resmlp_mt.translation.engine.workers import StoppedError
from resmlp_mt.translation.search.build import build_selector
from resmlp_mt.translation.search.constraints import Constraints
from resmlp_mt.translation.search.logits_processors import build_logits_processors
from resmlp_mt.translation.search.selectors import Candidates
from resmlp_mt.translation.search.settings import SearchSettings
from resmlp_mt.translation.search.step import SearchStep
from resmlp_mt.translation.special_tokens import SPECIAL_TOKENS, SpecialTokens


@dataclass(frozen=True)
class Hypothesis:
    """A translation as target tokens.

    Attributes:
        tokens: target tokens, including the end of the sentence.
        score: sum of the log-probabilities (natural logarithm), divided by length ** length_penalty.
        token_scores: log-probability of each token.
    """

    tokens: list[int]
    score: float
    token_scores: list[float]


@dataclass(frozen=True)
class Source:
    """A sentence to translate.

    Attributes:
        tokens: source tokens, including the end of the sentence.
        prefix: target tokens that the translation must begin with.
        constraints: sequences of target tokens that the translation must contain.
        seed: for sampling; added to the seed of the settings.
    """

    tokens: Sequence[int]
    prefix: Sequence[int] = ()
    constraints: Constraints = ()
    seed: int = 0


def pad_batch(rows: Sequence[Sequence[int]], padding: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Pads token sequences on the right.

    Returns:
        Tokens, (batch, len), and a mask that is True at padding, (batch, len).
    """
    max_len = max(map(len, rows))
    tokens = torch.tensor([[*row, *[padding] * (max_len - len(row))] for row in rows], device=device)
    lengths = torch.tensor([len(row) for row in rows], device=device)
    return tokens, torch.arange(max_len, device=device) >= lengths[:, None]


class BeamSearch:
    """Translates batches of sentences.

    Keys and values are computed once per source sentence, whatever the beam size. Finished sentences leave the batch.

    Args:
        models: one model, or an ensemble with one vocabulary, whose probabilities are averaged.
        settings: the search options.
        special_tokens: of the target vocabulary.

    Raises:
        ResMLPError: if the models' vocabularies differ in size.
    """

    def __init__(
        self,
        models: Sequence[StepModel[Any]],
        settings: SearchSettings,
        special_tokens: SpecialTokens = SPECIAL_TOKENS,
    ) -> None:
        self._models, self._settings, self._special_tokens = models, settings, special_tokens
        sizes = sorted({model.vocab_size for model in models})
        if len(sizes) > 1:
            raise ResMLPError(
                f"the models of an ensemble must share one vocabulary, but theirs have {sizes} tokens; leave one out"
            )
        self._beam_size = min(settings.beam_size, models[0].vocab_size - 1)
        self._max_len = min(model.max_target_len for model in models) - 1

    @torch.inference_mode()
    def search(self, sources: Sequence[Source], stop: threading.Event | None = None) -> list[list[Hypothesis]]:
        """Translates a batch.

        Args:
            sources: the sentences, at least one.
            stop: stops the search when it is set.

        Returns:
            For each sentence its best hypotheses, best first: at least one, at most `nbest`.

        Raises:
            ResMLPError: if a source is longer than the model supports, `min_len` is greater than the maximum length, or
                the model returns NaN.
            StoppedError: if `stop` is set.
        """
        max_lens = find_max_lens(sources, self._settings, self._max_len)
        return _BatchSearch(self._models, self._settings, self._special_tokens, self._beam_size, max_lens, sources).run(
            stop
        )


def find_max_lens(sources: Sequence[Source], settings: SearchSettings, limit: int) -> list[int]:
    """The maximum target length of each sentence, without the end of the sentence.

    Args:
        sources: the sentences.
        settings: the search options.
        limit: that of the model.

    Raises:
        ResMLPError: if `min_len` is greater than one of them.
    """
    max_lens = [min(int(settings.max_len_a * len(source.tokens) + settings.max_len_b), limit) for source in sources]
    if settings.min_len > min(max_lens):
        raise ResMLPError(
            f"min_len {settings.min_len} is greater than the maximum length {min(max_lens)} of a translation; "
            "lower min_len, or raise max_len_a or max_len_b"
        )
    return max_lens


class _BatchSearch:
    """The search of one batch.

    The rows are the beams of all sentences that are not finished yet; those of a sentence are adjacent. In the first
    step, where they would all be equal, each sentence has one row.
    """

    def __init__(
        self,
        models: Sequence[StepModel[Any]],
        settings: SearchSettings,
        special_tokens: SpecialTokens,
        beam_size: int,
        max_lens: Sequence[int],
        sources: Sequence[Source],
    ) -> None:
        self._models, self._settings, self._beam_size, self._max_lens = models, settings, beam_size, max_lens
        self._end = special_tokens.end
        self._device = models[0].device
        tokens, padding_mask = pad_batch([source.tokens for source in sources], special_tokens.padding, self._device)
        self._states = [model.start(tokens, padding_mask, beam_size) for model in models]
        self._processors = build_logits_processors(settings, special_tokens, [source.prefix for source in sources])
        constraints, seeds = [source.constraints for source in sources], [source.seed for source in sources]
        self._selector = build_selector(settings, beam_size, constraints, seeds, self._end, self._device)
        self._hypotheses: list[list[Hypothesis]] = [[] for _ in sources]
        # For each sentence still in the batch: its index in the original batch, and its first row, (sentences, 1).
        # `current` below is an index into these.
        self._sentences = list(range(len(sources)))
        self._first_rows = torch.arange(len(sources), device=self._device)[:, None]
        # For each row: its tokens, after an initial end-of-sentence token as in fairseq, and its score after each.
        self._tokens = torch.full((len(sources), 1), self._end, device=self._device)
        self._scores = torch.zeros(len(sources), 1, device=self._device)

    def run(self, stop: threading.Event | None) -> list[list[Hypothesis]]:
        """Takes steps until every sentence is finished."""
        for index in itertools.count():
            if stop is not None and stop.is_set():
                raise StoppedError
            at_limit = [current for current, s in enumerate(self._sentences) if index >= self._max_lens[s]]
            step = SearchStep(index, self._sentences, at_limit)
            candidates = self._select_candidates(step)
            is_end = candidates.tokens.eq(self._end) & candidates.scores.isfinite()
            finished = self._collect_hypotheses(candidates, is_end, step)
            if len(finished) == len(self._sentences):
                break
            if finished:
                candidates, is_end = self._drop_finished(finished, candidates, is_end)
            self._advance(candidates, is_end)
        nbest = self._settings.nbest
        return [sorted(of_sentence, key=lambda h: -h.score)[:nbest] for of_sentence in self._hypotheses]

    def _select_candidates(self, step: SearchStep) -> Candidates:
        """Computes the next log-probabilities of all rows and selects the candidates of each sentence."""
        newest = self._tokens[:, -1]
        logits = [model.step(newest, state) for model, state in zip(self._models, self._states, strict=True)]
        log_probs = self._average(logits)
        log_probs = log_probs.view(len(self._sentences), -1, log_probs.size(1))  # (sentences, beams, vocab_size)
        tokens = self._tokens.view(*log_probs.shape[:2], -1)
        for processor in self._processors:
            processor.process(log_probs, tokens, step)
        return self._selector.select(log_probs, self._scores[:, -1].view(log_probs.shape[:2]), step)

    def _average(self, logits: Sequence[Tensor]) -> Tensor:
        """Log-probabilities of one model, or of the mean probabilities of an ensemble: (rows, vocab_size)."""
        if self._settings.temperature != 1.0:
            logits = [of_model / self._settings.temperature for of_model in logits]
        log_probs = [of_model.log_softmax(1, dtype=torch.float32) for of_model in logits]
        if len(log_probs) == 1:
            return log_probs[0]
        return torch.stack(log_probs).logsumexp(0) - math.log(len(log_probs))

    def _collect_hypotheses(self, candidates: Candidates, is_end: Tensor, step: SearchStep) -> list[int]:
        """Adds the hypotheses that end in this step; returns the sentences that are finished, as current indices.

        A candidate that ends counts if it is among the best `beam_size` candidates. A sentence is finished when it has
        `beam_size` hypotheses, is at its maximum length, or has no candidate left to continue from.
        """
        counted = is_end[:, : self._beam_size]
        is_stuck = ~(candidates.scores.isfinite() & ~is_end).any(1)
        if not (step.at_limit or bool((counted.any(1) | is_stuck).any())):
            return []
        self._add_hypotheses(candidates, counted.nonzero())
        finished = {current for current, stuck in enumerate(is_stuck.tolist()) if stuck} | set(step.at_limit)
        for current, sentence in enumerate(self._sentences):
            if current in finished and not self._hypotheses[sentence]:
                self._end_best_beam(current, candidates)
            elif len(self._hypotheses[sentence]) == self._beam_size:
                finished.add(current)
        return sorted(finished)

    def _add_hypotheses(self, candidates: Candidates, ended: Tensor) -> None:
        """Adds candidates to the hypotheses of their sentences.

        Args:
            candidates: of this step.
            ended: current sentence and candidate of each that ends, (hypotheses, 2).
        """
        sentences, indices = ended.unbind(1)
        rows = self._first_rows[sentences, 0] + candidates.beams[sentences, indices]
        totals = torch.cat([self._scores[rows], candidates.scores[sentences, indices, None]], dim=1)
        for current, tokens, sums in zip(sentences.tolist(), self._tokens[rows].tolist(), totals.tolist(), strict=True):
            hypotheses = self._hypotheses[self._sentences[current]]
            if len(hypotheses) < self._beam_size:
                hypotheses.append(self._hypothesis(tokens, sums))

    def _hypothesis(self, tokens: list[int], sums: list[float]) -> Hypothesis:
        """A hypothesis from the tokens of a row, which begin with the initial one, and the score after each token."""
        length = len(sums) - 1
        scores = [after - before for before, after in itertools.pairwise(sums)]
        return Hypothesis([*tokens[1:], self._end], sums[-1] / length**self._settings.length_penalty, scores)

    def _end_best_beam(self, current: int, candidates: Candidates) -> None:
        """Ends the first beam of a sentence that has no hypothesis and no candidate to continue from."""
        if bool(candidates.scores[current].isnan().any()):
            raise ResMLPError("the model returns NaN, so its training has diverged; use an earlier checkpoint")
        row = int(self._first_rows[current])
        sums = self._scores[row].tolist()
        hypothesis = self._hypothesis(self._tokens[row].tolist(), [*sums, sums[-1]])
        self._hypotheses[self._sentences[current]].append(hypothesis)

    def _drop_finished(self, finished: list[int], candidates: Candidates, is_end: Tensor) -> tuple[Candidates, Tensor]:
        """Removes finished sentences from the batch. Their rows go when `_advance` reorders."""
        kept = [current for current in range(len(self._sentences)) if current not in set(finished)]
        index = torch.tensor(kept, device=self._device)
        self._sentences = [self._sentences[current] for current in kept]
        self._first_rows = self._first_rows[index]
        return Candidates(*(field[index] for field in candidates)), is_end[index]

    def _advance(self, candidates: Candidates, is_end: Tensor) -> None:
        """Continues every beam from the best candidates that do not end, and reorders all states accordingly."""
        chosen = is_end.byte().argsort(dim=1, stable=True)[:, : self._beam_size]
        # Where too few candidates continue, ended ones fill the beam; their score excludes all that follows.
        candidates.scores.masked_fill_(is_end, -math.inf)
        self._selector.reorder(chosen, self._sentences)
        backpointers = (self._first_rows + candidates.beams.gather(1, chosen)).flatten()
        tokens, scores = (field.gather(1, chosen).view(-1, 1) for field in (candidates.tokens, candidates.scores))
        self._tokens = torch.cat([self._tokens.index_select(0, backpointers), tokens], dim=1)
        self._scores = torch.cat([self._scores.index_select(0, backpointers), scores], dim=1)
        for state in self._states:
            state.reorder(backpointers)
        self._first_rows = torch.arange(0, len(backpointers), self._beam_size, device=self._device)[:, None]
