"""Toy models and sentences for the tests."""

import torch

from resmlp_mt.translation.model.decoder import Decoder
from resmlp_mt.translation.model.embedding import build_token_embedding
from resmlp_mt.translation.model.encoder import Encoder
from resmlp_mt.translation.model.stack_settings import StackSettings

PAD, EOS, VOCAB_SIZE = 1, 2, 31


def build_settings(**changes) -> StackSettings:
    """A small stack whose sizes are distinct primes or products of them, with nothing at its start value of zero."""
    values = {
        "dim": 14,
        "hidden_dim": 29,
        "num_layers": 3,
        "max_len": 19,
        "norm": "affine",
        "activation": "gelu",
        "layer_scale": 0.3,
        "post_bias": True,
        "mixing_bias": True,
        "mixing_init_std": 0.2,
        "positions": "none",
        "scale_embedding": True,
        "dropout": 0.0,
        "embedding_dropout": 0.0,
        "activation_dropout": 0.0,
        "attention_dropout": 0.0,
        "drop_path": 0.0,
        "num_heads": 2,
        "memory_dim": 14,
    }
    return StackSettings(**{**values, **changes})


def shake(module: torch.nn.Module, seed: int = 3) -> torch.nn.Module:
    """Moves every parameter away from where it starts, so that no bias is zero and no scale is one."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.05 * torch.randn(parameter.shape, generator=generator))
    return module


def make_model(tie_output: bool = True, **changes) -> tuple[Encoder, Decoder]:
    """Makes an encoder and a decoder with shaken parameters from changes to `build_settings`."""
    torch.manual_seed(1)
    settings = build_settings(**changes)
    table = build_token_embedding(VOCAB_SIZE, settings.dim, PAD)
    encoder = shake(Encoder(table, settings)).eval()
    decoder = shake(Decoder(table, settings, tie_output)).eval()
    return encoder, decoder


def sentences(lengths: list[int], seed: int = 5) -> list[torch.Tensor]:
    """Random sentences that end with the end-of-sentence token, each (length,)."""
    generator = torch.Generator().manual_seed(seed)
    return [
        torch.cat([torch.randint(3, VOCAB_SIZE, (n - 1,), generator=generator), torch.tensor([EOS])]) for n in lengths
    ]


def pad(rows: list[torch.Tensor], left: bool = False, width: int | None = None) -> torch.Tensor:
    """Batches sentences: (batch, width), padded on the side asked for."""
    width = width or max(len(row) for row in rows)
    batch = torch.full((len(rows), width), PAD)
    for target, row in zip(batch, rows, strict=True):
        target[width - len(row) :] = row if left else target[width - len(row) :]
        if not left:
            target[: len(row)] = row
    return batch
