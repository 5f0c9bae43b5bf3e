"""Bad input gives one error line and exit status 2."""

import json
import math
import sys

import pytest
import torch
from toy_bundles import write_bundle
from toy_classifiers import CLASSES, square_classifier, square_preprocessing

from data_prep.command_line import main as data_prep
from resmlp_mt.cli.main import main
from resmlp_mt.common.errors import ResMLPError
from resmlp_mt.translation.backends import TorchBackend
from resmlp_mt.translation.engine.batching import BatchLimits, MemoryModel, require_beam_fits
from resmlp_mt.translation.search.settings import SearchSettings
from resmlp_mt.translation.translator import Translator
from resmlp_mt.translation.types import Request
from resmlp_mt.vision.bundle import save_classifier


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return write_bundle(tmp_path_factory.mktemp("bundle"))


@pytest.fixture(scope="module")
def translator(model):
    return Translator.from_pretrained(model)


@pytest.fixture(scope="module")
def classifier(tmp_path_factory):
    folder = tmp_path_factory.mktemp("classifier") / "model"
    save_classifier(folder, square_classifier(), CLASSES, square_preprocessing())
    return folder


def error_line(capsys, *args) -> str:
    """Runs a command that must end with status 2; returns its error line."""
    assert main([str(arg) for arg in args]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    return err


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ((), "resmlp-mt: the following arguments are required: SUBCOMMAND; see `resmlp-mt --help`"),
        (("translate",), "resmlp-mt translate: the following arguments are required: model; see `resmlp-mt translate"),
        (("translate", "M", "--beam", "2.5"), "argument --beam: invalid int value: '2.5'; see"),
        (("evaluate", "M", "--what\never"), "resmlp-mt: unrecognized arguments: --what ever; see"),
        (("vision",), "resmlp-mt vision: the following arguments are required: SUBCOMMAND; see"),
        (("vision", "knn", "M", "--k", "x"), "resmlp-mt vision knn: argument --k: invalid int value: 'x'; see"),
    ],
)
def test_usage_error_is_one_line(args, message, capsys):
    with pytest.raises(SystemExit) as ended:
        main(args)
    err = capsys.readouterr().err
    assert ended.value.code == 2
    assert err.count("\n") == 1
    assert message in err


def test_usage_error_of_data_prep_is_one_line(capsys):
    with pytest.raises(SystemExit) as ended:
        data_prep(["demo"])
    assert ended.value.code == 2
    expected = (
        "python -m data_prep: the following arguments are required: --pair, --out; see `python -m data_prep --help`"
    )
    assert capsys.readouterr().err == f"{expected}\n"


def test_closed_stdout_is_one_line(model, capsys, monkeypatch):
    monkeypatch.setattr(sys, "stdout", None)
    assert main(["translate", str(model)]) == 2
    assert capsys.readouterr().err.startswith("resmlp-mt: the standard output is closed")


def test_closed_stdin_is_one_line(model, capsys, monkeypatch):
    monkeypatch.setattr(sys, "stdin", None)
    for subcommand in ("translate", "interactive"):
        message = error_line(capsys, subcommand, model)
        assert "standard input" in message
        assert "is closed" in message


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("--lenpen", "nan"), "length_penalty must be a number from -10 to 10, but is nan"),
        (("--lenpen", "1e308"), "length_penalty must be a number from -10 to 10, but is 1e+308"),
        (("--max-len-a", "inf"), "max_len_a must be a number from 0 to 1000, but is inf"),
        (("--sampling", "--seed", str(2**63)), "seed must be a whole number from 0 to 9223372036854775807"),
        (("--beam", "100000"), "beam_size must be a whole number from 1 to 10000, but is 100000"),
        (("--batch-size", "0"), "the batch size must be a whole number from 1"),
        (("--device", "meta"), "device meta is not available"),
    ],
)
def test_translate_refuses_values_out_of_range(args, message, model, tmp_path, capsys):
    (tmp_path / "text").write_text("a small dog\n")
    assert message in error_line(capsys, "translate", model, "--input", tmp_path / "text", *args)


def test_largest_seed_is_accepted(translator):
    assert translator.translate(["a dog"], settings=SearchSettings(sampling=True, seed=2**63 - 1, max_len_b=5))


def test_beam_too_large_for_memory_is_refused(model, monkeypatch):
    monkeypatch.setattr(TorchBackend, "memory", lambda _self, rows: MemoryModel(rows, 32_000, 512, 6, 256))
    narrow, wide = (Translator.from_pretrained(model, limits=BatchLimits(megabytes=size)) for size in (1, 1000))
    assert wide.translate(["a dog"], beam_size=20)
    assert narrow.translate(["a dog"], beam_size=16)
    with pytest.raises(
        ResMLPError, match="beam_size 17 is too large: with 1 MB per batch and a source of .* at most 16;"
    ):
        narrow.translate(["a dog"], beam_size=17)
    with pytest.raises(ResMLPError, match="with 1000 MB per batch .* at most [0-9]+") as refused:
        require_beam_fits(MemoryModel(10_000, 32_000, 512, 6, 256), 50, wide.limits)
    limit = int(str(refused.value).split("at most ")[1].split(";")[0])
    fits = [MemoryModel(beam, 32_000, 512, 6, 256).sentence_bytes(50) <= 1000 * 2**20 for beam in (limit, limit + 1)]
    assert fits == [True, False]


@pytest.mark.parametrize("call", ["translate", "score", "align"])
def test_single_string_is_refused(call, translator):
    arguments = [("a dog",)] if call == "translate" else [("a dog", ["ein hund"]), (["a dog"], "ein hund")]
    for args in arguments:
        with pytest.raises(ResMLPError, match=r"must be a list of strings, not one string; put it in brackets: \['"):
            getattr(translator, call)(*args)


@pytest.mark.parametrize("lines", [[1], ["a", None], [b"a"], 5, None])
def test_non_string_lines_are_refused(lines, translator):
    with pytest.raises(ResMLPError, match="the lines to translate must be"):
        translator.translate(lines)


def test_any_iterable_is_accepted(translator):
    texts = ["a dog", "two men"]
    expected = translator.translate(texts)
    assert translator.translate(iter(texts)) == expected
    translations = translator.translate_requests(Request(text, number) for number, text in enumerate(texts, 1))
    assert [translation.text for translation in translations] == expected
    assert translator.score(iter(texts), iter(expected)) == translator.score(texts, expected)
    assert translator.align(iter(texts), iter(expected)) == translator.align(texts, expected)


def test_invalid_requests_are_refused(translator):
    with pytest.raises(ResMLPError, match="request 1 must be a Request, but it has type str"):
        translator.translate_requests(["a dog"])
    with pytest.raises(ResMLPError, match="the requests must be a list"):
        translator.translate_requests(Request("a dog"))
    with pytest.raises(ResMLPError, match="the constraints of a request must be a list of strings"):
        Request("a dog", constraints="hund")
    with pytest.raises(ResMLPError, match="the text of a request must be a string, but it has type int"):
        Request(3)
    with pytest.raises(ResMLPError, match="length_penalty must be a number"):
        translator.score(["a"], ["b"], length_penalty=math.nan)


@pytest.mark.parametrize(
    ("section", "field", "value", "message"),
    [
        ("options", "cross_attention_heads", 0, "cross_attention_heads must be a whole number from 1"),
        ("options", "cross_attention_heads", 5, "divisible by its 5 cross-attention heads"),
        ("options", "encoder_layers", 2.0, "encoder_layers must be a whole number from 1"),
        ("options", "layer_scale", "0.2", "layer_scale must be a number from 0"),
        ("options", "layer_scale", math.nan, "layer_scale must be a number from 0"),
        ("options", "dropout", None, "dropout must be at least 0 and below 1, but is None"),
        ("options", "share_all_embeddings", "yes", "share_all_embeddings must be true or false"),
        ("decoding", "beam_size", 2.5, "beam_size must be a whole number from 1 to 10000, but is 2.5"),
        ("decoding", "sampling", None, "sampling must be true or false"),
        ("text", "lowercase", 1, "lowercase must be true or false"),
        (None, "joint", "no", "joint must be true or false"),
    ],
)
def test_invalid_bundle_setting_names_file_and_field(section, field, value, message, tmp_path, capsys):
    model = write_bundle(tmp_path)
    content = json.loads((model / "config.json").read_text())
    (content[section] if section else content)[field] = value
    (model / "config.json").write_text(json.dumps(content))
    err = error_line(capsys, "translate", model)
    assert message in err
    assert str(model) in err


@pytest.mark.parametrize(
    "content",
    [
        [torch.zeros(3)],
        torch.zeros(3),
        {"model": [1]},
        {"model": {"a": 1}},
        {"model": {1: torch.zeros(3)}},
        {"model": {"a": torch.zeros(3)}, "cfg": [1], "optimizer_history": 3, "extra_state": [2]},
    ],
)
def test_invalid_checkpoint_is_one_line(content, tmp_path, capsys):
    path = tmp_path / "checkpoint1.pt"
    torch.save(content, path)
    (tmp_path / "data").mkdir()
    calls: list[tuple[object, ...]] = [("bundle", path, "--data", tmp_path / "data", "--out", tmp_path / "out")]
    calls += [
        ("average", tmp_path, "--best", 1, "--out", tmp_path / "out.pt"),
        ("inspect", path, "--out", tmp_path / "page"),
    ]
    calls += [("vision", "convert", path, tmp_path / "out"), ("vision", "predict", path, path)]
    for args in calls:
        assert str(tmp_path) in error_line(capsys, *args)


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("knn", "--k", "0", "1"), "k must be at least 1, but is 0"),
        (("knn", "--batch-size", "0"), "the batch size must be a whole number from 1"),
        (("knn", "--workers", "-1"), "the number of workers must be a whole number from 0"),
        (("knn", "--untrained", str(2**64)), "--untrained must be a whole number from 0 to"),
        (("linear-probe", "--rates", "nan", "1"), "learning rate must be a number from 0"),
        (("linear-probe", "--rates", "inf"), "learning rate must be a number from 0"),
        (("linear-probe", "--seed", str(2**64)), "seed must be a whole number from 0 to"),
        (("linear-probe", "--views", "0"), "--views must be a whole number from 1"),
        (("linear-probe", "--flip", "nan", "--views", "2"), "--flip is a probability and must be between 0 and 1"),
        (("evaluate", "--batch-size", "0"), "the batch size must be a whole number from 1"),
        (("evaluate", "--device", "meta"), "device meta is not available"),
    ],
)
def test_vision_commands_refuse_values_out_of_range(args, message, classifier, tmp_path, capsys):
    from PIL import Image

    for split in ("train", "valid"):
        for number, name in enumerate(CLASSES):
            (tmp_path / split / name).mkdir(parents=True)
            Image.new("L", (15, 15), 30 * number).save(tmp_path / split / name / "1.png")
    subcommand, *options = args
    data = ("--dataset-name", "folder", "--root", tmp_path)
    assert message in error_line(capsys, "vision", subcommand, classifier, *data, *options)


@pytest.mark.parametrize("size", [0, -15, 15.5, 15 * 10**6])
def test_invalid_image_size_is_refused(size, classifier, tmp_path, capsys):
    if isinstance(size, float):
        with pytest.raises(SystemExit):
            main(["vision", "convert", str(classifier), str(tmp_path / "out"), "--image-size", str(size)])
        return
    args = ("vision", "convert", classifier, tmp_path / "out", "--image-size", size)
    assert "image_size must be" in error_line(capsys, *args)
