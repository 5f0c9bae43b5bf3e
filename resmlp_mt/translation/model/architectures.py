"""The registered translation architectures: each row is a difference from `resmlp`, with its reason.

"paper" is arXiv:2105.03404. What no row names has the default of `resmlp_mt.translation.model.config.ModelConfig`.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import Any

_12_LAYERS = {
    "encoder_layers": 12,
    "decoder_layers": 12,
}  # paper, table 5: ResMLP-12; 12+12 as 6 is 6+6 in Vaswani et al.

# Paper, section 3.6: dimension 512, hidden 2048, LayerScale 0.2. Positions and heads: Note: the paper is silent;
# fairseq's WMT14 preparation keeps sentences of at most 250 sub-words, and Vaswani et al. have 8 heads. One vocabulary
# of both languages with one embedding table is the set-up of Ott et al. 2018, which the paper follows.
_WMT = {
    "share_all_embeddings": True,
    "max_source_positions": 256,
    "max_target_positions": 256,
}

ARCHITECTURES: MappingProxyType[str, dict[str, Any]] = MappingProxyType(
    {
        "resmlp": {},
        "resmlp_wmt_en_de": {**_WMT, "dropout": 0.15},  # paper, section 3.6: dropout 0.15 for En-De
        "resmlp_wmt_en_de_12": {**_WMT, **_12_LAYERS, "dropout": 0.15},
        "resmlp_wmt_en_fr": {**_WMT, "dropout": 0.1},  # paper, section 3.6: dropout 0.1 for En-Fr
        "resmlp_wmt_en_fr_12": {**_WMT, **_12_LAYERS, "dropout": 0.1},
        # fairseq's transformer_iwslt_de_en: hidden 1024, 4 heads, and its recipe's dropout 0.3.
        "resmlp_iwslt_de_en": {
            "encoder_ffn_embed_dim": 1024,
            "decoder_ffn_embed_dim": 1024,
            "cross_attention_heads": 4,
            "share_decoder_input_output_embed": True,
            "max_source_positions": 256,
            "max_target_positions": 256,
            "dropout": 0.3,
        },
        # 29,000 short sentences: small. What differs from the WMT models (LayerNorm, LayerScale 1, sinusoids, little
        # dropout) is ahead on validation in docs/results.md, "Settings for multi30k", with Adagrad at a rate of 0.2.
        "resmlp_multi30k": {
            "norm": "layernorm",
            "layer_scale": 1.0,
            "positional_embeddings": "sinusoidal",
            "encoder_embed_dim": 128,
            "decoder_embed_dim": 128,
            "encoder_ffn_embed_dim": 512,
            "decoder_ffn_embed_dim": 512,
            "encoder_layers": 3,
            "decoder_layers": 3,
            "cross_attention_heads": 4,
            "share_all_embeddings": True,
            "max_source_positions": 128,
            "max_target_positions": 128,
            "dropout": 0.1,
        },
        # For tests: seconds, not quality.
        "resmlp_tiny": {
            "encoder_embed_dim": 32,
            "decoder_embed_dim": 32,
            "encoder_ffn_embed_dim": 64,
            "decoder_ffn_embed_dim": 64,
            "encoder_layers": 2,
            "decoder_layers": 2,
            "cross_attention_heads": 2,
            "max_source_positions": 64,
            "max_target_positions": 64,
            "dropout": 0.0,
        },
    }
)
