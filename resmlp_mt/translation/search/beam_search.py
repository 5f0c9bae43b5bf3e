"""Batched beam search over a `StepModel`: hypotheses, order and scores are those of fairseq's search."""

from __future__ import annotations

import itertools
import math
import threading
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from resmlp_mt.common.errors import ResMLPError, require
from resmlp_mt.translation.engine.step_model import StepModel
from resmlp_mt.translation.engine.workers import StoppedError
from resmlp_mt.translation.search.constrained import ConstrainedSelector
from resmlp_mt.translation.search.constraints import Constraints
from resmlp_mt.translation.search.diverse import DiverseSelector
from resmlp_mt.translation.search.logits_processors import Rules
from resmlp_mt.translation.search.sampling import SamplingSelector
from resmlp_mt.translation.search.selectors import BestSelector, Candidates, Selector, SiblingSelector
from resmlp_mt.translation.search.settings import SearchSettings
from resmlp_mt.translation.special_tokens import SPECIAL_TOKENS, SpecialTokens


@dataclass(frozen=True)
class Hypothesis:
    """A translation in sub-words.

    Attributes:
        tokens: target tokens, the end of the sentence included.
        score: sum of the log-probabilities (natural), divided by the length to the power of the length penalty.
        token_scores: log-probability of each token.
    """

    tokens: list[int]
    score: float
    token_scores: list[float]


@dataclass(frozen=True)
class Source:
    """A sentence to translate.

    Attributes:
        tokens: source tokens, the end of the sentence included.
        prefix: target tokens with which the translation must begin.
        constraints: sequences of target tokens that it must contain.
        seed: of its sampling, added to that of the settings.
    """

    tokens: Sequence[int]
    prefix: Sequence[int] = ()
    constraints: Constraints = ()
    seed: int = 0


def pad_batch(rows: Sequence[Sequence[int]], padding: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Pads token sequences at the right: tokens (batch, len), and a mask that is True at padding, (batch, len)."""
    width = max(map(len, rows))
    tokens = torch.tensor([[*row, *[padding] * (width - len(row))] for row in rows], device=device)
    lengths = torch.tensor([len(row) for row in rows], device=device)
    return tokens, torch.arange(width, device=device) >= lengths[:, None]


class BeamSearch:
    """Searches translations of batches of sentences.

    Keys and values of a source exist once, whatever the beam; finished sentences leave the batch.

    Args:
        models: one model, or several of the same vocabularies whose probabilities are averaged.
        settings: the options.
        special_tokens: tokens with a meaning.
    """

    def __init__(
        self, models: Sequence[StepModel], settings: SearchSettings, special_tokens: SpecialTokens = SPECIAL_TOKENS
    ) -> None:
        self._models, self._settings, self._special_tokens = models, settings, special_tokens
        sizes = {model.vocab_size for model in models}
        require(
            len(sizes) == 1, "the vocabularies of an ensemble", "equal", f"of {sorted(sizes)} tokens", "leave one out"
        )
        self._beam_size = min(settings.beam_size, models[0].vocab_size - 1)
        self._max_len = min(model.max_target_len for model in models) - 1

    @torch.inference_mode()
    def search(self, sources: Sequence[Source], stop: threading.Event | None = None) -> list[list[Hypothesis]]:
        """Translates a batch.

        Args:
            sources: the sentences, at least one.
            stop: ends the search when it is set.

        Returns:
            Of every sentence its best hypotheses, best first: at most `nbest`, at least one.

        Raises:
            ResMLPError: if a source is longer than the model, `min_len` is above the maximal length, or the model gives
                no numbers.
            StoppedError: when `stop` is set.
        """
        return _Run(
            self._models, self._settings, self._special_tokens, self._beam_size, self._limits(sources), sources
        ).finish(stop)

    def _limits(self, sources: Sequence[Source]) -> list[int]:
        settings = self._settings
        lengths = [int(settings.max_len_a * len(source.tokens) + settings.max_len_b) for source in sources]
        limits = [min(length, self._max_len) for length in lengths]
        require(
            settings.min_len <= min(limits),
            "min_len",
            f"at most the maximal length {min(limits)}",
            settings.min_len,
            "lower it",
        )
        return limits


class _Run:
    """The search of one batch.

    Rows are the beams of all sentences that are not finished, those of a sentence side by side. In the first step,
    where they would not differ, each sentence has one.
    """

    def __init__(
        self,
        models: Sequence[StepModel],
        settings: SearchSettings,
        special_tokens: SpecialTokens,
        beam_size: int,
        limits: Sequence[int],
        sources: Sequence[Source],
    ) -> None:
        self._models, self._settings, self._special_tokens, self._beam_size = (
            models,
            settings,
            special_tokens,
            beam_size,
        )
        self._device = models[0].device
        tokens, padding_mask = pad_batch([source.tokens for source in sources], special_tokens.padding, self._device)
        self._states = [model.start(tokens, padding_mask, beam_size) for model in models]
        self._rules = Rules(settings, special_tokens, limits, [source.prefix for source in sources])
        self._selector = self._make_selector(sources)
        self._sentences = list(range(len(sources)))  # in the batch as it is now -> in the batch as it was given
        self._found: list[list[Hypothesis]] = [[] for _ in sources]
        # Of each row: the tokens, begun by the end of a sentence as fairseq does it, and the scores after each.
        self._tokens = torch.full((len(sources), 1), special_tokens.end, device=self._device)
        self._scores = torch.zeros(len(sources), 1, device=self._device)
        # Where in the rows the beams of each sentence begin, (sentences, 1).
        self._first_rows = torch.arange(len(sources), device=self._device)[:, None]

    def _make_selector(self, sources: Sequence[Source]) -> Selector:
        settings = self._settings
        constraints = [source.constraints for source in sources]
        if any(constraints):
            kinds = settings.sampling or settings.diverse_groups or settings.sibling_penalty
            require(
                not kinds, "a search with constraints", "a plain beam search", "another", "leave the other options out"
            )
            return ConstrainedSelector(
                constraints, settings.constraint_order, self._beam_size, self._special_tokens.end
            )
        if settings.sampling:
            seeds = [settings.seed + source.seed for source in sources]
            return SamplingSelector(settings, self._beam_size, seeds, self._device)
        if settings.diverse_groups:
            group_size = self._beam_size // settings.diverse_groups
            return DiverseSelector(settings.diverse_groups, group_size, settings.diverse_strength)
        if settings.sibling_penalty:
            return SiblingSelector(self._beam_size, settings.sibling_penalty)
        return BestSelector(self._beam_size)

    def finish(self, stop: threading.Event | None) -> list[list[Hypothesis]]:
        """Takes steps until every sentence is finished."""
        for step in itertools.count():
            if stop is not None and stop.is_set():
                raise StoppedError
            candidates = self._candidates(step)
            ends = candidates.tokens.eq(self._special_tokens.end) & candidates.scores.isfinite()
            finished = self._collect(candidates, ends, step)
            if len(finished) == len(self._sentences):
                break
            if finished:
                candidates, ends = self._leave(finished, candidates, ends)
            self._go_on(candidates, ends)
        nbest = self._settings.nbest
        return [sorted(found, key=lambda hypothesis: -hypothesis.score)[:nbest] for found in self._found]

    def _candidates(self, step: int) -> Candidates:
        """Asks the models for the next tokens of all rows."""
        newest = self._tokens[:, -1]
        logits = [model.step(newest, state) for model, state in zip(self._models, self._states, strict=True)]
        log_probs = self._average(logits)
        log_probs = log_probs.view(len(self._sentences), -1, log_probs.size(1))
        self._rules.apply(log_probs, self._tokens.view(*log_probs.shape[:2], -1), step)
        if isinstance(self._selector, ConstrainedSelector):
            self._selector.forbid_early_end(log_probs, self._rules.at_limit(step))
        return self._selector.select(log_probs, self._scores[:, -1].view(log_probs.shape[:2]))

    def _average(self, logits: Sequence[Tensor]) -> Tensor:
        """The log-probabilities of one model, or of the mean of the probabilities of several: (rows, vocab_size)."""
        if self._settings.temperature != 1.0:
            logits = [of_model / self._settings.temperature for of_model in logits]
        log_probs = [of_model.log_softmax(1, dtype=torch.float32) for of_model in logits]
        if len(log_probs) == 1:
            return log_probs[0]
        return torch.stack(log_probs).logsumexp(0) - math.log(len(log_probs))

    def _collect(self, candidates: Candidates, ends: Tensor, step: int) -> list[int]:
        """Notes the hypotheses that end in this step. Returns the sentences that are finished with it.

        An end counts if it is among the best `beam_size` candidates. A sentence is finished when it has `beam_size`
        hypotheses, is as long as may be, or has no beam left to go on with.
        """
        alive = candidates.scores.isfinite() & ~ends
        counted = ends[:, : self._beam_size]
        stuck = ~alive.any(1)
        last = self._rules.at_limit(step)
        if not (last or bool((counted.any(1) | stuck).any())):
            return []
        self._note_hypotheses(candidates, counted.nonzero())
        done = {number for number, is_stuck in enumerate(stuck.tolist()) if is_stuck} | set(last)
        for number, sentence in enumerate(self._sentences):
            if number in done and not self._found[sentence]:
                self._give_up(number, candidates)
            elif len(self._found[sentence]) == self._beam_size:
                done.add(number)
        return sorted(done)

    def _note_hypotheses(self, candidates: Candidates, places: Tensor) -> None:
        """Notes the candidates at `places`, (hypotheses, 2) of sentence and candidate, as hypotheses."""
        numbers, columns = places.unbind(1)
        rows = self._first_rows[numbers, 0] + candidates.beams[numbers, columns]
        totals = torch.cat([self._scores[rows], candidates.scores[numbers, columns, None]], dim=1)
        for number, tokens, sums in zip(numbers.tolist(), self._tokens[rows].tolist(), totals.tolist(), strict=True):
            found = self._found[self._sentences[number]]
            if len(found) < self._beam_size:
                found.append(self._hypothesis(tokens, sums))

    def _hypothesis(self, tokens: list[int], sums: list[float]) -> Hypothesis:
        """Makes a hypothesis of a row, whose first token is the starting one, and of the score after each token."""
        length = len(sums) - 1
        scores = [after - before for before, after in itertools.pairwise(sums)]
        return Hypothesis(
            [*tokens[1:], self._special_tokens.end], sums[-1] / length**self._settings.length_penalty, scores
        )

    def _give_up(self, number: int, candidates: Candidates) -> None:
        """Ends the first beam of a sentence where the rules leave it nothing to go on with."""
        if bool(candidates.scores[number].isnan().any()):
            raise ResMLPError(
                "the model must give numbers, but gives NaN; its training has diverged: use an earlier checkpoint"
            )
        row = int(self._first_rows[number])
        sums = self._scores[row].tolist()
        hypothesis = self._hypothesis(self._tokens[row].tolist(), [*sums, sums[-1]])
        self._found[self._sentences[number]].append(hypothesis)

    def _leave(self, finished: list[int], candidates: Candidates, ends: Tensor) -> tuple[Candidates, Tensor]:
        """Takes finished sentences out of the batch. The rows still stand where they stood: `_go_on` moves them."""
        kept = [number for number in range(len(self._sentences)) if number not in set(finished)]
        index = torch.tensor(kept, device=self._device)
        self._sentences = [self._sentences[number] for number in kept]
        self._rules.keep_sentences(kept)
        self._selector.keep_sentences(index)
        self._first_rows = self._first_rows[index]
        return Candidates(*(field[index] for field in candidates)), ends[index]

    def _go_on(self, candidates: Candidates, ends: Tensor) -> None:
        """Chooses for every beam the best candidate that does not end, and moves the beams' memories accordingly."""
        chosen = ends.byte().argsort(dim=1, stable=True)[:, : self._beam_size]
        # Where too few candidates go on, ended ones fill the beam, but nothing that follows them counts.
        candidates.scores.masked_fill_(ends, -math.inf)
        self._selector.keep_candidates(chosen)
        origins = (self._first_rows + candidates.beams.gather(1, chosen)).flatten()
        tokens, scores = (column.gather(1, chosen).view(-1, 1) for column in (candidates.tokens, candidates.scores))
        self._tokens = torch.cat([self._tokens.index_select(0, origins), tokens], dim=1)
        self._scores = torch.cat([self._scores.index_select(0, origins), scores], dim=1)
        for state in self._states:
            state.reorder(origins)
        self._first_rows = torch.arange(0, len(origins), self._beam_size, device=self._device)[:, None]
