"""`resmlp-mt inspect`: its report, and the inputs that it refuses with one line."""

import json
import os
import pickle
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser

import pytest
import torch
import toy_bundles
from safetensors.torch import load_file

from resmlp_mt.cli.inspect import read_stacks
from resmlp_mt.cli.main import main
from resmlp_mt.common.files import file_digest
from resmlp_mt.inspect.matrices import find_stacks
from resmlp_mt.inspect.measures import as_json
from resmlp_mt.inspect.report import inspect_stacks
from resmlp_mt.translation.bundle.format import PARAMETERS
from resmlp_mt.vision.bundle import save_classifier
from resmlp_mt.vision.data.preprocessing import Preprocessing
from resmlp_mt.vision.model.classifier import ClassifierModel
from resmlp_mt.vision.model.config import ClassifierConfig

VOID = {"meta", "link", "img"}
NO_ICON = "data:,"  # without it, a browser requests one from the server


class Page(HTMLParser):
    """Checks that tags are closed in order, and collects the addresses that a browser would load."""

    def __init__(self, text):
        super().__init__()
        self.open, self.loaded, self.tags = [], [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.loaded += [value for name, value in attributes if name in ("src", "href", "srcset", "data", "action")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    """A folder with a bundle, its checkpoint and the report about the checkpoint."""
    folder = tmp_path_factory.mktemp("inspect")
    toy_bundles.write_bundle(folder)
    assert main(["inspect", str(folder / "checkpoint.pt"), "--out", str(folder / "out"), "--length", "11"]) == 0
    return folder


@pytest.fixture
def checkpoint(toy):
    return toy / "checkpoint.pt"


def check_page(folder):
    text = (folder / "index.html").read_text(encoding="utf-8")
    page = Page(text)
    assert page.open == []
    assert page.loaded
    assert all(address == NO_ICON or address.startswith("data:image/png;base64,") for address in page.loaded)
    assert re.search(r"url\(|@import|<script|https?:", text) is None
    return page


def test_page_is_self_contained(toy):
    page = check_page(toy / "out")
    numbers = json.loads((toy / "out" / "numbers.json").read_text(encoding="utf-8"))
    assert page.tags.count("img") == len(numbers["pictures"])
    for name in numbers["pictures"]:
        assert (toy / "out" / name).read_bytes().startswith(b"\x89PNG")
    assert {path.name for path in (toy / "out").iterdir()} == {"index.html", "numbers.json", *numbers["pictures"]}
    assert [(stack["name"], stack["causal"], stack["grid"]) for stack in numbers["stacks"]] == [
        ("encoder", False, [1, 11]),
        ("decoder", True, [1, 11]),
    ]
    assert numbers["about"]["digest"] == file_digest(toy / "checkpoint.pt")
    assert numbers["about"]["architecture"] == "resmlp_tiny"
    assert numbers["about"]["updates"] == "7"


def test_bundle_matrices_equal_checkpoint(toy):
    of_bundle, about = read_stacks(toy / "model")
    of_checkpoint, _ = read_stacks(toy / "checkpoint.pt")
    assert about["languages"] == "src to tgt"
    assert [as_json(stack) for stack in of_bundle] == [as_json(stack) for stack in of_checkpoint]


def test_html_is_escaped_and_deterministic():
    about = {"<i>": "<script>alert(1)</script>"}
    first, second = (inspect_stacks(find_stacks(_tiny_parameters()), "<b>&", about, 3) for _ in range(2))
    assert first == second
    page = first["index.html"].decode()
    assert "<b>" not in page
    assert "<script" not in page
    assert "&lt;script&gt;" in page


def _tiny_parameters():
    shapes = {"mixing.sublayer.weight": (5, 5), "channels.sublayer.fc1.weight": (7, 3)}
    shapes["channels.sublayer.fc2.weight"] = (3, 7)
    return {f"encoder.layers.0.{name}": torch.ones(shape) for name, shape in shapes.items()}


def write_classifier(folder, **changes):
    settings = ClassifierConfig(**{"image_size": 12, "patch_size": 4, "dim": 5, "depth": 2, "num_classes": 7} | changes)
    torch.manual_seed(3)
    save_classifier(folder, ClassifierModel(settings), [f"class {index}" for index in range(7)], Preprocessing(12))
    return folder


def test_classifier_report(tmp_path, capsys):
    model = write_classifier(tmp_path / "model")
    assert main(["inspect", str(model), "--out", str(tmp_path / "out")]) == 0
    assert capsys.readouterr().out == f"{tmp_path / 'out' / 'index.html'}\n"
    check_page(tmp_path / "out")
    numbers = json.loads((tmp_path / "out" / "numbers.json").read_text(encoding="utf-8"))
    assert {"rows.png", "kernels.png", "layer-01.png", "layer-02.png", "sparsity.png"} <= set(numbers["pictures"])
    (stack,) = numbers["stacks"]
    assert stack["grid"] == [3, 3]
    weight = load_file(model / "model.safetensors")["layers.1.mixing.sublayer.weight"].double()
    under = (weight.abs() < 0.05 * weight.abs().max()).double().mean()
    assert stack["layers"][1]["sparsity_mixing"] == pytest.approx(float(under))


def error_line(args, capsys):
    """Runs the command, which must end with status 2; returns its error line."""
    assert main(["inspect", *map(str, args)]) == 2
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err.startswith("resmlp-mt inspect: ")
    assert output.err.count("\n") == 1
    return output.err


@pytest.mark.parametrize("length", ["1", "0", "-3", "41"])
def test_length_out_of_range_is_refused(checkpoint, tmp_path, capsys, length):
    assert "from 2 to 40" in error_line([checkpoint, "--out", tmp_path, "--length", length], capsys)


def test_truncated_checkpoint_is_refused(checkpoint, tmp_path, capsys):
    damaged = tmp_path / "damaged.pt"
    damaged.write_bytes(checkpoint.read_bytes()[:-1000])
    assert "damaged" in error_line([damaged, "--out", tmp_path / "out"], capsys)
    assert not (tmp_path / "out").exists()


class Hostile:
    def __reduce__(self):
        return os.mkdir, ("hostile-was-run",)


def test_hostile_checkpoint_is_refused_and_not_run(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save({"model": Hostile()}, tmp_path / "hostile.pt")
    assert "was not run" in error_line(["hostile.pt", "--out", "out"], capsys)
    (tmp_path / "plain.pt").write_bytes(pickle.dumps(Hostile()))
    error_line(["plain.pt", "--out", "out"], capsys)
    assert not (tmp_path / "hostile-was-run").exists()


def test_checkpoint_of_another_model_is_refused(tmp_path, capsys):
    torch.save({"model": {"decoder.layers.0.self_attn.k_proj.weight": torch.zeros(3, 3)}}, tmp_path / "other.pt")
    assert "mixing matrices" in error_line([tmp_path / "other.pt", "--out", tmp_path / "out"], capsys)


@pytest.mark.parametrize("cfg", [None, 3, [], {"model": "resmlp"}, {"model": [1]}])
@pytest.mark.parametrize("history", [None, 3, [], [3]])
def test_malformed_checkpoint_settings_are_ignored(tmp_path, cfg, history):
    content = {"model": _tiny_parameters(), "cfg": cfg, "optimizer_history": history}
    content["model"] |= {name.replace("encoder", "decoder"): value for name, value in content["model"].items()}
    torch.save(content, tmp_path / "odd.pt")
    stacks, _ = read_stacks(tmp_path / "odd.pt")
    assert [stack.name for stack in stacks] == ["encoder", "decoder"]


def test_missing_model_and_empty_folder_are_refused(tmp_path, capsys):
    error_line([tmp_path / "missing", "--out", tmp_path / "out"], capsys)
    assert "config.json" in error_line([tmp_path, "--out", tmp_path / "out"], capsys)


@pytest.mark.parametrize("content", [b"", b"[]", b"\xff", b"[" * 100_000, b'{"languages": 3}', b"{}"])
def test_damaged_configuration_is_refused(tmp_path, capsys, content):
    (tmp_path / "config.json").write_bytes(content)
    error_line([tmp_path, "--out", tmp_path / "out"], capsys)


def test_altered_parameters_are_refused(toy, tmp_path, capsys):
    model = shutil.copytree(toy / "model", tmp_path / "model")
    (model / PARAMETERS).write_bytes((model / PARAMETERS).read_bytes()[:-8])
    assert "altered" in error_line([model, "--out", tmp_path / "out"], capsys)


def test_file_as_output_folder_is_refused(checkpoint, tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert "is a file; choose another path" in error_line([checkpoint, "--out", tmp_path / "file"], capsys)


@pytest.mark.parametrize("mixing", ["none", "mlp", "conv"])
def test_classifier_without_linear_mixing_is_refused(tmp_path, capsys, mixing):
    model = write_classifier(tmp_path / "model", mixing=mixing)
    assert "give a model with linear mixing" in error_line([model, "--out", tmp_path / "out"], capsys)


def test_length_is_refused_for_classifiers(tmp_path, capsys):
    model = write_classifier(tmp_path / "model")
    assert "--length" in error_line([model, "--out", tmp_path / "out", "--length", "5"], capsys)


def test_inspect_needs_no_fairseq_torchvision_or_timm():
    code = "import sys, resmlp_mt.cli.inspect, resmlp_mt.inspect.report, resmlp_mt.inspect.image_figures\n"
    code += "print({'fairseq', 'torchvision', 'timm'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
