"""What may follow a hypothesis: lengths, forced beginnings, repetitions. All change the log-probabilities in place."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from resmlp_mt.translation.search.settings import SearchSettings
from resmlp_mt.translation.special_tokens import SpecialTokens


class Rules:
    """The rules of one search.

    Args:
        settings: the options.
        special_tokens: tokens with a meaning.
        limits: most sub-words of each sentence before its end.
        prefixes: the tokens with which each sentence must begin, possibly none.
    """

    def __init__(
        self,
        settings: SearchSettings,
        special_tokens: SpecialTokens,
        limits: Sequence[int],
        prefixes: Sequence[Sequence[int]],
    ) -> None:
        self._settings, self._special_tokens = settings, special_tokens
        self._limits, self._prefixes = list(limits), list(prefixes)
        self._longest_prefix = max(map(len, self._prefixes))

    def apply(self, log_probs: Tensor, tokens: Tensor, step: int) -> None:
        """Takes away what may not follow.

        Args:
            log_probs: of the next token, (sentences, beams, vocab_size).
            tokens: so far, begun by the end of a sentence, (sentences, beams, step + 1).
            step: number of tokens before the next one.
        """
        special_tokens = self._special_tokens
        log_probs[..., special_tokens.padding] = -math.inf
        if self._settings.unknown_penalty:
            log_probs[..., special_tokens.unknown] -= self._settings.unknown_penalty
        free = self._force(log_probs, step) if step < self._longest_prefix else None
        if step < self._settings.min_len:
            log_probs[slice(None) if free is None else free, :, special_tokens.end] = -math.inf
        if at_limit := self.at_limit(step):
            _force_token(log_probs, at_limit, [special_tokens.end] * len(at_limit))
        if self._settings.no_repeat_ngram:
            self._forbid_repetition(log_probs.flatten(0, 1), tokens.flatten(0, 1))

    def _force(self, log_probs: Tensor, step: int) -> list[int]:
        """Leaves the next token of the prefixes as the only one; returns the sentences without such a token."""
        forced = [s for s, prefix in enumerate(self._prefixes) if step < min(len(prefix), self._limits[s])]
        _force_token(log_probs, forced, [self._prefixes[sentence][step] for sentence in forced])
        return [sentence for sentence in range(len(self._prefixes)) if sentence not in set(forced)]

    def _forbid_repetition(self, log_probs: Tensor, tokens: Tensor) -> None:
        size = self._settings.no_repeat_ngram
        if tokens.size(1) < size:
            return
        ngrams = tokens.unfold(1, size, 1)  # (rows, ngrams, size)
        newest = tokens[:, None, tokens.size(1) - size + 1 :]
        rows, places = ngrams[..., :-1].eq(newest).all(2).nonzero(as_tuple=True)
        repeated = ngrams[rows, places, -1]
        # The end of a sentence stands at the beginning of every hypothesis, and must be able to come again.
        may_not = repeated.ne(self._special_tokens.end)
        log_probs[rows[may_not], repeated[may_not]] = -math.inf

    def at_limit(self, step: int) -> list[int]:
        """The sentences that must end in this step."""
        return [sentence for sentence, limit in enumerate(self._limits) if step >= limit]

    def keep_sentences(self, sentences: Sequence[int]) -> None:
        """Only these sentences go on."""
        self._limits = [self._limits[sentence] for sentence in sentences]
        self._prefixes = [self._prefixes[sentence] for sentence in sentences]


def _force_token(log_probs: Tensor, sentences: Sequence[int], tokens: Sequence[int]) -> None:
    """Leaves one token to each of the sentences given."""
    if not sentences:
        return
    rows = torch.tensor(sentences, device=log_probs.device)
    columns = torch.tensor(tokens, device=log_probs.device)
    kept = log_probs[rows, :, columns]
    log_probs[rows] = -math.inf
    log_probs[rows, :, columns] = kept
