"""Translates raw text with one or several bundles."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch

from resmlp_mt.common.errors import ResMLPError, require_choice
from resmlp_mt.common.files import file_digest
from resmlp_mt.common.threads import ThreadsByLoad
from resmlp_mt.translation.backends import Backend, NativeBackend, TorchBackend
from resmlp_mt.translation.bundle.format import Bundle, read_bundle
from resmlp_mt.translation.engine.batching import BatchLimits, make_batches, require_beam_fits, run_halving
from resmlp_mt.translation.engine.native import library
from resmlp_mt.translation.engine.shortlist import read_shortlist
from resmlp_mt.translation.engine.workers import run_batches
from resmlp_mt.translation.planning import Planner
from resmlp_mt.translation.search.beam_search import Hypothesis, Source
from resmlp_mt.translation.search.forced_decoding import ForcedTarget, align_words
from resmlp_mt.translation.search.settings import SearchSettings
from resmlp_mt.translation.types import Alignment, Request, Translation, as_list, require_strings

AUTO, INT8, FLOAT32 = "auto", "int8", "float32"
_TORCH_DTYPES = {FLOAT32: torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
DTYPES = (AUTO, INT8, *_TORCH_DTYPES)


class Translator:
    """Translates raw text with a bundle, or with an ensemble whose probabilities are averaged.

    Args:
        bundles: one or more, with the same vocabularies.
        device: "cpu", "cuda" or "cuda:N".
        dtype: "int8" for the C++ engine, on a CPU only; "float32"; "bfloat16" or "float16" for speed on a GPU; or
            "auto": int8 for quantized bundles where the engine is available, otherwise float32.
        limits: maximum size of a batch.
        workers: number of batches computed at a time; each needs the memory of a batch.
        shortlist: file of `resmlp-mt shortlist`, which limits the target tokens of each sentence; for int8 only.

    Attributes:
        dtype: the data type that was chosen.
        backend: what computes.
        threads_by_load: if set, adjusts the number of torch threads to the load of the machine before each call.

    Raises:
        ResMLPError: if the bundles' vocabularies differ, or the device or dtype is not available.
    """

    backend: Backend

    def __init__(
        self,
        bundles: Sequence[Bundle],
        device: str = "cpu",
        dtype: str = AUTO,
        limits: BatchLimits | None = None,
        workers: int = 1,
        shortlist: Path | None = None,
    ) -> None:
        require_choice("dtype", dtype, DTYPES)
        if not bundles:
            raise ResMLPError("a translator requires at least one bundle, but the list is empty; add one")
        first = bundles[0]
        for number, other in enumerate(bundles[1:], 2):
            if any(getattr(other, side).symbols != getattr(first, side).symbols for side in ("source", "target")):
                raise ResMLPError(
                    f"the models of an ensemble must have the same vocabularies, but model {number} differs from the "
                    "first; leave it out"
                )
        self.config = first.config
        self.source, self.target = first.source, first.target
        self.dtype = _choose_dtype(bundles, device) if dtype == AUTO else dtype
        if self.dtype == INT8:
            if device != "cpu":
                raise ResMLPError(f"int8 is for the CPU, not for {device}; use --device cpu, or another --dtype")
            models = [bundle.native_model() for bundle in bundles]
            sizes = len(self.source.symbols), len(self.target.symbols)
            self.backend = NativeBackend(models, read_shortlist(shortlist, *sizes) if shortlist else None)
        elif shortlist:
            raise ResMLPError(f"a shortlist is for int8, not for {self.dtype}; use --dtype int8, or leave it out")
        else:
            self.backend = TorchBackend([bundle.model for bundle in bundles], device, _TORCH_DTYPES[self.dtype])
        self.limits = limits or BatchLimits()
        self.workers = workers
        self.threads_by_load: ThreadsByLoad | None = None
        self._shortlist_digest = file_digest(shortlist) if shortlist else None
        self._digests = [bundle.config.digests for bundle in bundles]

    @classmethod
    def from_pretrained(
        cls,
        path: str | Path,
        *more: str | Path,
        device: str = "cpu",
        dtype: str = AUTO,
        limits: BatchLimits | None = None,
        workers: int = 1,
        shortlist: Path | None = None,
    ) -> Translator:
        """Reads a bundle, or several for an ensemble.

        Raises:
            ResMLPError: if a file of a bundle is missing or damaged.
        """
        bundles = [read_bundle(Path(folder)) for folder in (path, *more)]
        return cls(bundles, device, dtype, limits, workers, shortlist)

    @property
    def identity(self) -> dict[str, Any]:
        """What determines the translations besides the search options (batch limits change the last digits)."""
        shortlist = {"shortlist": self._shortlist_digest} if self._shortlist_digest else {}
        return {"models": self._digests, "dtype": self.dtype, "limits": asdict(self.limits), **shortlist}

    @property
    def weights_per_step(self) -> int:
        """Number of weights in the linear layers of all decoders, which every search step reads."""
        return self.backend.weights_per_step

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
            beam_size: overrides that of the settings.
            settings: the search options; those of the bundle by default.
            too_long: how to handle lines longer than the model supports: "split", "truncate", "copy" or "error".

        Returns:
            The translation of each line; empty for a blank line.

        Raises:
            ResMLPError: if a line is too long and `too_long` is "error", or `lines` is not a list of strings.
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
        """Translates lines; returns candidates, scores and alignments.

        Args:
            requests: the lines.
            settings: the search options; those of the bundle by default.
            too_long: see `translate`.
            align: whether to compute word alignments of the candidates.

        Returns:
            One translation for each request.

        Raises:
            ResMLPError: if a line is too long and `too_long` is "error", or an item is not a `Request`.
        """
        requests = as_list("the requests", requests)
        for number, request in enumerate(requests, 1):
            if not isinstance(request, Request):
                raise ResMLPError(
                    f"request {number} must be a Request, but it has type {type(request).__name__}; create one, or "
                    "use `translate`"
                )
        settings = settings or self.config.decoding
        planner = Planner(self.source, self.target, self.backend.max_source_len, too_long)
        encoded = self.source.encode([request.text for request in requests])
        lines = [planner.plan(request, tokens) for request, tokens in zip(requests, encoded, strict=True)]
        hypotheses = self._search(planner.sources, settings)
        alignments = self._align_hypotheses(planner.sources, hypotheses) if align else None
        return [planner.assemble(line, hypotheses, alignments, settings.length_penalty) for line in lines]

    def _search(self, sources: Sequence[Source], settings: SearchSettings) -> list[list[Hypothesis]]:
        def search_batch(batch: Sequence[int], stop: threading.Event) -> list[list[Hypothesis]]:
            return run_halving(
                [sources[index] for index in batch], lambda half: self.backend.search(half, settings, stop)
            )

        if self.threads_by_load:
            self.threads_by_load.adjust()
        lengths = [len(source.tokens) for source in sources]
        beam_size = min(settings.beam_size, self.backend.vocab_size - 1)  # as in the search
        require_beam_fits(self.backend.memory(beam_size), max(lengths, default=1), self.limits)
        batches = self._batches(lengths, beam_size)
        hypotheses: dict[int, list[Hypothesis]] = {}
        for batch, results in zip(batches, run_batches(search_batch, batches, self.workers), strict=True):
            hypotheses |= zip(batch, results, strict=True)
        return [hypotheses[index] for index in range(len(sources))]

    def _batches(self, lengths: Sequence[int], rows: int) -> list[list[int]]:
        return make_batches(lengths, self.limits, self.backend.memory(rows))

    def _align_hypotheses(
        self, sources: Sequence[Source], hypotheses: Sequence[Sequence[Hypothesis]]
    ) -> list[list[Alignment]]:
        """Aligns every hypothesis of every source."""
        by_source = list(zip(sources, hypotheses, strict=True))
        pairs = [(source.tokens, hypothesis.tokens) for source, of_source in by_source for hypothesis in of_source]
        forced = iter(self._force([source for source, _ in pairs], [target for _, target in pairs]))
        return [
            [self._align(source.tokens, hypothesis.tokens, next(forced)) for hypothesis in of_source]
            for source, of_source in by_source
        ]

    def _align(self, source: Sequence[int], target: Sequence[int], forced: ForcedTarget) -> Alignment:
        source_words, word_of_source = self.source.words(source)
        target_words, word_of_target = self.target.words(target)
        return Alignment(source_words, target_words, align_words(forced.attention, word_of_source, word_of_target))

    def score(self, sources: Iterable[str], targets: Iterable[str], length_penalty: float | None = None) -> list[float]:
        """Scores given translations by forced decoding.

        Args:
            sources: raw text.
            targets: a raw translation of each source.
            length_penalty: that of the bundle by default.

        Returns:
            Log-probabilities (natural logarithm), divided by length ** length_penalty.

        Raises:
            ResMLPError: if the numbers of sources and targets differ, or a sentence is too long for the model.
        """
        settings = self.config.decoding
        if length_penalty is not None:
            settings = replace(settings, length_penalty=length_penalty)
        forced = self._force(*self._encode_pairs(sources, targets))
        return [sum(f.token_scores) / len(f.token_scores) ** settings.length_penalty for f in forced]

    def align(self, sources: Iterable[str], targets: Iterable[str]) -> list[Alignment]:
        """Aligns the words of given translations to those of their sources, by the cross-attention.

        Raises:
            ResMLPError: see `score`.
        """
        source_tokens, target_tokens = self._encode_pairs(sources, targets)
        forced = self._force(source_tokens, target_tokens)
        return [self._align(*pair) for pair in zip(source_tokens, target_tokens, forced, strict=True)]

    def _encode_pairs(self, sources: Iterable[str], targets: Iterable[str]) -> tuple[list[list[int]], list[list[int]]]:
        sources, targets = require_strings("the sources", sources), require_strings("the targets", targets)
        if len(sources) != len(targets):
            raise ResMLPError(
                f"there must be one target for each source, but there are {len(sources)} sources and {len(targets)} "
                "targets; check the lists"
            )
        encoded = self.source.encode(sources), self.target.encode(targets)
        limits = self.backend.max_source_len, self.backend.max_target_len
        for side, sentences, limit in zip(("source", "target"), encoded, limits, strict=True):
            for number, tokens in enumerate(sentences, 1):
                if len(tokens) > limit:
                    raise ResMLPError(
                        f"{side} {number} has {len(tokens)} sub-words, but the model supports {limit}; shorten it"
                    )
        return encoded

    def _force(self, sources: Sequence[Sequence[int]], targets: Sequence[Sequence[int]]) -> list[ForcedTarget]:
        lengths = [max(len(source), len(target)) for source, target in zip(sources, targets, strict=True)]
        forced: dict[int, ForcedTarget] = {}

        def force_batch(batch: Sequence[int], _stop: threading.Event) -> list[ForcedTarget]:
            return run_halving([(sources[index], targets[index]) for index in batch], self._force_pairs)

        # The logits of all target positions exist at once, like those of as many beams.
        batches = self._batches(lengths, max(lengths, default=1))
        for batch, results in zip(batches, run_batches(force_batch, batches, self.workers), strict=True):
            forced |= zip(batch, results, strict=True)
        return [forced[index] for index in range(len(lengths))]

    def _force_pairs(self, pairs: Sequence[tuple[Sequence[int], Sequence[int]]]) -> list[ForcedTarget]:
        return self.backend.force([source for source, _ in pairs], [target for _, target in pairs])


def _choose_dtype(bundles: Sequence[Bundle], device: str) -> str:
    """The data type of "auto"."""
    can_use_int8 = device == "cpu" and bool(library.available())
    return INT8 if can_use_int8 and all(bundle.is_quantized for bundle in bundles) else FLOAT32
