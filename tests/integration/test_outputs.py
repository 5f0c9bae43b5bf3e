"""Outputs have default permissions, never overwrite an input, and a full disk is reported."""

import os
import resource
import stat
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from devices import device
from toy_bundles import write_bundle
from toy_classifiers import CLASSES, square_classifier, square_preprocessing

from resmlp_mt.cli.main import main
from resmlp_mt.common.errors import ResMLPError
from resmlp_mt.common.tensor_files import write_checkpoint, write_safetensors
from resmlp_mt.vision.bundle import save_classifier


@pytest.fixture
def folder():
    """A folder that other users can read, unlike pytest's own."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.fixture(params=["translation", "images"])
def model(request, folder):
    if request.param == "translation":
        return write_bundle(folder)
    save_classifier(folder / "model", square_classifier(), CLASSES, square_preprocessing())
    return folder / "model"


@contextmanager
def as_another_user():
    """Runs as another user, because root ignores permissions."""
    is_root = os.geteuid() == 0
    if is_root:
        os.seteuid(65534)
    try:
        yield
    finally:
        if is_root:
            os.seteuid(0)


def test_model_files_have_default_permissions(model, folder):
    (folder / "new").touch()
    usual = stat.S_IMODE((folder / "new").stat().st_mode)
    assert {file.name: oct(stat.S_IMODE(file.stat().st_mode)) for file in model.iterdir()} == {
        file.name: oct(usual) for file in model.iterdir()
    }


def test_unreadable_model_is_one_line(model, capsys):
    for unreadable in ("model.safetensors", "config.json", "."):
        path = model / unreadable
        mode = path.stat().st_mode
        path.chmod(0)
        try:
            with as_another_user():
                status = main(["inspect", str(model), "--out", "/tmp/nowhere"])
        finally:
            path.chmod(mode)
        message = capsys.readouterr().err
        assert status == 2
        assert message.count("\n") == 1
        assert "Permission denied" in message


def test_unreadable_input_is_one_line(folder, capsys):
    text = folder / "text"
    text.touch(mode=0)
    for args in (
        ["report", text],
        ["translate", "model", "--input", text],
        ["average", text, "--out", "/tmp/nowhere"],
    ):
        with as_another_user():
            assert main([*map(str, args)]) == 2
        assert capsys.readouterr().err.count("\n") == 1


# An input file, and a command that would overwrite it; {} is the folder.
OVERWRITES = {
    "1.pt": ["average", "{}/1.pt", "{}/2.pt", "--out", "{}/1.pt"],
    "train.log": ["report", "{}/train.log", "--out", "{}/train.log"],
    "raw/test.en": ["data-report", "{}", "--output", "{}/raw/test.en"],
    "out/index.html": ["inspect", "{}/out/index.html", "--out", "{}/out"],
    "m/config.json": ["vision", "convert", "{}/m", "{}/m"],
    "m/model.safetensors": ["vision", "knn", "{}/m", "--json", "{}/m/model.safetensors"],
    "probe/config.json": ["vision", "linear-probe", "{}/probe", "--out", "{}/probe"],
    "vision.pt": ["vision", "evaluate", "{}/vision.pt", "--dataset-name", "folder", "--figure", "{}/vision.pt"],
    "names.txt": ["vision", "convert", "{}/m", "{}/names.txt", "--to", "timm", "--classes", "{}/names.txt"],
}


@pytest.mark.parametrize("name", OVERWRITES)
def test_no_command_overwrites_its_input(name, tmp_path, capsys):
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text("precious")
    assert main([arg.format(tmp_path) for arg in OVERWRITES[name]]) == 2
    assert f"must not overwrite {tmp_path / name}, which" in capsys.readouterr().err
    assert (tmp_path / name).read_text() == "precious"


@pytest.mark.parametrize(
    "args",
    [
        ["average", "{}/1.pt", "--out", "{}"],
        ["report", "{}/train.log", "--out", "{}"],
        ["data-report", "{}", "--output", "{}"],
        ["vision", "convert", "{}/m.pth", "{}", "--to", "timm"],
        ["vision", "knn", "{}/m", "--json", "{}"],
        ["vision", "linear-probe", "{}/m", "--json", "{}"],
        ["vision", "evaluate", "{}/m", "--dataset-name", "folder", "--json", "{}"],
    ],
)
def test_folder_as_output_is_refused(args, tmp_path, capsys):
    assert main([arg.format(tmp_path) for arg in args]) == 2
    assert "must be a file, but" in capsys.readouterr().err


@pytest.mark.parametrize("write", [write_safetensors, write_checkpoint])
def test_full_disk_is_one_line_and_leaves_nothing(write, tmp_path):
    _, most = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, most))
        with pytest.raises(ResMLPError, match=r"file cannot be written \(File too large\); make room"):
            write(tmp_path / "file", {"weight": torch.zeros(100_000)})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("write", [write_safetensors, write_checkpoint])
def test_tensors_can_be_written_to_a_device(write, tmp_path):
    null = device(tmp_path, "null")
    write(null, {"weight": torch.zeros(3)})
    assert null.is_char_device()


def test_full_stdout_is_one_line(monkeypatch, capsys):
    with Path("/dev/full").open("w") as full:
        monkeypatch.setattr(sys, "stdout", full)
        assert main(["doctor"]) == 2
    assert capsys.readouterr().err == (
        "resmlp-mt doctor: cannot write to the standard output (No space left on device)\n"
    )
