"""The int8 engine: every instruction set agrees, no result depends on the batch, and searches equal those in Python."""

import random

import numpy as np
import pytest
import torch
from toy import shake

from resmlp_mt.common.errors import ResMLPError
from resmlp_mt.translation.backends import NativeBackend, NativeStepModel
from resmlp_mt.translation.engine.native import library
from resmlp_mt.translation.engine.native.model import NativeModel
from resmlp_mt.translation.engine.native.quantization import SCALE, dequantize, is_quantized, quantize, quantize_rows
from resmlp_mt.translation.engine.step_model import TranslationModel
from resmlp_mt.translation.model.build import build_core
from resmlp_mt.translation.model.config import ModelConfig
from resmlp_mt.translation.search.beam_search import BeamSearch, Source
from resmlp_mt.translation.search.forced_decoding import force_decode
from resmlp_mt.translation.search.settings import SearchSettings

pytestmark = pytest.mark.skipif(not library.available(), reason="the engine was not compiled")

VOCABULARY = 71
# Sizes that fit neither the vectors nor the panels of the engine, and heads with an odd number of features.
SIZES = {
    "encoder_embed_dim": 44,
    "decoder_embed_dim": 35,
    "encoder_ffn_embed_dim": 70,
    "decoder_ffn_embed_dim": 130,
    "encoder_layers": 2,
    "decoder_layers": 2,
    "cross_attention_heads": 5,
    "max_source_positions": 30,
    "max_target_positions": 24,
}
VARIANTS = {
    "paper": {},
    "layernorm": {"norm": "layernorm", "activation_fn": "relu"},
    "sinusoids": {"positional_embeddings": "sinusoidal", "activation_fn": "silu", "no_scale_embedding": True},
    "learned": {"positional_embeddings": "learned", "activation_fn": "hardswish"},
    "no_biases": {"no_mixing_bias": True, "no_post_bias": True},
    "shared": {
        "share_all_embeddings": True,
        "encoder_embed_dim": 64,
        "decoder_embed_dim": 64,
        "cross_attention_heads": 2,
    },
}


def torch_model(**options) -> TranslationModel:
    torch.manual_seed(5)
    model = TranslationModel(*build_core(ModelConfig(**{**SIZES, **options}), VOCABULARY, VOCABULARY)).eval()
    for number in range(4):
        shake(model, number)
    return model.requires_grad_(False)


def parameters_of(model) -> dict[str, np.ndarray]:
    parameters = {name: value.numpy() for name, value in model.state_dict().items()}
    for side in ("encoder", "decoder"):
        positions = getattr(model, side).embedding.positions
        if positions is not None:
            parameters[f"{side}.embedding.positions.weight"] = positions.weight.numpy()
    return parameters


def native(instructions=None, **options) -> NativeModel:
    parameters = quantize(parameters_of(torch_model(**options)))
    return NativeModel(ModelConfig(**{**SIZES, **options}), (VOCABULARY, VOCABULARY), parameters, instructions)


def sentences(count=25, seed=1) -> list[list[int]]:
    generator = random.Random(seed)
    return [[*generator.choices(range(4, VOCABULARY), k=generator.randrange(0, 29)), 2] for _ in range(count)]


@pytest.fixture(scope="module")
def model():
    return native()


def test_weights_are_rounded_to_nearest_step():
    weight = np.random.default_rng(1).normal(size=(7, 33)).astype(np.float32)
    weight[3] = 0
    steps, scales = quantize_rows(weight)
    assert steps.dtype == np.int8
    assert np.abs(steps).max(axis=1).tolist() == [127, 127, 127, 0, 127, 127, 127]
    assert np.abs(steps * scales[:, None] - weight).max() <= scales.max() / 2 * 1.0001


def test_embeddings_and_linear_weights_are_quantized():
    parameters = parameters_of(torch_model(share_all_embeddings=True, decoder_embed_dim=44, cross_attention_heads=4))
    quantized = quantize(parameters)
    names = {name for name in parameters if parameters[name].ndim == 2 and "mixing" not in name}
    assert {name for name in parameters if is_quantized(name)} == names
    assert all(quantized[name].dtype == np.int8 and quantized[name + SCALE].ndim == 1 for name in names)
    assert quantized["encoder.embedding.tokens.weight"] is quantized["decoder.output.weight"]
    restored = dequantize(quantized)
    assert restored.keys() == parameters.keys()
    assert all(np.abs(restored[name] - parameters[name]).max() < 0.02 for name in parameters)


@pytest.mark.parametrize("options", VARIANTS.values(), ids=VARIANTS)
def test_logits_are_near_those_of_torch(options):
    reference = torch_model(**options)
    source = sentences(4)
    state = native(**options).start(source, 4)
    tokens = torch.tensor([[2, 9, 30, 8, 17]] * 4)
    padded = torch.ones(4, max(map(len, source)), dtype=torch.long)
    for row, sentence in zip(padded, source, strict=True):
        row[: len(sentence)] = torch.tensor(sentence)
    mask = torch.arange(padded.size(1)) >= torch.tensor([len(sentence) for sentence in source])[:, None]
    expected = reference.decoder.output(reference.decoder(tokens, reference.encoder(padded, mask))[0])
    for position in range(tokens.size(1)):
        logits = state.step(tokens[:, position].numpy())
        error = np.abs(logits - expected[:, position].numpy()).max() / expected.std()
        assert error < 0.15


@pytest.mark.parametrize("instructions", library.available()[1:])
@pytest.mark.parametrize("options", [VARIANTS["paper"], VARIANTS["layernorm"]], ids=["paper", "layernorm"])
def test_instruction_sets_agree(instructions, options):
    fastest, other = native(**options), native(instructions, **options)
    state, other_state = fastest.start(sentences(), 25), other.start(sentences(), 25)
    for token in (2, 40, 5):
        tokens = np.full(25, token)
        assert np.abs(state.step(tokens) - other_state.step(tokens)).max() < 0.05
    lengths = [12] * 25
    same = [
        a[0].tokens == b[0].tokens
        for a, b in zip(fastest.search(sentences(), lengths), other.search(sentences(), lengths), strict=True)
    ]
    assert sum(same) >= 20  # roundings of the last bit change some of the many near ties of a random model


@pytest.mark.parametrize("instructions", library.available())
@pytest.mark.parametrize("beam_size", [1, 4])
def test_no_result_depends_on_batch(instructions, beam_size):
    engine, batch = native(instructions), sentences(40)
    limits = [len(sentence) % 20 + 1 for sentence in batch]
    together = engine.search(batch, limits, beam_size, beam_size)
    alone = [engine.search([s], [limit], beam_size, beam_size)[0] for s, limit in zip(batch, limits, strict=True)]
    assert together == alone  # tokens and scores, bit for bit
    order = random.Random(2).sample(range(40), 40)
    shuffled = engine.search([batch[i] for i in order], [limits[i] for i in order], beam_size, beam_size)
    assert [shuffled[order.index(i)] for i in range(40)] == together


SETTINGS = {
    "greedy": SearchSettings(beam_size=1, max_len_b=15),
    "beam": SearchSettings(beam_size=5, nbest=5, max_len_b=15),
    "length_penalty": SearchSettings(beam_size=4, nbest=3, length_penalty=0.3, max_len_b=15),
    "lengths": SearchSettings(beam_size=3, nbest=3, min_len=6, max_len_a=0.4, max_len_b=6),
    "unknown": SearchSettings(beam_size=4, nbest=4, unknown_penalty=-5.0, max_len_b=10),
    "temperature": SearchSettings(beam_size=4, nbest=4, temperature=0.5, max_len_b=10),
    "wide": SearchSettings(beam_size=VOCABULARY + 5, nbest=20, max_len_b=6),
}


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
def test_search_equals_that_in_python(model, settings):
    prefixes = [(), (7, 8), (), (30,)]
    sources = [Source(tokens, prefix=prefixes[i % 4]) for i, tokens in enumerate(sentences(24))]
    ours = NativeBackend([model]).search(sources, settings, None)
    expected = BeamSearch([NativeStepModel(model)], settings).search(sources)
    for of_sentence, of_expected in zip(ours, expected, strict=True):
        assert [h.tokens for h in of_sentence] == [h.tokens for h in of_expected]
        assert [h.score for h in of_sentence] == pytest.approx([h.score for h in of_expected], abs=1e-4)
        assert [h.score for h in of_sentence] == sorted((h.score for h in of_sentence), reverse=True)


OTHER_SEARCHES = {
    "sampling": SearchSettings(beam_size=2, sampling=True, max_len_b=8),
    "diverse": SearchSettings(beam_size=4, diverse_groups=2, max_len_b=8),
    "siblings": SearchSettings(beam_size=4, sibling_penalty=1.0, max_len_b=8),
    "no_repeats": SearchSettings(beam_size=4, no_repeat_ngram=1, max_len_b=8),
}


@pytest.mark.parametrize("settings", OTHER_SEARCHES.values(), ids=OTHER_SEARCHES)
def test_other_searches_use_steps_of_engine(model, settings):
    backend = NativeBackend([model])
    together = backend.search([Source(tokens) for tokens in sentences(10)], settings, None)
    alone = [backend.search([Source(tokens)], settings, None)[0] for tokens in sentences(10)]
    assert [h[0].tokens for h in together] == [h[0].tokens for h in alone]
    if settings.no_repeat_ngram:
        assert all(len(set(h[0].tokens)) == len(h[0].tokens) for h in together)


def test_constraints_are_met(model):
    sources = [Source(tokens, constraints=[[33, 34]]) for tokens in sentences(6)]
    for hypotheses in NativeBackend([model]).search(sources, SearchSettings(max_len_b=12), None):
        tokens = hypotheses[0].tokens
        assert [33, 34] in [tokens[i : i + 2] for i in range(len(tokens))]


def test_ensemble_averages_probabilities(model):
    other = native(norm="layernorm")
    pair = NativeBackend([model, other])
    assert len(pair.search([Source(tokens) for tokens in sentences(5)], SearchSettings(max_len_b=9), None)) == 5
    sources, targets = sentences(5), sentences(5, seed=8)
    targets = [target[-12:] for target in targets]
    for both, one, two in zip(
        pair.force(sources, targets), model.force(sources, targets), other.force(sources, targets), strict=True
    ):
        assert both.token_scores == pytest.approx(np.log((np.exp(one[0]) + np.exp(two[0])) / 2).tolist(), rel=1e-5)
        assert both.attention.sum(1).tolist() == pytest.approx([1.0] * len(one[0]), abs=1e-5)


@pytest.mark.parametrize("words", [None, "all"])
def test_forced_decoding_gives_scores_of_search(model, words):
    source = sentences(20)
    lists = None if words is None else [np.arange(VOCABULARY, dtype=np.int32)] * 20
    found = [h[0] for h in model.search(source, [20] * 20, beam_size=4, words=lists)]
    forced = model.force(source, [h.tokens for h in found])
    assert [scores.tolist() for scores, _ in forced] == [h.token_scores for h in found]


def test_attention_is_near_that_of_torch(model):
    source, target = sentences(6), [sentence[-20:] for sentence in sentences(6, seed=3)]
    expected = force_decode([torch_model()], source, target)
    for (_, attention), reference in zip(model.force(source, target), expected, strict=True):
        assert np.abs(attention - reference.attention.numpy()).max() < 0.1


def test_search_uses_words_of_each_sentence_only(model):
    source = sentences(12)
    allowed = [
        np.array(sorted({1, 2, 3, *random.Random(i).sample(range(4, VOCABULARY), 20)}), np.int32) for i in range(12)
    ]
    together = model.search(source, [10] * 12, beam_size=3, nbest=3, words=allowed)
    alone = [model.search([s], [10], 3, 3, words=[a])[0] for s, a in zip(source, allowed, strict=True)]
    assert together == alone
    for hypotheses, words in zip(together, allowed, strict=True):
        assert {token for h in hypotheses for token in h.tokens} <= set(words.tolist())


def test_source_and_target_use_all_positions(model):
    longest = [*[9] * (SIZES["max_source_positions"] - 1), 2]
    limit = SIZES["max_target_positions"] - 1
    hypothesis = model.search([longest], [limit], min_len=limit)[0][0]
    assert len(hypothesis.tokens) == SIZES["max_target_positions"]


@pytest.mark.parametrize(
    ("source", "options", "message"),
    [
        ([*[9] * 30, 2], {}, "a source has no allowed length"),
        ([], {}, "a source has no allowed length"),
        ([VOCABULARY, 2], {}, "a token is not in the vocabulary"),
        ([-1, 2], {}, "a token is not in the vocabulary"),
        ([5, 2], {"words": [np.array([1, 3, 9], np.int32)]}, "the words do not include the end of the sentence"),
        ([5, 2], {"words": [np.array([2, VOCABULARY], np.int32)]}, "a word is not in the vocabulary"),
        ([5, 2], {"words": [np.array([1, 2, 3], np.int32)], "prefixes": [[9]]}, "a word of a prefix is not among"),
        ([5, 2], {"limit": 24, "min_len": 24}, "there are no more target positions"),
    ],
)
def test_invalid_input_is_an_error(model, source, options, message):
    limit = options.pop("limit", 5)
    with pytest.raises(ResMLPError, match=message):
        model.search(
            [[5, 2], source], [limit, limit], **{k: v * 2 if k != "min_len" else v for k, v in options.items()}
        )


def test_wrong_rows_of_a_state_are_errors(model):
    state = model.start([[5, 2], [6, 7, 2]], 3)
    state.step(np.array([2, 2]))
    with pytest.raises(ResMLPError, match="no such row"):
        state.reorder(np.array([0, 2]))
    with pytest.raises(ResMLPError, match="more rows"):
        state.reorder(np.array([0, 0, 1, 1]))
    state.reorder(np.array([1, 0, 1]))
    logits = state.step(np.array([9, 9, 9]))
    assert logits.shape == (3, VOCABULARY)
    assert (logits[0] == logits[2]).all()


def test_not_a_number_is_one_error():
    parameters = quantize(parameters_of(torch_model()))
    parameters["decoder.norm.alpha"] = np.full_like(parameters["decoder.norm.alpha"], np.nan)
    broken = NativeModel(ModelConfig(**SIZES), (VOCABULARY, VOCABULARY), parameters)
    with pytest.raises(ResMLPError, match="the model returns NaN"):
        broken.search([[5, 2]], [5])


@pytest.mark.parametrize("name", ["encoder.layers.1.channels.sublayer.fc2.weight", "decoder.norm.alpha"])
def test_missing_or_wrong_parameter_is_an_error(name):
    parameters = quantize(parameters_of(torch_model()))
    value = parameters.pop(name)
    for change in ({}, {name: value[:-1].copy()}, {name: np.zeros_like(value, dtype=np.float32)[..., :-1].copy()}):
        with pytest.raises(ResMLPError, match=name):
            NativeModel(ModelConfig(**SIZES), (VOCABULARY, VOCABULARY), {**parameters, **change})
    with pytest.raises(ResMLPError, match="must be contiguous int8 or float32"):
        NativeModel(ModelConfig(**SIZES), (VOCABULARY, VOCABULARY), {**parameters, name: value.astype(np.float64)})


def test_unknown_instruction_set_is_an_error():
    with pytest.raises(ResMLPError, match="the int8 engine is not available"):
        native("sse")
