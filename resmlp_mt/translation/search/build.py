"""Builds the selector that the search options ask for."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from resmlp_mt.common.errors import ResMLPError
from resmlp_mt.translation.search.constrained import ConstrainedSelector
from resmlp_mt.translation.search.constraints import Constraints
from resmlp_mt.translation.search.diverse import DiverseSelector
from resmlp_mt.translation.search.sampling import SamplingSelector
from resmlp_mt.translation.search.selectors import Selector, TopKSelector
from resmlp_mt.translation.search.settings import SearchSettings


def build_selector(
    settings: SearchSettings,
    beam_size: int,
    constraints: Sequence[Constraints],
    seeds: Sequence[int],
    end: int,
    device: torch.device,
) -> Selector:
    """The selector of a batch.

    Args:
        settings: the search options.
        beam_size: number of beams.
        constraints: of each sentence.
        seeds: of each sentence, added to the seed of the settings.
        end: the end-of-sentence token.
        device: of the log-probabilities.

    Raises:
        ResMLPError: if there are constraints and the settings ask for something else than plain beam search.
    """
    if any(constraints):
        if settings.kinds:
            raise ResMLPError(
                f"constraints require plain beam search and cannot be combined with {' or '.join(settings.kinds)}; "
                "leave one of them out"
            )
        return ConstrainedSelector(constraints, settings.constraint_order, beam_size, end)
    if settings.sampling:
        return SamplingSelector(settings, beam_size, [settings.seed + seed for seed in seeds], device)
    if settings.diverse_groups:
        group_size = beam_size // settings.diverse_groups
        return DiverseSelector(settings.diverse_groups, group_size, settings.diverse_strength, len(seeds), device)
    return TopKSelector(beam_size, settings.sibling_penalty)
