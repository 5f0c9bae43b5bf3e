"""Weights of timm and deit: equal logits, exact round trips, refused files."""

import argparse
import json
import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import load_file, save_file
from timm.models.mlp_mixer import Affine, MlpMixer, ResBlock, checkpoint_filter_fn
from toy_classifiers import toy_classifier, toy_images

from resmlp_mt.cli.main import main
from resmlp_mt.cli.vision import SUBCOMMANDS
from resmlp_mt.common.errors import ResMLPError
from resmlp_mt.vision.bundle import load_classifier
from resmlp_mt.vision.model.architectures import VISION_ARCHITECTURES
from resmlp_mt.vision.model.classifier import ClassifierModel
from resmlp_mt.vision.model.config import ClassifierConfig
from resmlp_mt.vision.weights import architecture_of, from_foreign, read_foreign, to_foreign

# timm's name, image size, our name; B24 gets a small image: 784 patches would take half a minute.
FULL_SIZE = [
    ("resmlp_12_224", 224, "resmlp_s12"),
    ("resmlp_24_224", 224, "resmlp_s24"),
    ("resmlp_36_224", 224, "resmlp_s36"),
    ("resmlp_big_24_224", 56, "resmlp_b24_p8"),
]


def randomised(model: torch.nn.Module) -> torch.nn.Module:
    """Random parameters with a stable signal over the layers, nonzero scales and biases."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, value in model.named_parameters():
            noise = torch.randn(value.shape, generator=generator)
            if name.endswith("alpha"):
                value.copy_(1 + 0.2 * noise)
            elif ".ls" in name:
                value.copy_(0.1 + 0.02 * noise)
            else:
                value.copy_(
                    noise * (0.1 if value.numel() in value.shape or value.dim() == 3 else value[0].numel() ** -0.5)
                )
    return model.eval()


def small_timm(**changes) -> torch.nn.Module:
    """timm's ResMLP of 3 x 3 patches."""
    sizes = {"img_size": 15, "patch_size": 5, "num_blocks": 2, "embed_dim": 13, "num_classes": 7, "mlp_ratio": 4}
    return randomised(MlpMixer(block_layer=ResBlock, norm_layer=Affine, **{**sizes, **changes}))


def deit_state(**changes) -> dict[str, torch.Tensor]:
    """The small model's parameters in deit's layout; timm's own conversion must invert it."""
    tensors = small_timm(**changes).state_dict()
    renamed = {}
    for name, value in tensors.items():
        for ours, theirs in (
            ("stem.", "patch_embed."),
            ("linear_tokens", "attn"),
            ("mlp_channels", "mlp"),
            (".ls", ".gamma_"),
        ):
            name = name.replace(ours, theirs)
        renamed[name] = value.flatten() if name.endswith(("alpha", "beta")) else value
    back = checkpoint_filter_fn(renamed, None)
    assert all(torch.equal(back[name], value) for name, value in tensors.items())
    return renamed


def assert_same(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> None:
    assert first.keys() == second.keys()
    for name, value in first.items():
        assert value.shape == second[name].shape, name
        assert torch.equal(value, second[name]), name


def classifier_of(tensors) -> ClassifierModel:
    settings, parameters = from_foreign(tensors)
    model = ClassifierModel(settings).eval()
    model.load_state_dict(parameters)
    return model


@pytest.mark.slow
@pytest.mark.parametrize(("theirs", "side", "ours"), FULL_SIZE)
def test_logits_equal_timm(theirs, side, ours):
    reference = randomised(timm.create_model(theirs, img_size=side))
    settings, parameters = from_foreign(reference.state_dict())
    assert settings == ClassifierConfig(**VISION_ARCHITECTURES[ours]).at_image_size(side)
    with torch.device("meta"):
        model = ClassifierModel(settings).eval()
    model.load_state_dict(parameters, assign=True)
    assert_same(to_foreign(model, "timm"), reference.state_dict())
    images = torch.randn(1, 3, side, side, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        expected = reference(images)
        assert expected.std() > 0.1
        torch.testing.assert_close(model(images), expected, atol=1e-5, rtol=1e-5)
        model.optimize_for_inference()
        torch.testing.assert_close(model(images), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("changes", [{}, {"num_classes": 0}, {"in_chans": 1, "mlp_ratio": 3}, {"num_classes": 21841}])
def test_small_models_equal_timm_and_round_trip(changes):
    reference = small_timm(**changes)
    for tensors, layout in ((reference.state_dict(), "timm"), (deit_state(**changes), "deit")):
        model = classifier_of(tensors)
        images = torch.randn(5, model.settings.channels, 15, 15)
        torch.testing.assert_close(model(images), reference(images), atol=1e-5, rtol=1e-5)
        assert_same(to_foreign(model, layout), tensors)


def test_architectures_are_recognised():
    for name, changes in VISION_ARCHITECTURES.items():
        settings = ClassifierConfig(**changes)
        assert architecture_of(settings) == name
        assert architecture_of(ClassifierConfig(**{**changes, "num_classes": 5, "drop_path": 0.1})) == name
    assert architecture_of(ClassifierConfig(depth=13)) is None


def convert(*args) -> int:
    return main(["vision", "convert", *map(str, args)])


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize("layout", ["deit", "timm"])
def test_conversion_round_trip_is_exact(suffix, layout, tmp_path, capsys):
    tensors = deit_state() if layout == "deit" else small_timm().state_dict()
    source, back = tmp_path / f"theirs{suffix}", tmp_path / f"back{suffix}"
    save_file(tensors, source) if suffix == ".safetensors" else torch.save(tensors, source)
    assert convert(source, tmp_path / "ours") == 0
    assert "2 layers of dim 13, 3 x 3 patches of 5, 7 classes" in capsys.readouterr().out
    assert convert(tmp_path / "ours", back, "--to", layout) == 0
    assert_same(load_file(back) if suffix == ".safetensors" else torch.load(back, weights_only=True), tensors)
    loaded = load_classifier(tmp_path / "ours")
    assert loaded.classes == [str(number) for number in range(7)]
    assert (loaded.preprocessing.image_size, loaded.preprocessing.crop) == (15, 0.9)
    images = torch.randn(3, 3, 15, 15)
    torch.testing.assert_close(loaded.classifier(images), small_timm()(images), atol=1e-5, rtol=1e-5)


def test_conversion_interpolates_for_another_image_size(tmp_path):
    torch.save(deit_state(), tmp_path / "weights.pth")
    assert convert(tmp_path / "weights.pth", tmp_path / "ours", "--image-size", 30) == 0
    loaded = load_classifier(tmp_path / "ours")
    expected = classifier_of(deit_state()).at_image_size(30)
    images = torch.randn(3, 3, 30, 30)
    torch.testing.assert_close(loaded.classifier(images), expected(images))
    assert loaded.preprocessing.image_size == 30
    assert convert(tmp_path / "ours", tmp_path / "timm.safetensors", "--to", "timm") == 0
    reference = small_timm(img_size=30)
    reference.load_state_dict(load_file(tmp_path / "timm.safetensors"))
    torch.testing.assert_close(reference.eval()(images), expected(images), atol=1e-5, rtol=1e-5)


def test_class_names_from_file_or_imagenet(tmp_path):
    torch.save(deit_state(), tmp_path / "weights.pth")
    (tmp_path / "names.txt").write_text("ant\nbee\ncat\ndog\nelk\nfox\ngnu\n")
    assert convert(tmp_path / "weights.pth", tmp_path / "ours", "--classes", tmp_path / "names.txt") == 0
    assert load_classifier(tmp_path / "ours").classes[:2] == ["ant", "bee"]
    torch.save(deit_state(num_classes=1000), tmp_path / "imagenet.pth")
    assert convert(tmp_path / "imagenet.pth", tmp_path / "named", "--classes", "imagenet-1k") == 0
    names = load_classifier(tmp_path / "named").classes
    assert names[0].startswith("tench")
    assert len(names) == 1000


@pytest.mark.parametrize("wrapper", ["model", "state_dict", "teacher"])
@pytest.mark.parametrize("prefix", ["", "module.", "backbone.", "module.backbone."])
def test_checkpoint_wrappers_are_removed(wrapper, prefix, tmp_path):
    tensors = deit_state(num_classes=0)
    content = {wrapper: {prefix + name: value for name, value in tensors.items()}, "args": argparse.Namespace(lr=1)}
    torch.save(content, tmp_path / "checkpoint.pth")
    assert_same(read_foreign(tmp_path / "checkpoint.pth"), tensors)


def refusal(capsys, *args) -> str:
    assert convert(*args) == 2
    message = capsys.readouterr().err
    assert message.startswith("resmlp-mt vision: ")
    assert len(message.splitlines()) == 1
    return message


class RunsCode:
    def __reduce__(self):
        return os.mkdir, ("code_was_run",)


def test_hostile_weights_are_refused_and_not_run(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save({**deit_state(), "extra": RunsCode()}, tmp_path / "hostile.pth")
    (tmp_path / "plain.pth").write_bytes(pickle.dumps(RunsCode()))
    for name in ("hostile.pth", "plain.pth"):
        refusal(capsys, tmp_path / name, tmp_path / "ours")
        assert not Path("code_was_run").exists()
        assert not (tmp_path / "ours").exists()


def broken(change):
    tensors = deit_state()
    change(tensors)
    return tensors


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.update({"blocks.0.extra": torch.zeros(3)}), "blocks.0.extra"),
        (lambda t: t.pop("blocks.1.gamma_2"), "blocks.1.gamma_2"),
        (
            lambda t: t.update({"blocks.1.attn.weight": torch.zeros(9, 8)}),
            "blocks.1.attn.weight has shape (9, 8), but needs 81 elements",
        ),
        (lambda t: t.update({"blocks.0.attn.bias": torch.zeros(8)}), "which is not a square"),
        (lambda t: t.update({"patch_embed.proj.weight": torch.zeros(13, 75)}), "must have 4 dimensions"),
        (lambda t: t.pop("patch_embed.proj.weight"), "patch_embed.proj.weight or stem.proj.weight"),
        (lambda t: t.pop("blocks.0.attn.bias"), "mixing or the MLP of the first block"),
        (lambda t: t.update({"epoch": 3}), "the parameters of a model by name"),
    ],
)
def test_incompatible_weights_are_refused(change, message, tmp_path, capsys):
    torch.save(broken(change), tmp_path / "weights.pth")
    assert message in refusal(capsys, tmp_path / "weights.pth", tmp_path / "ours")
    assert not (tmp_path / "ours").exists()


def test_invalid_arguments_are_refused(tmp_path, capsys):
    torch.save(deit_state(), tmp_path / "weights.pth")
    (tmp_path / "damaged.safetensors").write_bytes(b"\xff" * 99)
    (tmp_path / "names.txt").write_text("ant\nbee\n")
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "precious.txt").write_text("x")
    weights, out = tmp_path / "weights.pth", tmp_path / "ours"
    assert "absent.pth does not exist" in refusal(capsys, tmp_path / "absent.pth", out)
    assert "damaged.safetensors is not a valid safetensors file" in refusal(
        capsys, tmp_path / "damaged.safetensors", out
    )
    assert "image_size must be a multiple of patch_size 5" in refusal(capsys, weights, out, "--image-size", 16)
    assert "names, but the head has 7 classes" in refusal(capsys, weights, out, "--classes", tmp_path / "names.txt")
    assert "absent.txt of --classes does not exist" in refusal(
        capsys, weights, out, "--classes", tmp_path / "absent.txt"
    )
    assert "exists and is not a classifier's bundle" in refusal(capsys, weights, tmp_path / "taken")
    assert (tmp_path / "taken" / "precious.txt").exists()


@pytest.mark.parametrize(
    "changes", [{"norm": "layernorm"}, {"mixing": "conv"}, {"pooling": "class_mlp"}, {"post_bias": True}]
)
def test_unsupported_models_cannot_be_exported(changes):
    with pytest.raises(ResMLPError, match="deit's models have"):
        to_foreign(toy_classifier(**changes), "deit")


def test_non_square_images_are_supported():
    model = toy_classifier()
    tensors = to_foreign(model, "timm")
    assert tensors["blocks.1.linear_tokens.weight"].shape == (35, 35)
    assert tensors["stem.proj.weight"].shape == (11, 2, 3, 3)
    assert model(toy_images(model.settings)).shape == (3, 7)


def test_conversion_needs_no_fairseq_timm_or_torchvision(tmp_path):
    torch.save(deit_state(), tmp_path / "weights.pth")
    program = (
        "import sys; from resmlp_mt.cli.main import main; status = main(sys.argv[1:]); "
        "print(sorted({'fairseq', 'timm', 'torchvision'} & set(sys.modules))); sys.exit(status)"
    )
    args = ["vision", "convert", str(tmp_path / "weights.pth"), str(tmp_path / "ours")]
    message = subprocess.run([sys.executable, "-c", program, *args], capture_output=True, text=True, check=True).stdout
    assert message.splitlines()[-1] == "[]"
    assert json.loads((tmp_path / "ours" / "config.json").read_text())["settings"]["depth"] == 2


def test_vision_help(capsys):
    for name in SUBCOMMANDS:
        with pytest.raises(SystemExit) as ended:
            main(["vision", name, "--help"])
        assert ended.value.code == 0
        assert f"resmlp-mt vision {name}" in capsys.readouterr().out
    with pytest.raises(SystemExit) as ended:
        main(["vision", "paint"])
    assert ended.value.code == 2
    assert "convert" in capsys.readouterr().err
