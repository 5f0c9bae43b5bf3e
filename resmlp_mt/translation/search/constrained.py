"""Candidates of a beam search whose results must contain given words."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from resmlp_mt.translation.search.constraints import ConstraintProgress, Constraints, start_progress
from resmlp_mt.translation.search.selectors import Candidates, best_continuations


class ConstrainedSelector:
    """Beam search that shares the beam out among hypotheses by how many constraint tokens they contain.

    Source: Post and Vilar 2018 (arXiv:1804.06609), section 3.2, as fairseq does it.

    Args:
        constraints: of each sentence.
        order: "ordered" or "unordered".
        beam_size: of the search.
        end: the token that ends a sentence.
    """

    def __init__(self, constraints: Sequence[Constraints], order: str, beam_size: int, end: int) -> None:
        self._beam_size, self._end = beam_size, end
        self._states: list[list[ConstraintProgress]] = [
            [start_progress(of_sentence, order)] * beam_size for of_sentence in constraints
        ]
        self._is_first = True

    def forbid_early_end(self, log_probs: Tensor, at_limit: Sequence[int]) -> None:
        """Takes the end of the sentence from beams that lack a constraint.

        Args:
            log_probs: changed in place, (sentences, beams, vocab_size).
            at_limit: sentences that must end now: if all their beams lack something, then so be it.
        """
        beams = log_probs.size(1)
        lacking = [[not state.finished for state in states[:beams]] for states in self._states]
        for number in at_limit:
            if all(lacking[number]):
                lacking[number] = [False] * beams
        log_probs[..., self._end].masked_fill_(torch.tensor(lacking, device=log_probs.device), -math.inf)

    def select(self, log_probs: Tensor, scores: Tensor) -> Candidates:
        """See `Selector`."""
        totals = log_probs + scores[..., None]
        best = best_continuations(totals, torch.zeros_like(totals[..., 0]), 2 * self._beam_size)
        own_best = totals.argmax(-1)
        rows: list[list[tuple[float, int, int]]] = []
        for number, states in enumerate(self._states):
            pairs = list(zip(best.beams[number].tolist(), best.tokens[number].tolist(), strict=True))
            if not self._is_first:
                pairs += enumerate(own_best[number].tolist())
            for beam, state in enumerate(states[: totals.size(1)]):
                pairs += ((beam, token) for token in state.next_tokens())
            rows.append(self._share_out(list(dict.fromkeys(pairs)), totals[number], states, best.scores.size(1)))
        self._is_first = False
        kept, tokens, beams = (list(column) for column in zip(*(zip(*row, strict=True) for row in rows), strict=True))
        device = log_probs.device
        return Candidates(
            torch.tensor(kept, dtype=log_probs.dtype, device=device),
            torch.tensor(tokens, device=device),
            torch.tensor(beams, device=device),
        )

    def _share_out(
        self, pairs: list[tuple[int, int]], totals: Tensor, states: list[ConstraintProgress], count: int
    ) -> list[tuple[float, int, int]]:
        """Chooses of one sentence the best of every bank in turn, fullest bank first; notes the states that follow."""
        beams, tokens = (torch.tensor(column, device=totals.device) for column in zip(*pairs, strict=True))
        values = totals[beams, tokens].tolist()
        following = [states[beam].advance(token) for beam, token in pairs]
        order = sorted(range(len(pairs)), key=lambda place: (-following[place].bank, -values[place]))
        ranks: dict[int, int] = {}
        turns = []
        for place in order:
            bank = following[place].bank
            ranks[bank] = ranks.get(bank, -1) + 1
            turns.append((ranks[bank], -bank, place))
        chosen = [place for _, _, place in sorted(turns, key=lambda turn: turn[:2])][:count]
        states[:] = [following[place] for place in chosen]
        return [(values[place], pairs[place][1], pairs[place][0]) for place in chosen]

    def keep_sentences(self, sentences: Tensor) -> None:
        """See `Selector`."""
        self._states = [self._states[sentence] for sentence in sentences.tolist()]

    def keep_candidates(self, chosen: Tensor) -> None:
        """See `Selector`."""
        self._states = [
            [states[candidate] for candidate in row] for states, row in zip(self._states, chosen.tolist(), strict=True)
        ]
