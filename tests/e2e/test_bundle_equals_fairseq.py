"""Bundles of every architecture translate like fairseq-generate."""

import pytest
import torch
from toy_bundles import data_folder, fairseq_generate, raw_lines, write_checkpoint

from resmlp_mt.translation.bundle.packaging import bundle_checkpoint
from resmlp_mt.translation.model.architectures import ARCHITECTURES
from resmlp_mt.translation.search.settings import SearchSettings
from resmlp_mt.translation.translator import Translator
from resmlp_mt.translation.types import Request

DECODING = SearchSettings(beam_size=5, nbest=3, length_penalty=0.6, max_len_b=15)
OPTIONS = ["--beam", 5, "--nbest", 3, "--lenpen", 0.6, "--max-len-b", 15, "--batch-size", 7]


def bundle(checkpoint, out, decoding=DECODING):
    bundle_checkpoint(checkpoint, data_folder(), out, decoding)
    return Translator.from_pretrained(out)


def joined(text: str) -> str:
    """fairseq's output, joined like its sentencepiece decoder does, with our symbol for unknown words."""
    return (
        text.replace("<unk>", " \u2047 ").replace(" ", "").replace("\u2581", " ").replace("\u2047", " \u2047 ").strip()
    )


def assert_same_as_fairseq(translator, expected, settings=None):
    requests = [Request(line, number) for number, line in enumerate(raw_lines(), 1)]
    translations = translator.translate_requests(requests, settings)
    assert len(translations) == len(expected) == 20
    for translation, theirs in zip(translations, expected, strict=True):
        assert [candidate.text.split() for candidate in translation.candidates] == [
            joined(t).split() for _, t in theirs
        ]
        assert [c.score for c in translation.candidates] == pytest.approx([score for score, _ in theirs], abs=1e-5)


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_every_architecture_equals_fairseq_generate(arch, tmp_path):
    shared = [] if arch == "resmlp" else ["--share-all-embeddings"]
    checkpoint = write_checkpoint(tmp_path / "checkpoint.pt", arch, *shared)
    assert_same_as_fairseq(bundle(checkpoint, tmp_path / "model"), fairseq_generate([checkpoint], *OPTIONS))


@pytest.mark.parametrize(
    "args",
    [
        ["--norm", "layernorm", "--share-decoder-input-output-embed"],
        ["--positional-embeddings", "sinusoidal", "--no-mixing-bias", "--no-post-bias"],
        ["--positional-embeddings", "learned", "--no-scale-embedding", "--activation-fn", "relu"],
    ],
)
def test_model_options_equal_fairseq_generate(args, tmp_path):
    checkpoint = write_checkpoint(tmp_path / "checkpoint.pt", "resmlp_tiny", *args)
    assert_same_as_fairseq(bundle(checkpoint, tmp_path / "model"), fairseq_generate([checkpoint], *OPTIONS))


def test_ensemble_equals_fairseq_generate(tmp_path):
    checkpoints = [write_checkpoint(tmp_path / f"{seed}.pt", "resmlp_tiny", seed=seed) for seed in (1, 2)]
    for checkpoint in checkpoints:
        bundle_checkpoint(checkpoint, data_folder(), tmp_path / checkpoint.stem, DECODING)
    translator = Translator.from_pretrained(tmp_path / "1", tmp_path / "2")
    assert_same_as_fairseq(translator, fairseq_generate(checkpoints, *OPTIONS))


def test_scores_equal_fairseq_generate(tmp_path):
    checkpoint = write_checkpoint(tmp_path / "checkpoint.pt", "resmlp_tiny")
    expected = fairseq_generate([checkpoint], "--score-reference")
    scores = bundle(checkpoint, tmp_path / "model").score(raw_lines(), raw_lines("tgt"), length_penalty=1.0)
    assert scores == pytest.approx([score for [(score, _)] in expected], abs=1e-5)


def test_shared_parameters_are_stored_once(tmp_path):
    checkpoint = write_checkpoint(tmp_path / "checkpoint.pt", "resmlp_tiny", "--share-all-embeddings")
    translator = bundle(checkpoint, tmp_path / "model")
    model = translator.backend.models[0]
    assert model.encoder.embedding.tokens.weight.data_ptr() == model.decoder.output.weight.data_ptr()
    size = (tmp_path / "model" / "model.safetensors").stat().st_size
    stored = torch.load(checkpoint)["model"]
    once = {value.data_ptr(): value.numel() for value in stored.values()}
    assert size < 4 * sum(once.values()) + 20_000
