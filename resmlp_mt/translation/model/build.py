"""Builds an encoder and a decoder from a configuration, without fairseq."""

from __future__ import annotations

from resmlp_mt.translation.model.config import ModelConfig
from resmlp_mt.translation.model.decoder import Decoder
from resmlp_mt.translation.model.embedding import build_token_embedding
from resmlp_mt.translation.model.encoder import Encoder
from resmlp_mt.translation.special_tokens import SPECIAL_TOKENS


def build_core(config: ModelConfig, source_vocab_size: int, target_vocab_size: int) -> tuple[Encoder, Decoder]:
    """Builds an encoder and a decoder with random parameters; the configuration decides which embeddings are shared.

    Args:
        config: the architecture.
        source_vocab_size: number of source tokens, including special tokens.
        target_vocab_size: number of target tokens, including special tokens.
    """
    source_table = build_token_embedding(source_vocab_size, config.encoder_embed_dim, SPECIAL_TOKENS.padding)
    if config.share_all_embeddings:
        target_table = source_table
    else:
        target_table = build_token_embedding(target_vocab_size, config.decoder_embed_dim, SPECIAL_TOKENS.padding)
    tie_output = config.share_all_embeddings or config.share_decoder_input_output_embed
    return Encoder(source_table, config.encoder), Decoder(target_table, config.decoder, tie_output)
