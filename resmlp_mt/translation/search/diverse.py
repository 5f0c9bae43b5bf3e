"""A selector for diverse beam search."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from resmlp_mt.translation.search.selectors import Candidates, top_candidates
from resmlp_mt.translation.search.step import SearchStep


class DiverseSelector:
    """Groups of beams, each of which is penalised for the tokens that earlier groups chose in the same step.

    Source: Vijayakumar et al. 2016 (arXiv:1610.02424), with fairseq's growing penalty: for each earlier step in which
    two groups chose the same token, the penalty between them grows by `strength`.

    Args:
        groups: number of groups; beam b belongs to group b % groups.
        group_size: beams per group.
        strength: penalty of a token for each earlier group that chose it.
        num_sentences: size of the original batch.
        device: of the log-probabilities.
    """

    def __init__(self, groups: int, group_size: int, strength: float, num_sentences: int, device: torch.device) -> None:
        self._groups, self._group_size, self._strength = groups, group_size, strength
        # For each sentence, how often each pair of groups chose the same token.
        self._agreement = torch.zeros(num_sentences, groups, groups, device=device)

    def select(self, log_probs: Tensor, scores: Tensor, step: SearchStep) -> Candidates:
        """See `Selector`."""
        sentences = torch.tensor(step.sentences, device=log_probs.device)
        agreement = self._agreement[sentences]
        selected: list[Candidates] = []
        for group in range(self._groups):
            group_log_probs, group_scores = log_probs, scores
            if step.index > 0:
                group_log_probs, group_scores = log_probs[:, group :: self._groups], scores[:, group :: self._groups]
            if group:
                group_log_probs = group_log_probs - self._penalty(selected, agreement[:, group], log_probs)[:, None]
            top = top_candidates(group_log_probs, group_scores, self._group_size)
            beams = top.beams if step.index == 0 else top.beams * self._groups + group
            selected.append(Candidates(top.scores, top.tokens, beams))
        tokens = torch.stack([candidates.tokens for candidates in selected], dim=2)  # (sentences, group_size, groups)
        self._agreement[sentences] += tokens[:, :, None].eq(tokens[..., None]).sum(1)
        return Candidates(
            torch.stack([candidates.scores for candidates in selected], dim=2).flatten(1),
            tokens.flatten(1),
            torch.stack([candidates.beams for candidates in selected], dim=2).flatten(1),
        )

    def _penalty(self, earlier: Sequence[Candidates], agreement: Tensor, log_probs: Tensor) -> Tensor:
        """The penalty of each token for the next group, (sentences, vocab_size).

        Args:
            earlier: the candidates of the groups before it.
            agreement: of this group with every group, (sentences, groups).
            log_probs: gives shape and type, (sentences, beams, vocab_size).
        """
        chosen = torch.stack([candidates.tokens for candidates in earlier], dim=2)  # (sentences, group_size, group)
        weights = (1 + agreement[:, None, : len(earlier)]).expand(chosen.shape)
        penalty = log_probs.new_zeros(log_probs.size(0), log_probs.size(2))
        return self._strength * penalty.scatter_add_(1, chosen.flatten(1), weights.flatten(1))

    def reorder(self, chosen: Tensor, sentences: Sequence[int]) -> None:
        """Keeps no state of beams, only of groups."""
