"""The other doors of fairseq: hydra configurations, the hub interface, and what they say of bad input."""

import re
import stat
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from fairseq import options
from fairseq.dataclass.initialize import add_defaults, hydra_init
from fairseq.dataclass.utils import convert_namespace_to_omegaconf
from fairseq_commands import ROOT, TRAINING, USER_DIR, generated, log_lines, losses, run, train
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from omegaconf import OmegaConf

import resmlp_mt

resmlp_mt.register_with_fairseq()

SECTIONS = (
    "common",
    "task",
    "model",
    "criterion",
    "optimizer",
    "lr_scheduler",
    "dataset",
    "optimization",
    "checkpoint",
)


def commands_of(script: Path, folder: Path, *words: object) -> list[list[str]]:
    """Runs a recipe in an environment whose programs only write down what they are called with."""
    venv = folder / "venv"
    (venv / "bin").mkdir(parents=True)
    stub = f'#!/bin/sh\nprintf "%s\\0" "$(basename "$0")" "$@" >> {folder}/calls; printf "\\n" >> {folder}/calls\n'
    for name in ("python", "fairseq-train", "fairseq-interactive", "resmlp-mt"):
        program = venv / "bin" / name
        program.write_text(stub)
        program.chmod(program.stat().st_mode | stat.S_IXUSR)
    stamp = subprocess.run(
        ["bash", "-c", "cat constraints.txt setup.py | cksum"], cwd=ROOT, capture_output=True, check=True
    )
    (venv / "installed").write_bytes(stamp.stdout)
    environment = {"PATH": "/usr/bin:/bin", "VENV": str(venv), "RUN": str(folder / "run")}
    subprocess.run(["bash", script, *map(str, words)], env=environment, capture_output=True, timeout=60)
    calls = (folder / "calls").read_text().split("\n")[:-1]
    return [call.split("\0")[:-1] for call in calls]


def resolved_yaml(name: str, *overrides: str) -> dict:
    GlobalHydra.instance().clear()
    hydra_init(name)
    with initialize_config_dir(config_dir=str(ROOT / "scripts" / "config"), version_base="1.1"):
        cfg = compose(name, overrides=list(overrides))
    add_defaults(cfg)
    return OmegaConf.to_container(cfg, resolve=True, enum_to_str=True)


def test_the_yaml_twin_of_the_multi30k_recipe_resolves_to_the_same_configuration(tmp_path):
    calls = commands_of(ROOT / "scripts" / "multi30k.sh", tmp_path, tmp_path)
    words = next(call[1:] for call in calls if call[0] == "fairseq-train")
    parsed = options.parse_args_and_arch(options.get_training_parser(), words)
    script = OmegaConf.to_container(convert_namespace_to_omegaconf(parsed), resolve=True, enum_to_str=True)
    run_folder = tmp_path / "run"
    twin = resolved_yaml(
        "multi30k", f"task.data={run_folder}/data", f"checkpoint.save_dir={run_folder}", "common.user_dir=resmlp_mt"
    )
    for section in SECTIONS:
        differences = {
            key: (value, script[section].get(key, value))
            for key, value in twin[section].items()
            if str(value) != str(script[section].get(key, value))
        }
        assert not differences, section


@pytest.mark.slow
def test_fairseq_hydra_train_gives_the_losses_of_fairseq_train(toy_data, tmp_path):
    words = ("--max-update", 3)
    expected = losses(train(toy_data, tmp_path / "command", *words))
    config = resolved_yaml_of_command(
        [str(toy_data), *TRAINING, *map(str, words), "--save-dir", str(tmp_path / "hydra")]
    )
    (tmp_path / "toy.yaml").write_text(yaml.safe_dump(config))
    finished = run("fairseq-hydra-train", "--config-dir", tmp_path, "--config-name", "toy", cwd=tmp_path)
    logged = finished.stdout + finished.stderr + "".join(p.read_text() for p in tmp_path.rglob("hydra_train.log"))
    assert losses(log_lines(logged))[:3] == expected


def resolved_yaml_of_command(words: list[str]) -> dict:
    """The settings of a command line as a configuration for hydra: what differs from nothing at all."""
    parsed = options.parse_args_and_arch(options.get_training_parser(), words)
    cfg = OmegaConf.to_container(convert_namespace_to_omegaconf(parsed), resolve=True, enum_to_str=True)
    chosen = {section: {k: v for k, v in cfg[section].items() if v is not None} for section in SECTIONS}
    chosen["common"]["user_dir"] = str(USER_DIR)
    return chosen


@pytest.mark.slow
def test_the_hub_interface_translates_like_fairseq_generate(toy_data, toy_checkpoint, toy_text):
    from fairseq.models import MODEL_REGISTRY

    hub = MODEL_REGISTRY["resmlp_tiny"].from_pretrained(
        str(toy_checkpoint.parent), toy_checkpoint.name, data_name_or_path=str(toy_data)
    )
    lines = (toy_text / "test.src").read_text().splitlines()
    words = ("--task", "translation", "-s", "src", "-t", "tgt", "--cpu", "--user-dir", USER_DIR, "--beam", 4)
    output = run("fairseq-generate", toy_data, *words, "--path", toy_checkpoint, "--batch-size", 1).stdout
    expected = [generated(output)[index][0].split("\t")[1] for index in range(13)]
    assert hub.translate(lines, beam=4) == expected


@pytest.mark.slow
def test_sentences_longer_than_the_model_are_skipped_in_training_with_a_count(toy_data, tmp_path):
    finished = run(
        "fairseq-train",
        *(toy_data, "--user-dir", USER_DIR, *TRAINING, "--save-dir", tmp_path, "--max-update", 1),
        *("--max-source-positions", 6, "--max-target-positions", 6, "--skip-invalid-size-inputs-valid-test"),
    )
    found = re.search(r"([\d,]+) samples have invalid sizes and will be skipped", finished.stdout + finished.stderr)
    texts = [(toy_data.parent / "text" / f"train.{side}").read_text().splitlines() for side in ("src", "tgt")]
    too_long = sum(len(line.split()) + 1 > 6 for line in texts[0])
    assert int(found[1].replace(",", "")) == too_long


@pytest.mark.slow
def test_a_data_folder_without_the_language_pair_ends_the_training_with_its_name(toy_data, tmp_path):
    words = [word if word != "tgt" else "xx" for word in TRAINING]
    finished = run("fairseq-train", toy_data, "--user-dir", USER_DIR, *words, "--save-dir", tmp_path, check=False)
    assert finished.returncode != 0
    assert "dict.xx.txt" in finished.stderr or "Dataset not found" in finished.stderr


def test_importing_the_package_loads_neither_torch_nor_fairseq():
    program = "import sys, resmlp_mt; print(sorted({'torch', 'fairseq', 'numpy'} & set(sys.modules)))"
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT).stdout
    assert said.strip() == "[]"


def test_the_core_of_translation_needs_no_fairseq():
    program = (
        "import sys, resmlp_mt.translation.translator, resmlp_mt.translation.decoder; print('fairseq' in sys.modules)"
    )
    said = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True, cwd=ROOT).stdout
    assert said.strip() == "False"


@pytest.mark.parametrize("words", [("",), ("no/such/folder",)])
def test_the_recipe_without_its_text_ends_with_one_line_and_status_2(words):
    finished = subprocess.run(
        ["bash", ROOT / "scripts" / "multi30k.sh", *words], capture_output=True, text=True, timeout=60
    )
    assert finished.returncode == 2
    assert len(finished.stderr.splitlines()) == 1
    assert "FOLDER must be" in finished.stderr


def test_a_missing_interpreter_is_named_with_the_remedy(tmp_path):
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
