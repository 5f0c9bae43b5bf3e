"""Bundles with int8 weights: smaller, checked like any other, and translated alike from both kinds of files."""

import json
import shutil

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file
from toy_bundles import data_folder, raw_lines, write_bundle, write_checkpoint

from resmlp_mt.cli.main import main
from resmlp_mt.common import files
from resmlp_mt.common.errors import ResMLPError
from resmlp_mt.translation.bundle.format import read_bundle
from resmlp_mt.translation.bundle.packaging import quantize_bundle
from resmlp_mt.translation.engine.native import library
from resmlp_mt.translation.translator import Translator

needs_engine = pytest.mark.skipif(not library.available(), reason="the engine was not compiled")


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    return write_bundle(tmp_path_factory.mktemp("bundle"), options=("--positional-embeddings", "sinusoidal"))


@pytest.fixture(scope="module")
def quantized(original):
    quantize_bundle(original, original.with_name("int8"))
    return original.with_name("int8")


@pytest.fixture
def bundle(quantized, tmp_path):
    return shutil.copytree(quantized, tmp_path / "model")


def change_parameters(bundle, change):
    """Changes the parameters and their digest."""
    parameters = load_file(bundle / "model.safetensors")
    change(parameters)
    save_file(parameters, bundle / "model.safetensors")
    config = json.loads((bundle / "config.json").read_text())
    config["digests"]["model.safetensors"] = files.file_digest(bundle / "model.safetensors")
    (bundle / "config.json").write_text(json.dumps(config))


def test_weights_are_int8_and_written_once(original, quantized):
    parameters = load_file(quantized / "model.safetensors")
    weights = {name for name, value in parameters.items() if value.dtype == np.int8}
    assert {name + ".scale" for name in weights} == {name for name in parameters if name.endswith(".scale")}
    assert len([name for name in weights if name.startswith(("encoder.embedding", "decoder.embedding"))]) <= 1
    large = sum(value.nbytes for value in parameters.values() if value.dtype == np.int8)
    assert 4 * large == sum(
        value.nbytes for name, value in load_file(original / "model.safetensors").items() if name in weights
    )


def test_only_quantized_bundles_have_new_format(original, quantized):
    configs = [json.loads((path / "config.json").read_text()) for path in (original, quantized)]
    assert [(config["format"], config["quantization"]) for config in configs] == [(1, "none"), (2, "int8")]
    assert configs[1]["about"]["quantized_from"] == configs[0]["digests"]["model.safetensors"]
    assert "Weights: int8" in (quantized / "README.md").read_text()


@needs_engine
def test_both_files_give_same_translations(original, quantized):
    lines = raw_lines()
    translator = Translator.from_pretrained(quantized)
    assert translator.dtype == "int8"
    expected = Translator.from_pretrained(original, dtype="int8")
    assert translator.translate(lines) == expected.translate(lines)
    assert translator.score(lines, lines) == expected.score(lines, lines)
    assert Translator.from_pretrained(original).dtype == "float32"


@needs_engine
def test_workers_do_not_change_int8_translations(quantized):
    lines = raw_lines() * 5
    expected = Translator.from_pretrained(quantized).translate(lines)
    assert Translator.from_pretrained(quantized, workers=3).translate(lines) == expected
    translator = Translator.from_pretrained(quantized)
    assert [translator.translate([line])[0] for line in lines] == expected


def test_quantized_bundle_is_translated_in_float32_without_engine(quantized, monkeypatch):
    monkeypatch.setattr(library, "available", lambda: ())
    translator = Translator.from_pretrained(quantized)
    assert translator.dtype == "float32"
    assert all(translator.translate(raw_lines()))
    with pytest.raises(ResMLPError, match="the int8 engine is not available"):
        Translator.from_pretrained(quantized, dtype="int8")


def test_int8_is_for_the_cpu(quantized):
    with pytest.raises(ResMLPError, match="int8 is for the CPU, not for cuda"):
        Translator.from_pretrained(quantized, device="cuda", dtype="int8")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda p: p.pop("decoder.norm.alpha"), "decoder.norm.alpha must be of shape"),
        (lambda p: p.pop("decoder.layers.0.channels.sublayer.fc1.weight.scale"), "must have its scales"),
        (lambda p: p.update({"decoder.norm.alpha.scale": np.ones(1, np.float32)}), "must have its scales"),
        (
            lambda p: p.update({k: v.astype(np.float32) for k, v in p.items() if k.endswith("fc2.weight")}),
            "fc2.weight must be int8, but is float32",
        ),
        (
            lambda p: p.update({k: v.astype(np.float16) for k, v in p.items() if k.endswith(".scale")}),
            "scale must be float32, but is float16",
        ),
    ],
)
def test_damaged_parameters_are_refused(bundle, change, message):
    change_parameters(bundle, change)
    with pytest.raises(ResMLPError, match=message) as caught:
        read_bundle(bundle)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("value", ["int4", 8, None])
def test_unknown_quantization_is_refused(bundle, value):
    config = json.loads((bundle / "config.json").read_text())
    (bundle / "config.json").write_text(json.dumps({**config, "quantization": value}))
    with pytest.raises(ResMLPError, match="quantization"):
        read_bundle(bundle)


def test_command_writes_quantized_bundle(original, quantized, tmp_path, capsys):
    assert main(["quantize", str(original), "--out", str(tmp_path / "out")]) == 0
    assert "MB instead of" in capsys.readouterr().out
    assert (tmp_path / "out/model.safetensors").read_bytes() == (quantized / "model.safetensors").read_bytes()
    assert main(["quantize", str(quantized), "--out", str(tmp_path / "again")]) == 2
    assert "is quantized already" in capsys.readouterr().err
    assert main(["quantize", str(original), "--out", str(original)]) == 2
    assert not (tmp_path / "again").exists()


def test_checkpoint_is_bundled_in_int8(tmp_path):
    checkpoint = write_checkpoint(tmp_path / "model.pt", "resmlp_tiny", "--share-all-embeddings")
    args = ["bundle", str(checkpoint), "--data", str(data_folder()), "--out", str(tmp_path / "out"), "--int8"]
    assert main(args) == 0
    assert read_bundle(tmp_path / "out").is_quantized
