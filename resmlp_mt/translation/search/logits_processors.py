"""Logits processors: they mask or penalise next tokens, for lengths, prefixes and repetitions.

Each changes the log-probabilities in place and keeps no state between steps, so that sentences may leave the batch.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor

from resmlp_mt.translation.search.settings import SearchSettings
from resmlp_mt.translation.search.step import SearchStep
from resmlp_mt.translation.special_tokens import SpecialTokens


class LogitsProcessor(Protocol):
    """Changes the log-probabilities of the next tokens."""

    def process(self, log_probs: Tensor, tokens: Tensor, step: SearchStep, /) -> None:
        """Changes `log_probs` in place.

        Args:
            log_probs: of the next token, (sentences, beams, vocab_size).
            tokens: generated so far, after an initial end-of-sentence token, (sentences, beams, step.index + 1).
            step: the current step.
        """


class SuppressToken:
    """Masks a token in every step."""

    def __init__(self, token: int) -> None:
        self._token = token

    def process(self, log_probs: Tensor, _tokens: Tensor, _step: SearchStep) -> None:
        """See `LogitsProcessor`."""
        log_probs[..., self._token] = -math.inf


class PenaliseToken:
    """Subtracts a penalty from the log-probability of a token."""

    def __init__(self, token: int, penalty: float) -> None:
        self._token, self._penalty = token, penalty

    def process(self, log_probs: Tensor, _tokens: Tensor, _step: SearchStep) -> None:
        """See `LogitsProcessor`."""
        log_probs[..., self._token] -= self._penalty


class ForcePrefix:
    """Masks all tokens but the next one of a sentence's prefix, until the prefix or the sentence ends.

    Args:
        prefixes: for each sentence of the original batch, the tokens that it must begin with; may be empty.
    """

    def __init__(self, prefixes: Sequence[Sequence[int]]) -> None:
        self._prefixes = prefixes
        self._max_prefix_len = max(map(len, prefixes))

    def process(self, log_probs: Tensor, _tokens: Tensor, step: SearchStep) -> None:
        """See `LogitsProcessor`."""
        if step.index >= self._max_prefix_len:
            return
        next_tokens = {
            current: self._prefixes[sentence][step.index]
            for current, sentence in enumerate(step.sentences)
            if step.index < len(self._prefixes[sentence]) and current not in step.at_limit
        }
        _mask_all_but(log_probs, list(next_tokens), list(next_tokens.values()))


class MinLength:
    """Masks the end of the sentence before the minimum length."""

    def __init__(self, min_len: int, end: int) -> None:
        self._min_len, self._end = min_len, end

    def process(self, log_probs: Tensor, _tokens: Tensor, step: SearchStep) -> None:
        """See `LogitsProcessor`."""
        if step.index < self._min_len:
            log_probs[..., self._end] = -math.inf


class MaxLength:
    """Masks all tokens but the end of the sentence at the maximum length."""

    def __init__(self, end: int) -> None:
        self._end = end

    def process(self, log_probs: Tensor, _tokens: Tensor, step: SearchStep) -> None:
        """See `LogitsProcessor`."""
        _mask_all_but(log_probs, step.at_limit, [self._end] * len(step.at_limit))


class NoRepeatNgram:
    """Masks tokens that would repeat an n-gram of the hypothesis."""

    def __init__(self, size: int, end: int) -> None:
        self._size, self._end = size, end

    def process(self, log_probs: Tensor, tokens: Tensor, _step: SearchStep) -> None:
        """See `LogitsProcessor`."""
        if tokens.size(2) < self._size:
            return
        tokens, log_probs = tokens.flatten(0, 1), log_probs.flatten(0, 1)
        ngrams = tokens.unfold(1, self._size, 1)  # (rows, ngrams, size)
        newest = tokens[:, None, tokens.size(1) - self._size + 1 :]
        rows, positions = ngrams[..., :-1].eq(newest).all(2).nonzero(as_tuple=True)
        repeated = ngrams[rows, positions, -1]
        # Every hypothesis begins with an end-of-sentence token, which must be allowed to occur again.
        is_masked = repeated.ne(self._end)
        log_probs[rows[is_masked], repeated[is_masked]] = -math.inf


def build_logits_processors(
    settings: SearchSettings, special_tokens: SpecialTokens, prefixes: Sequence[Sequence[int]]
) -> list[LogitsProcessor]:
    """The logits processors of a search, in the order in which they apply.

    Args:
        settings: the search options.
        special_tokens: of the target vocabulary.
        prefixes: see `ForcePrefix`.
    """
    processors: list[LogitsProcessor] = [SuppressToken(special_tokens.padding)]
    if settings.unknown_penalty:
        processors.append(PenaliseToken(special_tokens.unknown, settings.unknown_penalty))
    if any(prefixes):
        processors.append(ForcePrefix(prefixes))
    processors += [MinLength(settings.min_len, special_tokens.end), MaxLength(special_tokens.end)]
    if settings.no_repeat_ngram:
        processors.append(NoRepeatNgram(settings.no_repeat_ngram, special_tokens.end))
    return processors


def _mask_all_but(log_probs: Tensor, sentences: Sequence[int], tokens: Sequence[int]) -> None:
    """Masks, for each of the given sentences, all tokens but the one given for it."""
    if not sentences:
        return
    rows = torch.tensor(sentences, device=log_probs.device)
    kept_tokens = torch.tensor(tokens, device=log_probs.device)
    kept = log_probs[rows, :, kept_tokens]
    log_probs[rows] = -math.inf
    log_probs[rows, :, kept_tokens] = kept
