"""Backends compute for a `Translator`: the search, and forced decoding, of one model or an ensemble."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn

from resmlp_mt.common.errors import ResMLPError
from resmlp_mt.translation.engine.batching import MemoryModel
from resmlp_mt.translation.engine.native.model import NativeModel, NativeState
from resmlp_mt.translation.engine.shortlist import Shortlist
from resmlp_mt.translation.engine.step_model import TranslationModel
from resmlp_mt.translation.search.beam_search import BeamSearch, Hypothesis, Source, find_max_lens
from resmlp_mt.translation.search.forced_decoding import ForcedTarget, force_decode
from resmlp_mt.translation.search.settings import SearchSettings


class Backend(Protocol):
    """Computes with one model or an ensemble.

    Attributes:
        device: where it computes, for reports.
        max_source_len, max_target_len: maximum lengths in sub-words, including the end of the sentence.
        vocab_size: size of the target vocabulary.
        weights_per_step: number of weights that every search step reads.
    """

    device: str
    max_source_len: int
    max_target_len: int
    vocab_size: int
    weights_per_step: int

    def search(
        self, sources: Sequence[Source], settings: SearchSettings, stop: threading.Event | None
    ) -> list[list[Hypothesis]]:
        """Translates a batch, see `BeamSearch.search`."""

    def force(self, sources: Sequence[Sequence[int]], targets: Sequence[Sequence[int]]) -> list[ForcedTarget]:
        """Scores given translations in one batch, see `force_decode`."""

    def memory(self, rows: int) -> MemoryModel:
        """The memory of a sentence with `rows` rows: beams of a search, or target positions in forced decoding."""


class TorchBackend:
    """Computes with torch, on any device, in float32, bfloat16 or float16.

    Args:
        models: the models, which are changed.
        device: "cpu", "cuda" or "cuda:N".
        dtype: of the parameters.

    Raises:
        ResMLPError: if the device is not available.
    """

    def __init__(self, models: Sequence[TranslationModel], device: str, dtype: torch.dtype) -> None:
        self.models = models
        try:
            torch.zeros((), device=torch.device(device)).item()  # fails on "meta", which holds no data
            for model in models:
                model.optimize_for_inference()
                model.to(device=torch.device(device), dtype=dtype)
        except (RuntimeError, AssertionError) as error:
            raise ResMLPError(f"device {device} is not available ({str(error)[:120]}); use cpu") from error
        self.device = str(models[0].device)
        self.max_source_len = min(model.max_source_len for model in models)
        self.max_target_len = min(model.max_target_len for model in models)
        self.vocab_size = models[0].vocab_size
        layers = [m for model in models for m in model.decoder.modules() if isinstance(m, nn.Linear)]
        self.weights_per_step = sum(layer.weight.numel() for layer in layers)

    def search(
        self, sources: Sequence[Source], settings: SearchSettings, stop: threading.Event | None
    ) -> list[list[Hypothesis]]:
        """See `Backend`."""
        return BeamSearch(self.models, settings).search(sources, stop)

    def force(self, sources: Sequence[Sequence[int]], targets: Sequence[Sequence[int]]) -> list[ForcedTarget]:
        """See `Backend`."""
        return force_decode(self.models, sources, targets)

    def memory(self, rows: int) -> MemoryModel:
        """See `Backend`."""
        decoder = self.models[0].decoder
        return MemoryModel(
            beam_size=rows,
            vocab_size=self.vocab_size,
            dim=decoder.output.in_features,
            layers=len(decoder.layers) * len(self.models),
            max_target_len=decoder.max_len,
        )


class NativeBackend:
    """Computes in int8 on the C++ engine, on a CPU.

    Plain beam search of one model runs in the engine as a whole. Other kinds of search, and ensembles, are made by
    `BeamSearch`, with the engine's steps.

    Args:
        models: the models.
        shortlist: limits the target tokens of each sentence, in plain beam search with one model only.

    Raises:
        ResMLPError: if there is a shortlist for several models.
    """

    device = "cpu"

    def __init__(self, models: Sequence[NativeModel], shortlist: Shortlist | None = None) -> None:
        if shortlist and len(models) > 1:
            raise ResMLPError("a shortlist is for one model, not for an ensemble; leave one of the two out")
        self.models, self.shortlist = models, shortlist
        self.max_source_len = min(model.max_source_len for model in models)
        self.max_target_len = min(model.max_target_len for model in models)
        self.vocab_size = models[0].vocab_size
        self.weights_per_step = sum(model.weights_per_step for model in models)

    def search(
        self, sources: Sequence[Source], settings: SearchSettings, stop: threading.Event | None
    ) -> list[list[Hypothesis]]:
        """See `Backend`."""
        if len(self.models) > 1 or not _is_plain(settings, sources):
            if self.shortlist:
                raise ResMLPError(
                    "a shortlist requires plain beam search, without sampling, diversity, constraints and blocked "
                    "n-grams; leave the shortlist or these options out"
                )
            return BeamSearch([NativeStepModel(model) for model in self.models], settings).search(sources, stop)
        words = None
        if self.shortlist:
            words = [self.shortlist.words_of(source.tokens, source.prefix) for source in sources]
        hypotheses = self.models[0].search(
            [source.tokens for source in sources],
            find_max_lens(sources, settings, self.max_target_len - 1),
            beam_size=min(settings.beam_size, self.vocab_size - 1),
            nbest=settings.nbest,
            min_len=settings.min_len,
            length_penalty=settings.length_penalty,
            unknown_penalty=settings.unknown_penalty,
            temperature=settings.temperature,
            prefixes=[source.prefix for source in sources],
            words=words,
        )
        return [[Hypothesis(*hypothesis) for hypothesis in of_sentence] for of_sentence in hypotheses]

    def force(self, sources: Sequence[Sequence[int]], targets: Sequence[Sequence[int]]) -> list[ForcedTarget]:
        """See `Backend`. An ensemble averages the probabilities of each target token."""
        by_model = [model.force(sources, targets) for model in self.models]
        forced = []
        for of_pair in zip(*by_model, strict=True):
            scores = np.stack([scores for scores, _ in of_pair])
            mean = scores[0] if len(scores) == 1 else np.log(np.exp(scores).mean(0))
            attention = np.stack([attention for _, attention in of_pair]).mean(0)
            forced.append(ForcedTarget(mean.tolist(), torch.from_numpy(attention)))
        return forced

    def memory(self, rows: int) -> MemoryModel:
        """See `Backend`."""
        options = self.models[0].options
        return MemoryModel(
            beam_size=rows,
            vocab_size=self.vocab_size,
            dim=options.decoder_embed_dim,
            layers=options.decoder_layers * len(self.models),
            max_target_len=options.max_target_positions,
        )


def _is_plain(settings: SearchSettings, sources: Sequence[Source]) -> bool:
    """Whether the engine has this kind of search."""
    return not (settings.kinds or settings.no_repeat_ngram or any(source.constraints for source in sources))


class NativeStepState:
    """The state of a `NativeStepModel`."""

    def __init__(self, state: NativeState) -> None:
        self._state = state

    def step(self, tokens: Tensor) -> Tensor:
        """Logits, (rows, vocab_size), of the newest tokens, (rows,)."""
        return torch.from_numpy(self._state.step(tokens.int().numpy()))

    def reorder(self, backpointers: Tensor) -> None:
        """See `StepState`."""
        self._state.reorder(backpointers.int().numpy())


class NativeStepModel:
    """A `NativeModel` as a `StepModel`, for the kinds of search that the engine does not have.

    Args:
        model: the model.
    """

    def __init__(self, model: NativeModel) -> None:
        self._model = model
        self.max_source_len, self.max_target_len = model.max_source_len, model.max_target_len
        self.vocab_size, self.device = model.vocab_size, torch.device("cpu")

    def start(self, source: Tensor, padding_mask: Tensor, beam_size: int) -> NativeStepState:
        """See `StepModel`."""
        sentences = [tokens[~padding].tolist() for tokens, padding in zip(source, padding_mask, strict=True)]
        return NativeStepState(self._model.start(sentences, beam_size * len(sentences)))

    def step(self, tokens: Tensor, state: NativeStepState) -> Tensor:
        """See `StepModel`."""
        return state.step(tokens)
