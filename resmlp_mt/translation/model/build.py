"""From the options of an architecture to an encoder and a decoder, without fairseq."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from resmlp_mt.common.errors import require, require_flag, require_number, require_whole_number
from resmlp_mt.translation.model.decoder import Decoder
from resmlp_mt.translation.model.embedding import build_token_embedding
from resmlp_mt.translation.model.encoder import Encoder
from resmlp_mt.translation.model.stack_settings import StackSettings
from resmlp_mt.translation.special_tokens import SPECIAL_TOKENS as SYMBOLS


class Options(Protocol):
    """What `ResMLPConfig` of the fairseq plugin says of both sides; `encoder_*` and `decoder_*` of either."""

    encoder_embed_dim: int
    decoder_embed_dim: int
    max_source_positions: int
    max_target_positions: int
    cross_attention_heads: int
    share_all_embeddings: bool
    share_decoder_input_output_embed: bool
    no_scale_embedding: bool
    positional_embeddings: str
    norm: str
    activation_fn: str
    layer_scale: float
    mixing_init_std: float
    no_mixing_bias: bool
    no_post_bias: bool
    dropout: float
    embedding_dropout: float | None
    activation_dropout: float
    attention_dropout: float
    drop_path: float


_LARGEST = 1_000_000  # no size of a model comes near it; refuses sizes made to fill the memory
_SIZES = (
    *(f"{side}_{name}" for side in ("encoder", "decoder") for name in ("embed_dim", "ffn_embed_dim", "layers")),
    *("cross_attention_heads", "max_source_positions", "max_target_positions"),
)
_NUMBERS = ("layer_scale", "mixing_init_std")
_PROBABILITIES = ("dropout", "activation_dropout", "attention_dropout", "drop_path", "embedding_dropout")
_FLAGS = (
    *("share_all_embeddings", "share_decoder_input_output_embed"),
    *("no_scale_embedding", "no_mixing_bias", "no_post_bias"),
)


def option_name(field: str) -> str:
    """What fairseq-train calls an option."""
    return f"--{field.replace('_', '-')}"


def check_options(options: Options, name_of: Callable[[str], str] = option_name) -> None:
    """Checks the type and the range of every option that has one.

    Args:
        options: the architecture.
        name_of: what the message calls an option.

    Raises:
        ResMLPError: names the first option that is missing, of another type or out of range.
    """
    for field in (*_SIZES, *_NUMBERS, *_PROBABILITIES, *_FLAGS, "norm", "activation_fn", "positional_embeddings"):
        require(hasattr(options, field), name_of(field), "given", "missing", "get the model again")
    for field in _SIZES:
        require_whole_number(name_of(field), getattr(options, field), 1, _LARGEST)
    for field in _NUMBERS:
        require_number(name_of(field), getattr(options, field), 0, _LARGEST)
    for field in _FLAGS:
        require_flag(name_of(field), getattr(options, field))
    for field in _PROBABILITIES:
        value = getattr(options, field)
        if value is None and field == "embedding_dropout":
            continue
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        fits = is_number and 0 <= value < 1
        require(fits, name_of(field), "at least 0 and below 1", value, "give a probability")


def stack_settings(options: Options, side: str) -> StackSettings:
    """Translates the options of one side, "encoder" or "decoder", into terms of the layers.

    Raises:
        ResMLPError: see `check_options`.
    """
    check_options(options)
    embedding_dropout = options.dropout if options.embedding_dropout is None else options.embedding_dropout
    return StackSettings(
        dim=getattr(options, f"{side}_embed_dim"),
        hidden_dim=getattr(options, f"{side}_ffn_embed_dim"),
        num_layers=getattr(options, f"{side}_layers"),
        max_len=options.max_source_positions if side == "encoder" else options.max_target_positions,
        norm=str(options.norm),
        activation=str(options.activation_fn),
        layer_scale=options.layer_scale,
        post_bias=not options.no_post_bias,
        mixing_bias=not options.no_mixing_bias,
        mixing_init_std=options.mixing_init_std,
        positions=str(options.positional_embeddings),
        scale_embedding=not options.no_scale_embedding,
        dropout=options.dropout,
        embedding_dropout=embedding_dropout,
        activation_dropout=options.activation_dropout,
        attention_dropout=options.attention_dropout,
        drop_path=options.drop_path,
        num_heads=options.cross_attention_heads,
        memory_dim=options.encoder_embed_dim,
    )


def build_core(options: Options, source_vocab_size: int, target_vocab_size: int) -> tuple[Encoder, Decoder]:
    """Makes an encoder and a decoder with random parameters, which share embeddings as the options say.

    Args:
        options: the architecture.
        source_vocab_size, target_vocab_size: number of tokens, special ones included.

    Raises:
        ResMLPError: if the options do not fit together.
    """
    encoder_settings, decoder_settings = stack_settings(options, "encoder"), stack_settings(options, "decoder")
    source_table = build_token_embedding(source_vocab_size, encoder_settings.dim, SYMBOLS.padding)
    if options.share_all_embeddings:
        require(
            encoder_settings.dim == decoder_settings.dim,
            "--encoder-embed-dim",
            f"--decoder-embed-dim {decoder_settings.dim} with --share-all-embeddings",
            encoder_settings.dim,
            "make both equal",
        )
        target_table = source_table
    else:
        target_table = build_token_embedding(target_vocab_size, decoder_settings.dim, SYMBOLS.padding)
    tie_output = options.share_all_embeddings or options.share_decoder_input_output_embed
    return Encoder(source_table, encoder_settings), Decoder(target_table, decoder_settings, tie_output)
