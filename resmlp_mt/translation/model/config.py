"""The options of a ResMLP translation model: the only place where they are written, see `resmlp_mt.common.config`."""

from __future__ import annotations

from dataclasses import dataclass

from resmlp_mt.common.config import check_config, option
from resmlp_mt.common.errors import ResMLPError
from resmlp_mt.nn.affine import NORMS
from resmlp_mt.nn.channel_mlp import ACTIVATIONS
from resmlp_mt.nn.positions import POSITIONAL_EMBEDDINGS


@dataclass(frozen=True)
class ModelConfig:
    """Options of a model, with the defaults of the architecture `resmlp`. "Paper" is arXiv:2105.03404.

    Raises:
        ResMLPError: when a value is not allowed, or two do not fit together.
    """

    encoder_embed_dim: int = option(512, "model dim of the encoder", source="paper: 512", minimum=1)
    encoder_ffn_embed_dim: int = option(2048, "hidden dim of the encoder's MLP", source="paper: 2048", minimum=1)
    encoder_layers: int = option(6, "number of encoder layers", source="paper: 6 or 12", minimum=1)
    decoder_embed_dim: int = option(512, "model dim of the decoder", source="paper: 512", minimum=1)
    decoder_ffn_embed_dim: int = option(2048, "hidden dim of the decoder's MLP", source="paper: 2048", minimum=1)
    decoder_layers: int = option(6, "number of decoder layers", source="paper: 6 or 12", minimum=1)
    cross_attention_heads: int = option(
        8, "number of cross-attention heads", source="paper silent; Vaswani et al. 2017: 8", minimum=1
    )
    max_source_positions: int = option(
        512, "maximum source length in tokens: size of the encoder's mixing matrices", source="paper silent", minimum=1
    )
    max_target_positions: int = option(
        512, "maximum target length in tokens: size of the decoder's mixing matrices", source="paper silent", minimum=1
    )
    share_all_embeddings: bool = option(
        False, "one embedding table for source, target and output; requires a joined dictionary"
    )
    share_decoder_input_output_embed: bool = option(False, "one embedding table for target and output")
    no_scale_embedding: bool = option(False, "do not multiply embeddings by the square root of the model dim")
    positional_embeddings: str = option(
        "none", "positional embeddings added to the tokens", source="paper silent", choices=POSITIONAL_EMBEDDINGS
    )
    norm: str = option(
        "affine",
        "normalization before each sublayer and before the output",
        source="paper's image models: affine",
        choices=NORMS,
    )
    activation_fn: str = option("gelu", "activation of the MLPs", source="paper, eq. 3: gelu", choices=ACTIVATIONS)
    layer_scale: float = option(0.2, "initial LayerScale after each sublayer", source="paper, section 3.6: 0.2")
    mixing_init_std: float = option(
        0.02, "standard deviation of the initial mixing matrices", source="paper silent; deit: 0.02"
    )
    no_mixing_bias: bool = option(False, "no bias per position in the mixing")
    no_post_bias: bool = option(
        False, "no bias in the Affine (LayerScale) after each sublayer", source="as in the paper's pseudo-code"
    )
    dropout: float = option(
        0.1, "dropout after each sublayer", source="paper, section 3.6: 0.15 En-De, 0.1 En-Fr", below=1
    )
    embedding_dropout: float | None = option(None, "dropout of the embeddings; none: the value of --dropout", below=1)
    activation_dropout: float = option(0.0, "dropout after the activation of the MLPs", below=1)
    attention_dropout: float = option(0.0, "dropout of the attention weights", below=1)
    drop_path: float = option(0.0, "probability of skipping a sublayer for a sentence (stochastic depth)", below=1)

    def __post_init__(self) -> None:
        check_config(self)
        if self.share_all_embeddings and self.encoder_embed_dim != self.decoder_embed_dim:
            raise ResMLPError(
                f"share_all_embeddings requires equal model dims, but encoder_embed_dim is {self.encoder_embed_dim} "
                f"and decoder_embed_dim is {self.decoder_embed_dim}"
            )

    @property
    def encoder(self) -> StackConfig:
        """The encoder's part."""
        return StackConfig(
            self, self.encoder_embed_dim, self.encoder_ffn_embed_dim, self.encoder_layers, self.max_source_positions
        )

    @property
    def decoder(self) -> StackConfig:
        """The decoder's part."""
        return StackConfig(
            self, self.decoder_embed_dim, self.decoder_ffn_embed_dim, self.decoder_layers, self.max_target_positions
        )


@dataclass(frozen=True)
class StackConfig:
    """One side of a model: its own sizes, and the options that both sides share.

    Attributes:
        model: all options.
        dim: model dim.
        hidden_dim: hidden dim of the MLP.
        num_layers: depth.
        max_len: positions of the mixing matrices.
    """

    model: ModelConfig
    dim: int
    hidden_dim: int
    num_layers: int
    max_len: int
