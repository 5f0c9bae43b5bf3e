"""Toy models and sentences for the tests."""

from typing import Any, TypeVar

import torch

from resmlp_mt.translation.model.config import ModelConfig
from resmlp_mt.translation.model.decoder import Decoder
from resmlp_mt.translation.model.embedding import build_token_embedding
from resmlp_mt.translation.model.encoder import Encoder

PAD, EOS, VOCAB_SIZE = 1, 2, 31

ModuleT = TypeVar("ModuleT", bound=torch.nn.Module)


def toy_config(dim: int = 14, max_len: int = 19, num_layers: int = 3, **changes: Any) -> ModelConfig:
    """A small model whose sizes are distinct primes or products of them, with no initial value of zero."""
    values = {
        **{f"{side}_embed_dim": dim for side in ("encoder", "decoder")},
        **{f"{side}_ffn_embed_dim": 29 for side in ("encoder", "decoder")},
        **{f"{side}_layers": num_layers for side in ("encoder", "decoder")},
        **{f"max_{side}_positions": max_len for side in ("source", "target")},
        "layer_scale": 0.3,
        "mixing_init_std": 0.2,
        "dropout": 0.0,
        "cross_attention_heads": 2,
    }
    return ModelConfig(**{**values, **changes})


def shake(module: ModuleT, seed: int = 3) -> ModuleT:
    """Perturbs every parameter, so that no bias is zero and no scale is one."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.05 * torch.randn(parameter.shape, generator=generator))
    return module


def make_model(tie_output: bool = True, **changes: Any) -> tuple[Encoder, Decoder]:
    """Makes an encoder and a decoder with perturbed parameters from changes to `toy_config`."""
    torch.manual_seed(1)
    config = toy_config(**changes)
    table = build_token_embedding(VOCAB_SIZE, config.encoder.dim, PAD)
    encoder = shake(Encoder(table, config.encoder)).eval()
    decoder = shake(Decoder(table, config.decoder, tie_output)).eval()
    return encoder, decoder


def sentences(lengths: list[int], seed: int = 5) -> list[torch.Tensor]:
    """Random sentences that end with the end-of-sentence token, each (length,)."""
    generator = torch.Generator().manual_seed(seed)
    return [
        torch.cat([torch.randint(3, VOCAB_SIZE, (n - 1,), generator=generator), torch.tensor([EOS])]) for n in lengths
    ]


def pad(rows: list[torch.Tensor], left: bool = False, width: int | None = None) -> torch.Tensor:
    """Batches sentences: (batch, width), padded on the left or on the right."""
    width = width or max(len(row) for row in rows)
    batch = torch.full((len(rows), width), PAD)
    for target, row in zip(batch, rows, strict=True):
        target[width - len(row) :] = row if left else target[width - len(row) :]
        if not left:
            target[: len(row)] = row
    return batch
