"""Files of released versions load and give the recorded results (tests/fixtures)."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from fairseq import checkpoint_utils

from resmlp_mt import Translator
from resmlp_mt.cli.main import main
from resmlp_mt.translation.bundle.checkpoint_import import load_checkpoint, read_trained_model
from resmlp_mt.translation.types import Request
from resmlp_mt.vision.bundle import load_classifier

RELEASES = sorted((Path(__file__).parents[1] / "fixtures").glob("[0-9]*"))
NORMS = ("affine", "layernorm")

pytestmark = [
    pytest.mark.usefixtures("fairseq_plugin"),
    pytest.mark.parametrize("release", RELEASES, ids=lambda path: path.name),
    pytest.mark.parametrize("norm", NORMS),
]


def expected(release):
    return json.loads((release / "expected.json").read_text(encoding="utf-8"))


def assert_translates_as_recorded(model, release, norm):
    requests = [Request(line) for line in expected(release)["sources"]]
    results = Translator.from_pretrained(model).translate_requests(requests)
    recorded = expected(release)["scores"][norm]
    assert len(set(expected(release)["translations"][norm])) > 5  # not a model with constant output
    assert [result.text for result in results] == expected(release)["translations"][norm]
    scores = [result.candidates[0].score for result in results]
    assert scores == pytest.approx([line["score"] for line in recorded], abs=1e-4)


def test_bundle(release, norm):
    assert_translates_as_recorded(release / f"translation.{norm}", release, norm)


def test_checkpoint_is_bundled(release, norm, tmp_path):
    checkpoint = release / f"translation.{norm}.pt"
    args = ["--data", str(release / "data"), "--out", str(tmp_path / "model"), "--max-len-b", "15", "--beam", "3"]
    assert main(["bundle", str(checkpoint), *args]) == 0
    assert_translates_as_recorded(tmp_path / "model", release, norm)


def test_checkpoint_loads_in_fairseq(release, norm):
    path = str(release / f"translation.{norm}.pt")
    overrides = {"data": str(release / "data")}
    (model,), cfg, _ = checkpoint_utils.load_model_ensemble_and_task([path], arg_overrides=overrides)
    assert cfg.model.norm == norm
    saved = load_checkpoint(Path(path))["model"]
    for name, value in model.state_dict().items():
        torch.testing.assert_close(value, saved[name], rtol=0, atol=0)
    assert read_trained_model(Path(path)).updates == cfg.optimization.max_update


def predictions(model, release, capsys):
    images = sorted((release / "images").iterdir())
    assert main(["vision", "predict", str(model), *map(str, images), "--top-k", "3"]) == 0
    return [line.split("\t")[1:] for line in capsys.readouterr().out.splitlines()]


@pytest.mark.parametrize("suffix", ["", ".pt"])
def test_classifier(release, norm, suffix, capsys):
    recorded = [line.split("\t")[1:] for line in expected(release)["images"][norm]]
    assert predictions(release / f"image.{norm}{suffix}", release, capsys) == recorded


def test_classifier_checkpoint_and_bundle_agree(release, norm, tmp_path):
    folder = shutil.copytree(release / f"image.{norm}", tmp_path / "model")
    bundle, checkpoint = load_classifier(folder), load_classifier(release / f"image.{norm}.pt")
    assert (bundle.classes, bundle.preprocessing) == (checkpoint.classes, checkpoint.preprocessing)
    for name, value in bundle.classifier.state_dict().items():
        torch.testing.assert_close(value, checkpoint.classifier.state_dict()[name], rtol=0, atol=0)
