"""Encoder and decoder: batch and padding invariance, causality, steps, folding, gradients."""

import pytest
import torch
from toy import EOS, PAD, VOCAB_SIZE, make_model, pad, sentences, toy_config

from resmlp_mt.common.errors import ResMLPError
from resmlp_mt.translation.model.decoder import Decoder
from resmlp_mt.translation.model.embedding import build_token_embedding
from resmlp_mt.translation.model.encoder import Encoder

VARIANTS = [
    {},
    {"norm": "layernorm"},
    {"no_mixing_bias": True, "no_post_bias": True},
    {"positional_embeddings": "learned", "activation_fn": "relu"},
    {"positional_embeddings": "sinusoidal", "no_scale_embedding": True},
]
CLOSE = {"atol": 1e-5, "rtol": 1e-5}


def encode(encoder, rows, left=False, width=None):
    tokens = pad(rows, left, width)
    return encoder(tokens, tokens.eq(PAD))


def logits_of(decoder, memory, targets):
    features, _ = decoder(targets, memory)
    return decoder.output(features)


@pytest.mark.parametrize("changes", VARIANTS)
@pytest.mark.parametrize("left", [True, False])
def test_encoder_batch_invariance(changes, left):
    encoder, _ = make_model(**changes)
    rows = sentences([3, 17, 5, 1, 11])
    batch = encode(encoder, rows, left)
    shuffled = encode(encoder, [rows[i] for i in (4, 2, 0, 3, 1)], left, width=19)
    for index, row in enumerate(rows):
        alone = encode(encoder, [row]).hidden[:, 0]
        torch.testing.assert_close(batch.hidden[: len(row), index], alone, **CLOSE)
        torch.testing.assert_close(shuffled.hidden[: len(row), (4, 2, 0, 3, 1).index(index)], alone, **CLOSE)


def test_decoder_batch_invariance():
    encoder, decoder = make_model()
    sources, targets = sentences([3, 17, 5]), sentences([13, 2, 7], seed=6)
    batch = logits_of(decoder, encode(encoder, sources, left=True), pad(targets))
    for index, (source, target) in enumerate(zip(sources, targets, strict=True)):
        alone = logits_of(decoder, encode(encoder, [source]), target[None])
        torch.testing.assert_close(batch[index, : len(target)], alone[0], **CLOSE)


def test_causality():
    encoder, decoder = make_model()
    memory = encode(encoder, sentences([5, 7]))
    target = pad(sentences([11, 11], seed=8))
    before = logits_of(decoder, memory, target)
    for changed in range(11):
        other = target.clone()
        other[:, changed] = (other[:, changed] + 5) % VOCAB_SIZE
        after = logits_of(decoder, memory, other)
        assert torch.equal(after[:, :changed], before[:, :changed])
        assert not torch.equal(after[:, changed], before[:, changed])


@pytest.mark.parametrize("changes", VARIANTS)
@pytest.mark.parametrize("optimized", [False, True])
@torch.no_grad()
def test_step_equals_sequence_across_reorders(changes, optimized):
    encoder, decoder = make_model(**changes)
    beams, length = 3, 18  # more steps than the first capacity of the state
    sources = sentences([5, 3, 7])
    memory = encode(encoder, sources, left=True)
    if optimized:
        decoder.optimize_for_inference()
    state = decoder.start(memory, torch.arange(3).repeat_interleave(beams))
    generator = torch.Generator().manual_seed(4)
    tokens = torch.full((9, 1), EOS)
    source_of_row = torch.arange(3).repeat_interleave(beams)
    for step in range(length):
        logits, attention = decoder.step(tokens[:, -1], state, need_attention=True)
        rows_memory = type(memory)(
            memory.hidden[:, source_of_row], memory.padding_mask[source_of_row], memory.source_positions[source_of_row]
        )
        features, whole_attention = decoder(tokens, rows_memory, need_attention=True)
        torch.testing.assert_close(logits, decoder.output(features[:, -1]), **CLOSE)
        torch.testing.assert_close(attention, whole_attention[:, -1], **CLOSE)
        if step == 6:  # the second sentence is finished and leaves the batch
            origins = torch.tensor([2, 0, 0, 6, 8, 7])
        elif step == 10:  # rows move between sentences, in groups of different size
            origins = torch.tensor([0, 0, 1, 3, 4])
        elif step == 13:
            origins = torch.tensor([4, 1, 4, 4])
        else:  # beams are permuted within their sentences
            group = torch.randint(0, 3, (len(source_of_row),), generator=generator) if step < 6 else None
            origins = (
                torch.arange(len(source_of_row)) if group is None else torch.arange(3).repeat_interleave(3) * 3 + group
            )
        state.reorder(origins)
        source_of_row = source_of_row[origins]
        newest = torch.randint(3, VOCAB_SIZE, (len(origins), 1), generator=generator)
        tokens = torch.cat([tokens[origins], newest], dim=1)


@torch.no_grad()
def test_step_is_close_to_sequence_in_bfloat16():
    encoder, decoder = make_model(layer_scale=0.2, mixing_init_std=0.02)
    encoder, decoder = encoder.bfloat16(), decoder.bfloat16()
    memory = encode(encoder, sentences([5, 3]))
    targets = pad(sentences([11, 11], seed=9))
    whole = logits_of(decoder, memory, targets).float()
    state = decoder.start(memory, torch.arange(2))
    for step in range(11):
        logits, _ = decoder.step(targets[:, step], state)
        # bfloat16 has 8 bits of mantissa: rounding errors of 1/256 accumulate over three layers of three sublayers
        assert (logits.float() - whole[:, step]).abs().max() < 0.04 * whole.std()
        state.reorder(torch.arange(2))


@pytest.mark.parametrize("changes", VARIANTS)
@torch.no_grad()
def test_optimized_equals_unoptimized(changes):
    encoder, decoder = make_model(**changes)
    sources, targets = sentences([5, 3]), pad(sentences([7, 11]))
    memory = encode(encoder, sources)
    expected = logits_of(decoder, memory, targets)
    encoder.optimize_for_inference()
    decoder.optimize_for_inference()
    folded = encode(encoder, sources)
    torch.testing.assert_close(folded.hidden[:3], memory.hidden[:3], **CLOSE)
    torch.testing.assert_close(logits_of(decoder, folded, targets), expected, **CLOSE)


@pytest.mark.parametrize("changes", VARIANTS)
def test_every_parameter_gets_a_gradient(changes):
    encoder, decoder = make_model(tie_output=False, **changes)
    encoder.train()
    decoder.train()
    logits = logits_of(decoder, encode(encoder, sentences([19, 2])), pad(sentences([19, 4], seed=2)))
    logits.square().sum().backward()
    for module in (encoder, decoder):
        for name, parameter in module.named_parameters():
            if not name.endswith("k_proj.bias"):  # adds a constant to the scores of a query; softmax is invariant to it
                assert parameter.grad is not None, name
                assert parameter.grad.abs().sum() > 0, name


def test_layer_scale_zero_leaves_the_embeddings():
    config = toy_config(layer_scale=0.0, num_layers=5)
    table = build_token_embedding(VOCAB_SIZE, config.encoder.dim, PAD)
    encoder, decoder = Encoder(table, config.encoder).eval(), Decoder(table, config.decoder, True).eval()
    tokens = pad(sentences([7, 7]))
    memory = encoder(tokens, tokens.eq(PAD))
    embedded = table(tokens) * config.encoder.dim**0.5
    assert torch.equal(memory.hidden, embedded.transpose(0, 1))
    assert torch.equal(decoder(tokens, memory)[0], embedded)


def test_attention_indexes_the_padded_source():
    encoder, decoder = make_model()
    rows = sentences([3, 7])
    targets = pad(sentences([5, 5]))
    right = decoder(targets, encode(encoder, rows), need_attention=True)[1]
    left = decoder(targets, encode(encoder, rows, left=True), need_attention=True)[1]
    torch.testing.assert_close(left[0, :, 4:], right[0, :, :3], **CLOSE)
    assert left[0, :, :4].eq(0).all()
    assert right[0, :, 3:].eq(0).all()
    torch.testing.assert_close(left[1], right[1], **CLOSE)


def test_too_long_sequence_is_refused():
    encoder, decoder = make_model(max_len=5)
    with pytest.raises(ResMLPError, match="a sentence of 6 tokens is longer than the 5 positions"):
        encode(encoder, sentences([6]))
    memory = encode(encoder, sentences([5]))
    state = decoder.start(memory, torch.arange(1))
    for _ in range(5):
        decoder.step(torch.tensor([EOS]), state)
    with pytest.raises(
        ResMLPError, match="a target of 6 tokens is longer than the 5 positions.*lower the maximum length"
    ):
        decoder.step(torch.tensor([EOS]), state)


@torch.no_grad()
def test_decoder_layer_step_equals_sequence():
    encoder, decoder = make_model()
    layer = decoder.layers[0]
    memory = encode(encoder, sentences([5, 7, 3]))
    state = decoder.start(memory, torch.arange(3))
    x = torch.randn(11, 3, 14, generator=torch.Generator().manual_seed(4))
    whole, attention = layer(x, memory.hidden, ~memory.padding_mask[:, None, None], need_attention=True)
    for position in range(11):
        state.beams.advance()
        stepped, weights = layer.step(x[position], state.layers[0], need_attention=True)
        torch.testing.assert_close(stepped, whole[position], **CLOSE)
        torch.testing.assert_close(weights, attention[:, position], **CLOSE)


@torch.no_grad()
def test_optimizing_twice_changes_nothing():
    encoder, decoder = make_model()
    memory = encode(encoder, sentences([5, 3]))
    targets = pad(sentences([7, 11]))
    decoder.optimize_for_inference()
    expected = logits_of(decoder, memory, targets)
    decoder.optimize_for_inference()
    assert torch.equal(logits_of(decoder, memory, targets), expected)
