"""Raw text in, raw text out."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from resmlp_mt.common.errors import ResMLPError, require, require_choice
from resmlp_mt.common.threads import ThreadsByLoad
from resmlp_mt.translation.bundle.format import Bundle, read_bundle
from resmlp_mt.translation.engine.batching import BatchLimits, MemoryModel, make_batches, require_beam_fits, run_halving
from resmlp_mt.translation.engine.workers import run_batches
from resmlp_mt.translation.planning import Planner
from resmlp_mt.translation.search.beam_search import BeamSearch, Hypothesis, Source
from resmlp_mt.translation.search.forced_decoding import ForcedTarget, align_words, force_decode
from resmlp_mt.translation.search.settings import SearchSettings
from resmlp_mt.translation.types import Alignment, Request, Translation, as_list, require_strings

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


class Translator:
    """Translates raw text with a bundle, or with several whose probabilities are averaged.

    Args:
        bundles: of the same vocabularies.
        device: "cpu", "cuda" or "cuda:N".
        dtype: "float32", or "bfloat16" or "float16" for speed on a GPU.
        limits: of a batch.
        workers: batches at the same time, each in memory.

    Attributes:
        threads_by_load: if set, adjusts torch's threads before a batch that is searched alone.
    """

    def __init__(
        self,
        bundles: Sequence[Bundle],
        device: str = "cpu",
        dtype: str = "float32",
        limits: BatchLimits | None = None,
        workers: int = 1,
    ) -> None:
        require_choice("dtype", dtype, tuple(DTYPES))
        require(bool(bundles), "the models", "one or more", "none", "name a bundle")
        first = bundles[0]
        for other in bundles[1:]:
            same = all(getattr(other, s).symbols == getattr(first, s).symbols for s in ("source", "target"))
            require(same, "the models of an ensemble", "of the same vocabularies", "of different ones", "leave one out")
        self.config = first.config
        self.source, self.target = first.source, first.target
        self.models = [bundle.model for bundle in bundles]
        try:
            torch.zeros((), device=torch.device(device)).item()  # fails on "meta", which is none
            for model in self.models:
                model.optimize_for_inference()
                model.to(device=torch.device(device), dtype=DTYPES[dtype])
        except (RuntimeError, AssertionError) as error:
            raise ResMLPError(f"the device must be there, but {device} is not ({str(error)[:120]}); use cpu") from error
        self.limits = limits or BatchLimits()
        self.workers = workers
        self.threads_by_load: ThreadsByLoad | None = None
        self._dtype = dtype
        self._digests = [bundle.config.digests for bundle in bundles]
        self.max_source_len = min(model.max_source_len for model in self.models)

    @classmethod
    def from_pretrained(
        cls,
        path: str | Path,
        *more: str | Path,
        device: str = "cpu",
        dtype: str = "float32",
        limits: BatchLimits | None = None,
        workers: int = 1,
    ) -> Translator:
        """Reads a bundle, or several for an ensemble.

        Raises:
            ResMLPError: when something in a bundle is missing or damaged.
        """
        return cls([read_bundle(Path(folder)) for folder in (path, *more)], device, dtype, limits, workers)

    @property
    def identity(self) -> dict[str, Any]:
        """What decides over the translations besides the settings of the search; batches do in their last digits."""
        return {"models": self._digests, "dtype": self._dtype, "limits": asdict(self.limits)}

    @property
    def weights_per_step(self) -> int:
        """Weights of the linear layers of all decoders, which each step of a search reads."""
        layers = [m for model in self.models for m in model.decoder.modules() if isinstance(m, nn.Linear)]
        return sum(layer.weight.numel() for layer in layers)

    def translate(
        self,
        lines: Iterable[str],
        beam_size: int | None = None,
        settings: SearchSettings | None = None,
        too_long: str = "split",
    ) -> list[str]:
        """Translates lines.

        Args:
            lines: raw text.
            beam_size: of the search, if other than that of the settings.
            settings: of the search, if other than the bundle's.
            too_long: what to do with lines longer than the model: "split", "truncate", "copy" or "error".

        Returns:
            The translation of each line; of a line without any words, the empty one.

        Raises:
            ResMLPError: for a line that is too long, if asked for; when `lines` is one string.
        """
        lines = require_strings("the lines to translate", lines)
        settings = settings or self.config.decoding
        if beam_size is not None:
            settings = replace(settings, beam_size=beam_size, nbest=min(settings.nbest, beam_size))
        requests = [Request(line, number) for number, line in enumerate(lines, 1)]
        return [translation.text for translation in self.translate_requests(requests, settings, too_long)]

    def translate_requests(
        self,
        requests: Iterable[Request],
        settings: SearchSettings | None = None,
        too_long: str = "split",
        align: bool = False,
    ) -> list[Translation]:
        """Translates lines and tells all about it.

        Args:
            requests: the lines.
            settings: of the search, if other than the bundle's.
            too_long: see `translate`.
            align: whether candidates get alignments.

        Returns:
            One translation for each request.

        Raises:
            ResMLPError: for a line that is too long, if asked for; names its number. When `requests` are of another
                type.
        """
        requests = as_list("the requests", requests)
        for number, request in enumerate(requests, 1):
            remedy = "make it a Request, or use `translate`"
            is_one = isinstance(request, Request)
            require(is_one, f"request {number}", "a Request", f"of type {type(request).__name__}", remedy)
        settings = settings or self.config.decoding
        planner = Planner(self.source, self.target, self.max_source_len, too_long)
        encoded = self.source.encode([request.text for request in requests])
        lines = [planner.plan(request, tokens) for request, tokens in zip(requests, encoded, strict=True)]
        found = self._search(planner.sources, settings)
        alignments = self._attend(planner.sources, found) if align else None
        return [planner.assemble(line, found, alignments, settings.length_penalty) for line in lines]

    def _search(self, sources: Sequence[Source], settings: SearchSettings) -> list[list[Hypothesis]]:
        search = BeamSearch(self.models, settings)

        def search_batch(batch: Sequence[int], stop: threading.Event) -> list[list[Hypothesis]]:
            return run_halving([sources[place] for place in batch], lambda half: search.search(half, stop))

        if self.threads_by_load:
            self.threads_by_load.adjust()
        lengths = [len(source.tokens) for source in sources]
        beam_size = min(settings.beam_size, self.models[0].vocab_size - 1)  # as in the search
        require_beam_fits(self._memory(beam_size), max(lengths, default=1), self.limits)
        batches = self._batches(lengths, beam_size)
        found: dict[int, list[Hypothesis]] = {}
        for batch, results in zip(batches, run_batches(search_batch, batches, self.workers), strict=True):
            found |= zip(batch, results, strict=True)
        return [found[place] for place in range(len(sources))]

    def _batches(self, lengths: Sequence[int], rows: int) -> list[list[int]]:
        return make_batches(lengths, self.limits, self._memory(rows))

    def _memory(self, rows: int) -> MemoryModel:
        """What a sentence takes with so many rows, the beams of a search or the positions of a target."""
        decoder = self.models[0].decoder
        return MemoryModel(
            beam_size=rows,
            vocab_size=self.models[0].vocab_size,
            dim=decoder.output.in_features,
            layers=len(decoder.layers) * len(self.models),
            max_target_len=decoder.max_len,
        )

    def _attend(self, sources: Sequence[Source], found: Sequence[Sequence[Hypothesis]]) -> list[list[Alignment]]:
        """Aligns every hypothesis of every source."""
        pairs = [(source.tokens, h.tokens) for source, of_source in zip(sources, found, strict=True) for h in of_source]
        forced = iter(self._force([source for source, _ in pairs], [target for _, target in pairs]))
        return [
            [self._align(source.tokens, hypothesis.tokens, next(forced)) for hypothesis in of_source]
            for source, of_source in zip(sources, found, strict=True)
        ]

    def _align(self, source: Sequence[int], target: Sequence[int], forced: ForcedTarget) -> Alignment:
        source_words, word_of_source = self.source.words(source)
        target_words, word_of_target = self.target.words(target)
        return Alignment(source_words, target_words, align_words(forced.attention, word_of_source, word_of_target))

    def score(self, sources: Iterable[str], targets: Iterable[str], length_penalty: float | None = None) -> list[float]:
        """Scores translations that are given.

        Args:
            sources: raw text.
            targets: raw translations of each.
            length_penalty: if other than the bundle's.

        Returns:
            Log-probabilities (natural), divided by length ** length_penalty.

        Raises:
            ResMLPError: when there are not as many of both, or a sentence is longer than the model.
        """
        settings = self.config.decoding
        penalty = (
            settings if length_penalty is None else replace(settings, length_penalty=length_penalty)
        ).length_penalty
        forced = self._force(*self._encode_pairs(sources, targets))
        return [sum(target.token_scores) / len(target.token_scores) ** penalty for target in forced]

    def align(self, sources: Iterable[str], targets: Iterable[str]) -> list[Alignment]:
        """Aligns the words of translations that are given to those of their sources, by the attention.

        Raises:
            ResMLPError: as `score`.
        """
        source_tokens, target_tokens = self._encode_pairs(sources, targets)
        forced = self._force(source_tokens, target_tokens)
        return [self._align(*pair) for pair in zip(source_tokens, target_tokens, forced, strict=True)]

    def _encode_pairs(self, sources: Iterable[str], targets: Iterable[str]) -> tuple[list[list[int]], list[list[int]]]:
        sources, targets = require_strings("the sources", sources), require_strings("the targets", targets)
        same = len(sources) == len(targets)
        require(
            same, "the targets", f"as many as the {len(sources)} sources", len(targets), "give a target to each source"
        )
        encoded = self.source.encode(sources), self.target.encode(targets)
        limits = self.max_source_len, min(model.max_target_len for model in self.models)
        for side, limit in zip(encoded, limits, strict=True):
            for number, tokens in enumerate(side, 1):
                require(
                    len(tokens) <= limit, f"sentence {number}", f"at most {limit} sub-words", len(tokens), "shorten it"
                )
        return encoded

    def _force(self, sources: Sequence[Sequence[int]], targets: Sequence[Sequence[int]]) -> list[ForcedTarget]:
        lengths = [max(len(source), len(target)) for source, target in zip(sources, targets, strict=True)]
        forced: dict[int, ForcedTarget] = {}

        def force_batch(batch: Sequence[int], stop: threading.Event) -> list[ForcedTarget]:
            return run_halving([(sources[place], targets[place]) for place in batch], self._force_pairs)

        # All positions of a target have logits at once, as many rows of a search would have.
        batches = self._batches(lengths, max(lengths, default=1))
        for batch, results in zip(batches, run_batches(force_batch, batches, self.workers), strict=True):
            forced |= zip(batch, results, strict=True)
        return [forced[place] for place in range(len(lengths))]

    def _force_pairs(self, pairs: Sequence[tuple[Sequence[int], Sequence[int]]]) -> list[ForcedTarget]:
        return force_decode(self.models, [source for source, _ in pairs], [target for _, target in pairs])
