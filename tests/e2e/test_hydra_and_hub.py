"""fairseq's other interfaces: Hydra configs, the hub interface, imports and error messages."""

import re
import subprocess
import sys
from typing import Any

import pytest
import yaml
from fairseq_commands import ROOT, TRAINING, USER_DIR, generated, log_lines, losses, run, train
from recipes import SECTIONS, resolved_command

pytestmark = pytest.mark.usefixtures("fairseq_plugin")


@pytest.mark.slow
def test_hydra_train_losses_equal_fairseq_train(toy_data, tmp_path):
    args = ("--max-update", 3)
    expected = losses(train(toy_data, tmp_path / "command", *args))
    config = resolved_yaml_of_command(
        [str(toy_data), *TRAINING, *map(str, args), "--save-dir", str(tmp_path / "hydra")]
    )
    (tmp_path / "toy.yaml").write_text(yaml.safe_dump(config))
    finished = run("fairseq-hydra-train", "--config-dir", tmp_path, "--config-name", "toy", cwd=tmp_path)
    logged = finished.stdout + finished.stderr + "".join(p.read_text() for p in tmp_path.rglob("hydra_train.log"))
    assert losses(log_lines(logged))[:3] == expected


def resolved_yaml_of_command(args: list[str]) -> dict[str, Any]:
    """The settings of a command line as a Hydra config, without those that are None."""
    cfg = resolved_command(args)
    chosen = {section: {k: v for k, v in cfg[section].items() if v is not None} for section in SECTIONS}
    chosen["common"]["user_dir"] = str(USER_DIR)
    return chosen


@pytest.mark.slow
def test_hub_interface_equals_fairseq_generate(toy_data, toy_checkpoint, toy_text):
    from fairseq.models import MODEL_REGISTRY

    hub = MODEL_REGISTRY["resmlp_tiny"].from_pretrained(
        str(toy_checkpoint.parent), toy_checkpoint.name, data_name_or_path=str(toy_data)
    )
    lines = (toy_text / "test.src").read_text().splitlines()
    args = ("--task", "translation", "-s", "src", "-t", "tgt", "--cpu", "--user-dir", USER_DIR, "--beam", 4)
    output = run("fairseq-generate", toy_data, *args, "--path", toy_checkpoint, "--batch-size", 1).stdout
    expected = [generated(output)[index][0].split("\t")[1] for index in range(13)]
    assert hub.translate(lines, beam=4) == expected


@pytest.mark.slow
def test_too_long_training_sentences_are_skipped(toy_data, tmp_path):
    finished = run(
        "fairseq-train",
        *(toy_data, "--user-dir", USER_DIR, *TRAINING, "--save-dir", tmp_path, "--max-update", 1),
        *("--max-source-positions", 6, "--max-target-positions", 6, "--skip-invalid-size-inputs-valid-test"),
    )
    match = re.search(r"([\d,]+) samples have invalid sizes and will be skipped", finished.stdout + finished.stderr)
    texts = [(toy_data.parent / "text" / f"train.{side}").read_text().splitlines() for side in ("src", "tgt")]
    too_long = sum(len(line.split()) + 1 > 6 for line in texts[0])
    assert int(match[1].replace(",", "")) == too_long  # type: ignore[index]  # no match fails the test


@pytest.mark.slow
def test_missing_language_pair_is_named(toy_data, tmp_path):
    args = [arg if arg != "tgt" else "xx" for arg in TRAINING]
    finished = run("fairseq-train", toy_data, "--user-dir", USER_DIR, *args, "--save-dir", tmp_path, check=False)
    assert finished.returncode != 0
    assert "dict.xx.txt" in finished.stderr or "Dataset not found" in finished.stderr


def test_import_loads_neither_torch_nor_fairseq():
    program = "import sys, resmlp_mt; print(sorted({'torch', 'fairseq', 'numpy'} & set(sys.modules)))"
    output = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT
    ).stdout
    assert output.strip() == "[]"


@pytest.mark.parametrize(
    ("name", "module"),
    [("Translator", "resmlp_mt.translation.translator"), ("Classifier", "resmlp_mt.vision.classifier")],
)
def test_public_classes_are_loaded_on_first_use(name, module):
    program = (
        f"import sys, resmlp_mt; print('torch' in sys.modules, '{name}' in dir(resmlp_mt)); "
        f"from resmlp_mt import {name} as T; print('torch' in sys.modules, 'fairseq' in sys.modules, T.__module__)"
    )
    output = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True, cwd=ROOT
    ).stdout
    assert output.split() == ["False", "True", "True", "False", module]


def test_translation_core_needs_no_fairseq():
    modules = "sys, resmlp_mt.translation.translator, resmlp_mt.translation.model.decoder"
    program = f"import {modules}; print('fairseq' in sys.modules)"
    output = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True, cwd=ROOT
    ).stdout
    assert output.strip() == "False"


def test_missing_interpreter_is_named(tmp_path):
    finished = subprocess.run(
        ["bash", ROOT / "scripts" / "test.sh"],
        capture_output=True,
        text=True,
        timeout=60,
        env={"PATH": "/usr/bin:/bin", "PYTHON": "python2.99", "VENV": str(tmp_path / "venv")},
    )
    assert finished.returncode == 2
    assert finished.stderr.startswith("python2.99 is missing")
    assert "PYTHON=" in finished.stderr
