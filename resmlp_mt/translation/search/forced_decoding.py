"""Forced decoding: scores given translations and returns their cross-attention."""

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
    """The scores and the attention of a given translation.

    Attributes:
        token_scores: log-probability (natural logarithm) of each target token, including the end of the sentence.
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
        models: one model, or an ensemble whose probabilities are averaged.
        sources: source tokens of each pair, including the end of the sentence.
        targets: target tokens of each pair, including the end of the sentence.

    Raises:
        ResMLPError: if a sentence is longer than a model supports.
    """
    device = models[0].device
    source, padding_mask = pad_batch(sources, SPECIAL_TOKENS.padding, device)
    target, _ = pad_batch(targets, SPECIAL_TOKENS.padding, device)
    shifted = torch.cat([torch.full_like(target[:, :1], SPECIAL_TOKENS.end), target[:, :-1]], dim=1)
    model_scores, attentions = [], []
    for model in models:
        features, attention = model.decoder(shifted, model.encoder(source, padding_mask), need_attention=True)
        log_probs = model.decoder.output(features).log_softmax(2, dtype=torch.float32)
        model_scores.append(log_probs.gather(2, target[..., None]).squeeze(2))  # (batch, tgt_len)
        attentions.append(attention)
    scores = torch.stack(model_scores).exp().mean(0).log() if len(models) > 1 else model_scores[0]
    attention = torch.stack(attentions).mean(0).cpu()
    return [
        ForcedTarget(scores[i, :tgt_len].tolist(), attention[i, :tgt_len, :src_len])
        for i, (src_len, tgt_len) in enumerate(zip(map(len, sources), map(len, targets), strict=True))
    ]


def align_words(attention: Tensor, source_words: Sequence[int], target_words: Sequence[int]) -> list[tuple[int, int]]:
    """Aligns every target word to the source word with the most attention, summed over the tokens of both.

    Args:
        attention: (tgt_len, src_len), including the ends of both sentences.
        source_words: word index of each source token, without the end of the sentence.
        target_words: word index of each target token, without the end of the sentence.

    Returns:
        Pairs of source and target word, in target order.
    """
    if not source_words or not target_words:
        return []
    source_index = torch.tensor(source_words)
    target_index = torch.tensor(target_words)
    num_source_words, num_target_words = source_words[-1] + 1, target_words[-1] + 1
    token_attention = attention[: len(target_index), : len(source_index)].float()
    by_source_word = torch.zeros(len(target_index), num_source_words).index_add_(1, source_index, token_attention)
    by_words = torch.zeros(num_target_words, num_source_words).index_add_(0, target_index, by_source_word)
    return [(int(source), target) for target, source in enumerate(by_words.argmax(1))]
