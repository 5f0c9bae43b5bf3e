"""A translation model in int8 on the C++ engine. No result depends on the batch, bit for bit."""

from __future__ import annotations

import ctypes
import weakref
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from resmlp_mt.common.errors import ResMLPError
from resmlp_mt.translation.engine.native import library
from resmlp_mt.translation.special_tokens import SPECIAL_TOKENS, SpecialTokens

if TYPE_CHECKING:
    from resmlp_mt.translation.model.config import ModelConfig

_ACTIVATIONS = ("gelu", "relu", "silu", "hardswish")  # from 1 on, see `Activation` in linear.hpp
_PANEL = 64  # rows of logits are multiples of it, see kPanel in linear.hpp


class _Config(ctypes.Structure):
    """`Config` in model.hpp."""

    _fields_ = tuple(
        (name, ctypes.c_int32)
        for name in (
            *("encoder_dim", "encoder_hidden", "encoder_layers"),
            *("decoder_dim", "decoder_hidden", "decoder_layers", "heads"),
            *("max_source", "max_target", "source_vocab", "target_vocab"),
            *("has_layer_norm", "activation", "scales_embeddings"),
        )
    )


class _Settings(ctypes.Structure):
    """`SearchSettings` in search.hpp."""

    _fields_ = (
        *((name, ctypes.c_int32) for name in ("beam_size", "min_len", "padding", "end", "unknown")),
        *((name, ctypes.c_float) for name in ("length_penalty", "unknown_penalty", "temperature")),
    )


class NativeHypothesis(NamedTuple):
    """A translation: target tokens with their log-probabilities, and the score, as in `BeamSearch`."""

    tokens: list[int]
    score: float
    token_scores: list[float]


class NativeModel:
    """A quantized translation model. Several threads may use it at the same time.

    Args:
        options: of the model.
        vocab_sizes: of the source and the target.
        parameters: of a quantized model, see `quantization`; must not change.
        instructions: one of `library.available`; the fastest by default.

    Raises:
        ResMLPError: if the library is not available, or the parameters are not those of the architecture.
    """

    def __init__(
        self,
        options: ModelConfig,
        vocab_sizes: tuple[int, int],
        parameters: Mapping[str, NDArray[Any]],
        instructions: str | None = None,
    ) -> None:
        self._library = library.load(instructions)
        self.options = options
        self.max_source_len, self.max_target_len = options.max_source_positions, options.max_target_positions
        self.vocab_size = vocab_sizes[1]
        self.weights_per_step = sum(
            value.size
            for name, value in parameters.items()
            if name.startswith("decoder.") and ".embedding." not in name and value.dtype == np.int8
        )
        config = _Config(
            *(options.encoder_embed_dim, options.encoder_ffn_embed_dim, options.encoder_layers),
            *(options.decoder_embed_dim, options.decoder_ffn_embed_dim, options.decoder_layers),
            *(options.cross_attention_heads, self.max_source_len, self.max_target_len, *vocab_sizes),
            *(int(options.norm == "layernorm"), 1 + _ACTIVATIONS.index(options.activation_fn)),
            int(not options.no_scale_embedding),
        )
        self._parameters = dict(parameters)  # the library reads them where they are
        model = self._library.resmlp_model_new(ctypes.byref(config))
        if not model:
            raise MemoryError
        self._model = ctypes.c_void_p(model)
        weakref.finalize(self, self._library.resmlp_model_free, self._model)
        for name, value in self._parameters.items():
            rows, cols = value.shape if value.ndim == 2 else (1, value.size)
            is_int8 = value.dtype == np.int8
            if not value.flags.c_contiguous or value.dtype not in (np.int8, np.float32):
                raise ResMLPError(f"{name} must be contiguous int8 or float32, but is {value.dtype}")
            self._check(
                self._library.resmlp_model_set(self._model, name.encode(), _pointer(value), rows, cols, is_int8)
            )
        self._check(self._library.resmlp_model_finish(self._model))

    def _check(self, status: int) -> None:
        library.check(self._library, status)

    def search(
        self,
        sources: Sequence[Sequence[int]],
        max_lens: Sequence[int],
        beam_size: int = 1,
        nbest: int = 1,
        min_len: int = 1,
        length_penalty: float = 1.0,
        unknown_penalty: float = 0.0,
        temperature: float = 1.0,
        prefixes: Sequence[Sequence[int]] | None = None,
        words: Sequence[NDArray[np.int32]] | None = None,
        special_tokens: SpecialTokens = SPECIAL_TOKENS,
    ) -> list[list[NativeHypothesis]]:
        """Beam search over a batch, as `BeamSearch` with the same settings.

        Args:
            sources: tokens of each sentence, including its end.
            max_lens: maximum number of target tokens of each sentence, without its end.
            beam_size: hypotheses kept for each sentence; less than the vocabulary.
            nbest: hypotheses returned for each sentence, at most.
            min_len: minimum number of target tokens before the end.
            length_penalty: see `SearchSettings`.
            unknown_penalty: see `SearchSettings`.
            temperature: see `SearchSettings`.
            prefixes: tokens that the translation of each sentence begins with.
            words: the target tokens that each sentence is translated with, sorted; the whole vocabulary by default.
            special_tokens: of the target vocabulary.

        Returns:
            The hypotheses of each sentence, best first.

        Raises:
            MemoryError: if memory ran out.
            ResMLPError: if a source is too long, a token is not in the vocabulary, or the model returns NaN.
        """
        count, most = len(sources), max(max_lens) + 1
        tokens, lengths = _flatten(sources)
        prefix_tokens, prefix_lengths = _flatten(prefixes or [()] * count)
        prefix_starts = _starts(prefix_lengths)
        word_tokens = word_starts = None
        if words is not None:
            word_tokens, word_lengths = _flatten(words)
            word_starts = _starts(word_lengths)
        found, out_lengths = np.zeros(count, np.int32), np.zeros((count, nbest), np.int32)
        scores = np.zeros((count, nbest), np.float32)
        out_tokens = np.zeros((count, nbest, most), np.int32)
        token_scores = np.zeros((count, nbest, most), np.float32)
        settings = _Settings(
            *(beam_size, min_len, special_tokens.padding, special_tokens.end, special_tokens.unknown),
            *(length_penalty, unknown_penalty, temperature),
        )
        limits = np.asarray(max_lens, np.int32)
        status = self._library.resmlp_search(
            *(self._model, ctypes.byref(settings), _pointer(tokens), _pointer(lengths), count, _pointer(limits)),
            *(_pointer(prefix_tokens), _pointer(prefix_starts), _pointer(word_tokens), _pointer(word_starts)),
            *(nbest, most, _pointer(found), _pointer(out_lengths), _pointer(scores)),
            *(_pointer(out_tokens), _pointer(token_scores)),
        )
        self._check(status)

        def hypothesis(sentence: int, rank: int) -> NativeHypothesis:
            length = out_lengths[sentence, rank]
            return NativeHypothesis(
                out_tokens[sentence, rank, :length].tolist(),
                float(scores[sentence, rank]),
                token_scores[sentence, rank, :length].tolist(),
            )

        return [[hypothesis(sentence, rank) for rank in range(found[sentence])] for sentence in range(count)]

    def force(
        self, sources: Sequence[Sequence[int]], targets: Sequence[Sequence[int]], end: int = SPECIAL_TOKENS.end
    ) -> list[tuple[NDArray[np.float32], NDArray[np.float32]]]:
        """Scores given translations in one batch.

        Args:
            sources: tokens of each sentence, including its end.
            targets: tokens of each translation, including its end.
            end: the end-of-sentence token.

        Returns:
            For each pair the log-probability of each target token, (tgt_len,), and its attention to the source,
            averaged over heads, (tgt_len, src_len).
        """
        tokens, lengths = _flatten(sources)
        target_tokens, target_lengths = _flatten(targets)
        scores = np.zeros(len(target_tokens), np.float32)
        attention = np.zeros((len(target_tokens), self.max_source_len), np.float32)
        status = self._library.resmlp_force(
            *(self._model, _pointer(tokens), _pointer(lengths), _pointer(target_tokens), _pointer(target_lengths)),
            *(len(sources), end, _pointer(scores), _pointer(attention)),
        )
        self._check(status)
        starts = _starts(target_lengths)
        return [
            (scores[start:stop], attention[start:stop, : len(source)])
            for start, stop, source in zip(starts[:-1], starts[1:], sources, strict=True)
        ]

    def start(self, sources: Sequence[Sequence[int]], max_rows: int) -> NativeState:
        """Encodes sentences for a search that is made elsewhere, step by step.

        Args:
            sources: tokens of each sentence, including its end.
            max_rows: maximum number of rows.
        """
        tokens, lengths = _flatten(sources)
        state = ctypes.c_void_p()
        status = self._library.resmlp_state_new(
            self._model, _pointer(tokens), _pointer(lengths), len(sources), max_rows, ctypes.byref(state)
        )
        self._check(status)
        return NativeState(self, state, len(sources))


class NativeState:
    """The state of a search: one row per sentence at first. See `NativeModel.start`."""

    def __init__(self, model: NativeModel, state: ctypes.c_void_p, rows: int) -> None:
        self._model, self._state, self.rows = model, state, rows
        weakref.finalize(self, model._library.resmlp_state_free, state)

    def step(self, tokens: NDArray[np.int32]) -> NDArray[np.float32]:
        """Logits of the next token, (rows, vocab_size), for the newest token of every row, (rows,)."""
        model, vocab_size = self._model, self._model.vocab_size
        tokens = np.ascontiguousarray(tokens, np.int32)
        logits = np.empty((self.rows, -(-vocab_size // _PANEL) * _PANEL), np.float32)
        model._check(
            model._library.resmlp_state_step(
                model._model, self._state, _pointer(tokens), _pointer(logits), logits.shape[1]
            )
        )
        return logits[:, :vocab_size]

    def reorder(self, backpointers: NDArray[np.int32]) -> None:
        """Row r continues what row `backpointers[r]` was; the rows of a sentence need not be adjacent."""
        backpointers = np.ascontiguousarray(backpointers, np.int32)
        model = self._model
        model._check(model._library.resmlp_state_reorder(self._state, _pointer(backpointers), len(backpointers)))
        self.rows = len(backpointers)


def _flatten(rows: Sequence[Sequence[int] | NDArray[np.int32]]) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """All rows one behind the other, and the length of each."""
    parts = [np.asarray(row, np.int32) for row in rows]
    return np.concatenate(parts) if parts else np.zeros(0, np.int32), np.asarray([len(p) for p in parts], np.int32)


def _starts(lengths: NDArray[np.int32]) -> NDArray[np.int64]:
    return np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)


def _pointer(array: NDArray[Any] | None) -> ctypes.c_void_p | None:
    return None if array is None else array.ctypes.data_as(ctypes.c_void_p)
