"""Registered architectures: parameter counts by formula, and the same model from `--arch` and Hydra."""

import re
from argparse import Namespace
from dataclasses import fields

import pytest
import torch
from fairseq import options
from fairseq.data import Dictionary
from fairseq.dataclass.utils import convert_namespace_to_omegaconf
from fairseq.models import ARCH_MODEL_REGISTRY, MODEL_DATACLASS_REGISTRY, build_model
from omegaconf import OmegaConf

from resmlp_mt.common.errors import ResMLPError
from resmlp_mt.translation.model.architectures import ARCHITECTURES

pytestmark = pytest.mark.usefixtures("fairseq_plugin")

VOCAB_SIZE = 40


def make_dictionary(vocab_size=VOCAB_SIZE):
    result = Dictionary()
    for index in range(vocab_size - len(result)):
        result.add_symbol(str(index))
    return result


def make_task(src_vocab_size=VOCAB_SIZE, tgt_vocab_size=VOCAB_SIZE, left_pad_target=False):
    cfg = Namespace(left_pad_target=left_pad_target)
    return Namespace(
        source_dictionary=make_dictionary(src_vocab_size), target_dictionary=make_dictionary(tgt_vocab_size), cfg=cfg
    )


def from_command_line(name, *args):
    arguments = ["data", "--task", "translation", "--arch", name, *args]
    return convert_namespace_to_omegaconf(options.parse_args_and_arch(options.get_training_parser(), arguments)).model


def build(name, *args, **task_changes):
    return build_model(from_command_line(name, *args), make_task(**task_changes))


def expected_parameters(cfg):
    """Counts by formula: m * n + n for a linear layer from m to n, 2 * d for an Affine or LayerNorm of dim d."""

    def linear(inputs, outputs):
        return inputs * outputs + outputs

    def channel_mlp(dim, hidden):
        return linear(dim, hidden) + linear(hidden, dim) + 4 * dim

    def mixing(positions, dim):
        return positions * positions + positions + 4 * dim

    encoder_dim, decoder_dim = cfg.encoder_embed_dim, cfg.decoder_embed_dim
    cross = 2 * linear(decoder_dim, decoder_dim) + 2 * linear(encoder_dim, decoder_dim) + 4 * decoder_dim
    encoder_layer = mixing(cfg.max_source_positions, encoder_dim) + channel_mlp(encoder_dim, cfg.encoder_ffn_embed_dim)
    decoder_layer = mixing(cfg.max_target_positions, decoder_dim) + channel_mlp(decoder_dim, cfg.decoder_ffn_embed_dim)
    if cfg.share_all_embeddings:
        tables = VOCAB_SIZE * encoder_dim
    elif cfg.share_decoder_input_output_embed:
        tables = VOCAB_SIZE * (encoder_dim + decoder_dim)
    else:
        tables = VOCAB_SIZE * (encoder_dim + 2 * decoder_dim)
    layers = cfg.encoder_layers * encoder_layer + cfg.decoder_layers * (decoder_layer + cross)
    return tables + layers + 2 * encoder_dim + 2 * decoder_dim


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_parameter_count_and_equal_model_from_hydra(name):
    model = build(name)
    cfg = MODEL_DATACLASS_REGISTRY[name]()
    assert sum(parameter.numel() for parameter in model.parameters()) == expected_parameters(cfg)
    from_hydra = build_model(OmegaConf.create({"_name": name}), make_task())
    shapes = [{key: value.shape for key, value in each.state_dict().items()} for each in (model, from_hydra)]
    assert shapes[0] == shapes[1]
    assert type(model) is type(from_hydra) is ARCH_MODEL_REGISTRY[name]


def test_wmt_architectures_match_paper():
    for name, layers, dropout in [("en_de", 6, 0.15), ("en_de_12", 12, 0.15), ("en_fr", 6, 0.1), ("en_fr_12", 12, 0.1)]:
        cfg = MODEL_DATACLASS_REGISTRY[f"resmlp_wmt_{name}"]()
        assert (cfg.encoder_embed_dim, cfg.encoder_ffn_embed_dim) == (512, 2048)
        assert (cfg.decoder_embed_dim, cfg.decoder_ffn_embed_dim) == (512, 2048)
        assert (cfg.encoder_layers, cfg.decoder_layers) == (layers, layers)
        assert (cfg.dropout, cfg.layer_scale, str(cfg.norm)) == (dropout, 0.2, "affine")


def test_option_overrides_architecture():
    assert from_command_line("resmlp_wmt_en_de").dropout == 0.15
    assert from_command_line("resmlp_wmt_en_de", "--dropout", "0.3").dropout == 0.3


def test_switches_are_off_by_default():
    for field in fields(MODEL_DATACLASS_REGISTRY["resmlp"]):
        if field.type is bool:
            assert field.default is False, field.name


@pytest.mark.parametrize(
    ("args", "valid"),
    [(("--norm", "batchnorm"), "affine.*layernorm"), (("--activation-fn", "tanh"), "gelu.*relu.*silu.*hardswish")],
)
def test_invalid_option_value_lists_valid_ones(args, valid, capsys):
    with pytest.raises(SystemExit) as error:
        build("resmlp_tiny", *args)
    assert error.value.code == 2
    assert re.search(valid, capsys.readouterr().err)


def test_unknown_architecture_lists_valid_ones(capsys):
    with pytest.raises(SystemExit) as error:
        build("resmlp_huge")
    assert error.value.code == 2
    assert "resmlp_wmt_en_de" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("args", "changes", "message"),
    [
        (("--share-all-embeddings",), {"tgt_vocab_size": 41}, "one dictionary for both languages"),
        (("--share-all-embeddings", "--encoder-embed-dim", "64"), {}, "decoder_embed_dim is 32"),
        (("--dropout", "1.5"), {}, "--dropout must be at least 0 and below 1, but is 1.5"),
        (("--cross-attention-heads", "5"), {}, "divisible by its 5 cross-attention heads"),
    ],
)
def test_inconsistent_settings_are_refused(args, changes, message):
    with pytest.raises(ResMLPError, match=message):
        build("resmlp_tiny", *args, **changes)


def test_encoder_and_decoder_may_differ_in_dim_and_depth():
    args = [
        "--encoder-embed-dim",
        "24",
        "--encoder-layers",
        "3",
        "--decoder-layers",
        "1",
        "--encoder-ffn-embed-dim",
        "7",
    ]
    model = build("resmlp_tiny", *args, src_vocab_size=37, tgt_vocab_size=41)
    tokens = torch.randint(4, 37, (3, 5))
    logits, _ = model(tokens, torch.full((3,), 5), torch.randint(4, 41, (3, 7)))
    assert logits.shape == (3, 7, 41)


def test_left_padded_target_equals_right_padded():
    torch.manual_seed(1)
    model = build("resmlp_tiny").eval()
    pad = model.decoder.padding_index
    source = torch.randint(4, VOCAB_SIZE, (2, 5))
    target = torch.randint(4, VOCAB_SIZE, (2, 7))
    right, left = target.clone(), target.clone()
    right[1, 4:] = pad
    left[1, :3], left[1, 3:] = pad, target[1, :4]
    expected, _ = model(source, None, right)
    model.decoder.left_pad_target = True
    logits, extra = model(source, None, left)
    torch.testing.assert_close(logits[0], expected[0], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(logits[1, 3:], expected[1, :4], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(extra["attn"][0][1, 3:].sum(-1), torch.ones(4))


def test_make_generation_fast_keeps_logits():
    torch.manual_seed(1)
    model = build("resmlp_tiny", "--layer-scale", "0.7").eval()
    source, target = torch.randint(4, VOCAB_SIZE, (2, 5)), torch.randint(4, VOCAB_SIZE, (2, 7))
    with torch.no_grad():
        expected, _ = model(source, None, target)
        model.make_generation_fast_(need_attn=False)
        logits, extra = model(source, None, target)
    torch.testing.assert_close(logits, expected, atol=1e-5, rtol=1e-5)
    assert extra["attn"] == [None]
