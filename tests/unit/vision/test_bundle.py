"""Classifier bundles survive a round trip; damaged and hostile ones are refused with one line, and no code is run."""

import json
import os
from argparse import Namespace
from dataclasses import asdict, replace

import pytest
import torch
from safetensors.torch import load_file, save_file
from toy_classifiers import CLASSES, square_classifier, square_preprocessing, toy_classifier, toy_images

from resmlp_mt.common import files
from resmlp_mt.common.config import parse_config
from resmlp_mt.common.errors import ResMLPError
from resmlp_mt.vision.bundle import load_classifier, save_classifier
from resmlp_mt.vision.model.config import ClassifierConfig


@pytest.fixture
def bundle(tmp_path):
    save_classifier(tmp_path / "bundle", square_classifier(), CLASSES, square_preprocessing())
    return tmp_path / "bundle"


def refusal(path) -> str:
    with pytest.raises(ResMLPError) as caught:
        load_classifier(path)
    message = str(caught.value)
    assert "\n" not in message
    return message


@pytest.mark.parametrize(
    "changes",
    [{}, {"norm": "batchnorm"}, {"pooling": "class_mlp"}, {"mixing": "separable"}, {"mixing": "mlp", "norm": "none"}],
)
def test_round_trip(changes, tmp_path):
    model = square_classifier(**changes)
    save_classifier(tmp_path / "new" / "bundle", model, CLASSES, square_preprocessing())
    loaded = load_classifier(tmp_path / "new" / "bundle")
    assert loaded.classifier.settings == model.settings
    assert (loaded.classes, loaded.preprocessing) == (CLASSES, square_preprocessing())
    assert not loaded.classifier.training
    state = loaded.classifier.state_dict()
    assert all(torch.equal(state[name], value) for name, value in model.state_dict().items())
    images = toy_images(model.settings)
    torch.testing.assert_close(loaded.classifier(images), model(images))  # rounding may depend on memory alignment
    loaded.classifier.train()(images).sum().backward()  # it can be trained further


def test_classifier_without_head_has_no_classes(tmp_path):
    model = square_classifier(num_classes=0)
    save_classifier(tmp_path / "bundle", model, [], square_preprocessing())
    assert load_classifier(tmp_path / "bundle").classes == []


def test_only_bundles_are_overwritten(bundle, tmp_path):
    save_classifier(bundle, square_classifier(depth=1), CLASSES, square_preprocessing())
    assert load_classifier(bundle).classifier.settings.depth == 1
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "precious.txt").write_text("x")
    for folder in (tmp_path / "other", tmp_path / "other" / "precious.txt"):
        with pytest.raises(ResMLPError, match="exists and is not a classifier's bundle"):
            save_classifier(folder, square_classifier(), CLASSES, square_preprocessing())
    assert (tmp_path / "other" / "precious.txt").read_text() == "x"


def test_inconsistent_parts_are_not_written(tmp_path):
    model, images = square_classifier(), square_preprocessing()
    wrong = [
        (model, CLASSES[:-1], images, "there are 6 class names, but the head has 7"),
        (model, CLASSES, replace(images, image_size=12), "images of 12 pixels"),
        (toy_classifier(image_size=15), CLASSES, images, "images of 1 channels, but the model has 2"),
    ]
    for *parts, expected in wrong:
        with pytest.raises(ResMLPError, match=expected):
            save_classifier(tmp_path / "bundle", *parts)
    folded = square_classifier()
    folded.optimize_for_inference()
    with pytest.raises(ResMLPError, match="the parameter layers.0"):
        save_classifier(tmp_path / "bundle", folded, CLASSES, images)
    assert not (tmp_path / "bundle").exists()


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_missing_or_truncated_file_is_refused(name, bundle):
    content = (bundle / name).read_bytes()
    for damaged in (b"", content[: len(content) // 2], content[:-9]):
        (bundle / name).write_bytes(damaged)
        assert name in refusal(bundle)
    (bundle / name).unlink()
    assert name in refusal(bundle)


def change_config(bundle, change):
    content = json.loads((bundle / "config.json").read_text())
    change(content)
    (bundle / "config.json").write_text(json.dumps(content))


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda c: c.update(format=2), "the format has revision 2, but this version reads revisions up to 1"),
        (lambda c: c.pop("classes"), "'classes'"),
        (lambda c: c.update(classes=CLASSES[1:]), "6 class names, but the head has 7"),
        (lambda c: c.update(classes=[1, 2, 3, 4, 5, 6, 7]), "not a list of names"),
        (lambda c: c["settings"].update(dim=2**40), "dim must be a whole number from 1 to 1000000"),
        (lambda c: c["settings"].update(dim="11"), "dim must be a whole number"),
        (lambda c: c["settings"].update(dim=True), "dim must be a whole number"),
        (lambda c: c["settings"].update(depth=10**6), "depth 1000000"),
        (lambda c: c["settings"].update(hidden_ratio=float("nan")), "hidden_ratio must be"),
        (lambda c: c["settings"].update(hidden_ratio=1e6), "fc1.weight"),
        (lambda c: c["settings"].update(post_bias=1), "post_bias must be true or false"),
        (
            lambda c: c["settings"].update(image_size=[15, 15, 15]),
            "image_size must be a whole number from 1 to 1000000 or 2 whole numbers",
        ),
        (lambda c: c["settings"].update(image_size=12), "images of 15 pixels"),
        (lambda c: c["settings"].update(mixing="fft"), "mixing must be one of"),
        (lambda c: c["settings"].update(mixing="conv"), "layers.0.mixing.sublayer"),
        (lambda c: c["settings"].update(pooling="class_mlp"), "class_embedding"),
        (lambda c: c["settings"].update(colour="red"), "the option 'colour' is unknown"),
        (lambda c: c["settings"].pop("dim"), "shape (11, 9) instead of (384, 9)"),  # the default is used instead
        (lambda c: c["preprocessing"].update(mean=[0.5, 0.5]), "mean"),
        (lambda c: c["preprocessing"].update(crop="large"), "crop must be a number from 0 to 1, but is 'large'"),
        (lambda c: c["preprocessing"].update(image_size=15.5), "image size must be a whole number"),
        (lambda c: c["preprocessing"].update(std=[float("nan")]), "std must be a number"),
        (lambda c: c.update(settings=[]), "is not the configuration of a classifier"),
        (lambda c: c.update(digest="sha256:0"), "is missing or does not match the digest"),
    ],
)
def test_invalid_configuration_is_refused(change, expected, bundle):
    change_config(bundle, change)
    assert expected in refusal(bundle)


def test_wrong_shape_with_valid_digest_is_refused(bundle):
    tensors = load_file(bundle / "model.safetensors")
    tensors["head.weight"] = tensors["head.weight"][:, :5].contiguous()
    save_file(tensors, bundle / "model.safetensors")
    change_config(bundle, lambda c: c.update(digest=files.file_digest(bundle / "model.safetensors")))
    assert "the parameter head.weight has shape (7, 5) instead of (7, 11)" in refusal(bundle)


def test_extra_parameter_is_refused(bundle):
    tensors = load_file(bundle / "model.safetensors")
    save_file({**tensors, "layers.0.extra": torch.zeros(3)}, bundle / "model.safetensors")
    change_config(bundle, lambda c: c.update(digest=files.file_digest(bundle / "model.safetensors")))
    assert "layers.0.extra" in refusal(bundle)


def checkpoint(path, **changes):
    """Writes the parts of a fairseq-train checkpoint that are read; returns its model."""
    model = square_classifier(pooling="class_mlp")
    of_the_task = {"image_size": None, "channels": None, "num_classes": None}
    content = {
        "model": {f"core.{name}": value for name, value in model.state_dict().items()},
        "cfg": {"model": {**asdict(model.settings), **of_the_task, "_name": "resmlp_digits"}},
        "task_state": {"classes": CLASSES, "preprocessing": asdict(square_preprocessing())},
    }
    torch.save({**content, **changes}, path)
    return model


def test_fairseq_checkpoint_loads(tmp_path):
    model = checkpoint(tmp_path / "checkpoint.pt")
    loaded = load_classifier(tmp_path / "checkpoint.pt")
    assert loaded.classifier.settings == model.settings
    assert (loaded.classes, loaded.preprocessing) == (CLASSES, square_preprocessing())
    images = toy_images(model.settings)
    torch.testing.assert_close(loaded.classifier(images), model(images))  # rounding may depend on memory alignment


def test_checkpoint_with_command_line_namespace_loads(tmp_path):
    model = checkpoint(tmp_path / "options.pt")
    command_line = Namespace(**asdict(model.settings), arch="resmlp_digits", lr=[0.1])
    checkpoint(tmp_path / "checkpoint.pt", cfg={"model": command_line})
    assert load_classifier(tmp_path / "checkpoint.pt").classifier.settings == model.settings


def test_unknown_option_in_checkpoint_is_refused(tmp_path):
    model = checkpoint(tmp_path / "checkpoint.pt")
    checkpoint(tmp_path / "checkpoint.pt", cfg={"model": {**asdict(model.settings), "colour": "red"}})
    assert "the option 'colour' is unknown" in refusal(tmp_path / "checkpoint.pt")


@pytest.mark.parametrize(
    "changes",
    [{"cfg": None}, {"cfg": {"model": {}}}, {"model": {}}, {"model": 3}, {"task_state": None}, {"task_state": {}}],
)
def test_other_checkpoint_is_refused(changes, tmp_path):
    checkpoint(tmp_path / "checkpoint.pt", **changes)
    assert "checkpoint.pt" in refusal(tmp_path / "checkpoint.pt")


class RunsCode:
    def __reduce__(self):
        return os.mkdir, ("code_was_run",)


def test_hostile_checkpoint_is_refused_and_not_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    checkpoint(tmp_path / "checkpoint.pt", extra=RunsCode())
    assert "not run" in refusal(tmp_path / "checkpoint.pt")
    assert not (tmp_path / "code_was_run").exists()


def test_missing_path_and_empty_folder_are_refused(tmp_path):
    assert "no bundle or checkpoint of a classifier" in refusal(tmp_path / "absent")
    (tmp_path / "empty").mkdir()
    assert "config.json" in refusal(tmp_path / "empty")


def test_settings_json_round_trip():
    settings = ClassifierConfig(image_size=(15, 21), patch_size=3)
    assert parse_config(ClassifierConfig, json.loads(json.dumps(asdict(settings)))) == settings
