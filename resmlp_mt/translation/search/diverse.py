"""Candidates of groups of beams that are pushed apart."""

from __future__ import annotations

import torch
from torch import Tensor

from resmlp_mt.translation.search.selectors import Candidates, best_continuations


class DiverseSelector:
    """Groups of beams, each of which pays for the tokens that the groups before it have chosen.

    Source: Vijayakumar et al. 2016 (arXiv:1610.02424), with fairseq's growing penalty: groups that have agreed in
    earlier steps pay for each of these steps too.

    Args:
        groups: number of groups; beam b is of group b % groups.
        group_size: beams of each.
        strength: what a group pays for each earlier group.
    """

    def __init__(self, groups: int, group_size: int, strength: float) -> None:
        self._groups, self._group_size, self._strength = groups, group_size, strength
        self._agreement: Tensor | None = None

    def select(self, log_probs: Tensor, scores: Tensor) -> Candidates:
        """See `Selector`."""
        sentences, _, vocab_size = log_probs.shape
        is_first = self._agreement is None
        if self._agreement is None:
            self._agreement = log_probs.new_zeros(sentences, self._groups, self._groups)
        found: list[Candidates] = []
        for group in range(self._groups):
            of_group, group_scores = log_probs, scores
            if not is_first:
                of_group, group_scores = log_probs[:, group :: self._groups], scores[:, group :: self._groups]
            if group:
                chosen = torch.stack([earlier.tokens for earlier in found], dim=2)  # (sentences, group_size, group)
                fees = (1 + self._agreement[:, group, None, :group]).expand(chosen.shape)
                penalty = log_probs.new_zeros(sentences, vocab_size)
                penalty.scatter_add_(1, chosen.flatten(1), fees.flatten(1))
                of_group = of_group - self._strength * penalty[:, None]
            best = best_continuations(of_group, group_scores, self._group_size)
            beams = best.beams if is_first else best.beams * self._groups + group
            found.append(Candidates(best.scores, best.tokens, beams))
        tokens = torch.stack([candidates.tokens for candidates in found], dim=2)  # (sentences, group_size, groups)
        self._agreement += tokens[:, :, None].eq(tokens[..., None]).sum(1)
        return Candidates(
            torch.stack([candidates.scores for candidates in found], dim=2).flatten(1),
            tokens.flatten(1),
            torch.stack([candidates.beams for candidates in found], dim=2).flatten(1),
        )

    def keep_sentences(self, sentences: Tensor) -> None:
        """See `Selector`."""
        if self._agreement is not None:
            self._agreement = self._agreement.index_select(0, sentences)

    def keep_candidates(self, chosen: Tensor) -> None:
        """Nothing to do."""
