"""Scoring translations that are given: forced decoding, and the attention that it shows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from resmlp_mt.translation.engine.step_model import TranslationModel
from resmlp_mt.translation.search.beam_search import pad_batch
from resmlp_mt.translation.special_tokens import SPECIAL_TOKENS


@dataclass(frozen=True)
class ForcedTarget:
    """What models think of a given translation.

    Attributes:
        token_scores: log-probability (natural) of each target token, the end of the sentence included.
        attention: of each target token to each source token, (tgt_len, src_len), averaged over heads and models.
    """

    token_scores: list[float]
    attention: Tensor


@torch.inference_mode()
def force_decode(
    models: Sequence[TranslationModel], sources: Sequence[Sequence[int]], targets: Sequence[Sequence[int]]
) -> list[ForcedTarget]:
    """Scores target sentences in one batch.

    Args:
        models: whose probabilities are averaged.
        sources: source tokens, the end of the sentence included, of each pair.
        targets: target tokens, the end of the sentence included, of each pair.

    Raises:
        ResMLPError: when a sentence is longer than a model.
    """
    device = models[0].device
    source, padding_mask = pad_batch(sources, SPECIAL_TOKENS.padding, device)
    target, _ = pad_batch(targets, SPECIAL_TOKENS.padding, device)
    shifted = torch.cat([torch.full_like(target[:, :1], SPECIAL_TOKENS.end), target[:, :-1]], dim=1)
    log_probs, attentions = [], []
    for model in models:
        features, attention = model.decoder(shifted, model.encoder(source, padding_mask), need_attention=True)
        scores = model.decoder.output(features).log_softmax(2, dtype=torch.float32)
        log_probs.append(scores.gather(2, target[..., None]).squeeze(2))
        attentions.append(attention)
    scores = torch.stack(log_probs).exp().mean(0).log() if len(models) > 1 else log_probs[0]
    attention = torch.stack(attentions).mean(0).cpu()
    return [
        ForcedTarget(scores[row, : len(of_target)].tolist(), attention[row, : len(of_target), : len(of_source)])
        for row, (of_source, of_target) in enumerate(zip(sources, targets, strict=True))
    ]


def align_words(attention: Tensor, source_words: Sequence[int], target_words: Sequence[int]) -> list[tuple[int, int]]:
    """Aligns every target word to the source word that it attends to most.

    Args:
        attention: (tgt_len, src_len), ends of sentences included.
        source_words, target_words: the word of each token, without the ends.

    Returns:
        Pairs of a source and a target word, in the order of the target.
    """
    if not source_words or not target_words:
        return []
    columns = torch.tensor(source_words)
    rows = torch.tensor(target_words)
    of_tokens = attention[: len(rows), : len(columns)].float()
    of_columns = torch.zeros(len(rows), source_words[-1] + 1).index_add_(1, columns, of_tokens)
    of_words = torch.zeros(target_words[-1] + 1, source_words[-1] + 1).index_add_(0, rows, of_columns)
    return [(int(source), target) for target, source in enumerate(of_words.argmax(1))]
