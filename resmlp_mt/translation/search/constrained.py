"""A selector for beam search whose hypotheses must contain given phrases."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

import torch
from torch import Tensor

from resmlp_mt.translation.search.constraints import ConstraintProgress, Constraints, start_progress
from resmlp_mt.translation.search.selectors import Candidates, top_candidates
from resmlp_mt.translation.search.step import SearchStep


class ConstrainedSelector:
    """Dynamic beam allocation: the beam is divided among hypotheses by how many constraint tokens they contain.

    Source: Post and Vilar 2018 (arXiv:1804.06609), section 3.2, as in fairseq's `LexicallyConstrainedBeamSearch`.

    Args:
        constraints: for each sentence of the original batch, the token sequences that must occur.
        order: "ordered" or "unordered".
        beam_size: number of beams.
        end: the end-of-sentence token.
    """

    def __init__(self, constraints: Sequence[Constraints], order: str, beam_size: int, end: int) -> None:
        self._beam_size, self._end = beam_size, end
        # For each sentence of the original batch, the progress of its beams, and of the candidates selected last.
        self._beams: list[list[ConstraintProgress]] = [
            [start_progress(of_sentence, order)] * beam_size for of_sentence in constraints
        ]
        self._candidates: list[list[ConstraintProgress]] = [[] for _ in constraints]

    def select(self, log_probs: Tensor, scores: Tensor, step: SearchStep) -> Candidates:
        """See `Selector`."""
        self._mask_early_end(log_probs, step)
        totals = log_probs + scores[..., None]
        top = top_candidates(totals, torch.zeros_like(scores), 2 * self._beam_size)
        best_tokens = totals.argmax(-1)  # (sentences, beams)
        rows = []
        for current, sentence in enumerate(step.sentences):
            pairs = list(zip(top.beams[current].tolist(), top.tokens[current].tolist(), strict=True))
            if step.index > 0:
                pairs += enumerate(best_tokens[current].tolist())
            for beam, progress in enumerate(self._beams[sentence][: totals.size(1)]):
                pairs += ((beam, token) for token in progress.next_tokens())
            rows.append(self._allocate(sentence, list(dict.fromkeys(pairs)), totals[current], top.scores.size(1)))
        fields = (zip(*row, strict=True) for row in rows)  # for each sentence: scores, tokens, beams
        selected_scores, tokens, beams = (list(field) for field in zip(*fields, strict=True))
        device = log_probs.device
        return Candidates(
            torch.tensor(selected_scores, dtype=log_probs.dtype, device=device),
            torch.tensor(tokens, device=device),
            torch.tensor(beams, device=device),
        )

    def _mask_early_end(self, log_probs: Tensor, step: SearchStep) -> None:
        """Masks the end of the sentence for beams that lack a constraint.

        A sentence at its maximum length must end even if all its beams lack one.
        """
        beams = log_probs.size(1)
        lacks = [[not progress.finished for progress in self._beams[sentence][:beams]] for sentence in step.sentences]
        for current in step.at_limit:
            if all(lacks[current]):
                lacks[current] = [False] * beams
        log_probs[..., self._end].masked_fill_(torch.tensor(lacks, device=log_probs.device), -math.inf)

    def _allocate(
        self, sentence: int, pairs: list[tuple[int, int]], totals: Tensor, count: int
    ) -> list[tuple[float, int, int]]:
        """Allocates the candidates of one sentence to the banks, and keeps the progress of those selected.

        The bank of a candidate is its number of constraint tokens. The best of every bank come first, the fullest bank
        leading, then the second best, and so on.

        Args:
            sentence: index in the original batch.
            pairs: beam and token of each possible candidate.
            totals: score of every continuation, (beams, vocab_size).
            count: number of candidates to select.

        Returns:
            Score, token and beam of each candidate.
        """
        beams, tokens = (torch.tensor(part, device=totals.device) for part in zip(*pairs, strict=True))
        pair_scores = totals[beams, tokens].tolist()
        progress = [self._beams[sentence][beam].advance(token) for beam, token in pairs]
        banks = [of_pair.bank for of_pair in progress]
        rank_in_bank: Counter[int] = Counter()
        order = []
        for pair in sorted(range(len(pairs)), key=lambda pair: (-banks[pair], -pair_scores[pair])):
            order.append((rank_in_bank[banks[pair]], -banks[pair], pair))
            rank_in_bank[banks[pair]] += 1
        selected = [pair for _, _, pair in sorted(order, key=lambda entry: entry[:2])][:count]
        self._candidates[sentence] = [progress[pair] for pair in selected]
        return [(pair_scores[pair], pairs[pair][1], pairs[pair][0]) for pair in selected]

    def reorder(self, chosen: Tensor, sentences: Sequence[int]) -> None:
        """See `Selector`."""
        for sentence, candidates in zip(sentences, chosen.tolist(), strict=True):
            self._beams[sentence] = [self._candidates[sentence][candidate] for candidate in candidates]
