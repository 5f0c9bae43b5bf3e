"""DINO with the real commands: training, log, resuming, two processes, k-NN, linear probe, fine-tuning."""

import json
import sys

import numpy as np
import pytest
import torch
from bench import recording_bench
from fairseq_commands import USER_DIR, free_port, log_lines, losses_by_update, run
from PIL import Image
from recipes import differences, resolved_command, resolved_yaml

from resmlp_mt.cli.main import main
from resmlp_mt.common.errors import ResMLPError
from resmlp_mt.common.safe_checkpoint import read_checkpoint
from resmlp_mt.fairseq_plugin.dino_task import ResMLPDinoConfig, ResMLPDinoTask

PARTS = ("task", "model", "criterion", "optimizer", "lr_scheduler")
CLASSES = ("dots", "lines", "plain")
TRAIN, VALID = 43, 13

TRAINING = [
    *("--task", "resmlp_dino", "--criterion", "resmlp_dino", "--arch", "resmlp_digits", "--dataset-name", "folder"),
    *("--channels", "1", "--image-size", "8", "--depth", "2", "--dim", "13", "--drop-path", "0.1"),
    *("--local-crops", "2", "--local-crop-size", "4"),
    *("--head-dim", "31", "--head-hidden-dim", "17", "--head-bottleneck-dim", "7"),
    *("--optimizer", "resmlp_adamw", "--weight-decay", "0.04", "--lr", "0.002", "--lr-scheduler", "cosine"),
    *("--weight-decay-start", "0.04", "--weight-decay-end", "0.4", "--teacher-momentum", "0.9"),
    *("--teacher-temperature", "0.07", "--teacher-temperature-updates", "5", "--max-update", "9"),
    *("--batch-size", "11", "--clip-norm", "3", "--seed", "1", "--num-workers", "0", "--cpu"),
    *("--no-progress-bar", "--log-format", "json", "--log-interval", "1"),
]


@pytest.fixture(scope="module")
def image_folder(tmp_path_factory):
    """Small grey images of three classes; the last validation batch is smaller than the others."""
    root, generator = tmp_path_factory.mktemp("pictures"), np.random.default_rng(0)
    for split, count in (("train", TRAIN), ("val", VALID)):
        for number in range(count):
            name = CLASSES[number % len(CLASSES)]
            pixels = generator.integers(0, 100, (9, 10), dtype=np.uint8)
            pixels[:: 2 if name != "plain" else 1, :: 3 if name == "dots" else 1] += 150
            (root / split / name).mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(root / split / name / f"{number}.png")
    return root


def train(image_folder, save, *args):
    """Trains with the real fairseq-train and returns its log."""
    finished = run("fairseq-train", image_folder, "--user-dir", USER_DIR, *TRAINING, "--save-dir", save, *args)
    return finished.stdout + finished.stderr


@pytest.fixture(scope="module")
def trained(image_folder, tmp_path_factory):
    """A training run of 9 updates, 4 per epoch, with a checkpoint in the middle of the second epoch, and its log."""
    save = tmp_path_factory.mktemp("trained")
    return save, train(image_folder, save, "--save-interval-updates", 6)


def test_hydra_config_equals_script(tmp_path):
    bench = recording_bench(tmp_path)
    bench.recipe("dino_digits")
    script = resolved_command(bench.calls("fairseq-train")[0])
    config = resolved_yaml("dino_digits", f"checkpoint.save_dir={bench.run_folder}", "common.user_dir=resmlp_mt")
    for section in (*PARTS, "dataset", "optimization", "checkpoint", "common"):
        assert not differences(config, script, section), section
    assert all(config[part]["_name"] == script[part]["_name"] for part in PARTS)


@pytest.mark.slow
def test_log_has_entropies_and_knn_accuracy(trained):
    lines = log_lines(trained[1])
    valid = [line for line in lines if "valid_loss" in line]
    assert {"valid_teacher_entropy", "valid_mean_entropy", "valid_knn_top1"} <= set(valid[-1])
    for line in valid:
        right = float(line["valid_knn_top1"]) * VALID / 100
        assert right == pytest.approx(round(right), abs=0.01)  # all images count, the last batch too
        assert 0 <= float(line["valid_teacher_entropy"]) <= float(line["valid_mean_entropy"]) <= np.log(31) + 1e-3
    assert len(losses_by_update(lines)) == 9


@pytest.mark.slow
def test_resumed_training_is_bit_identical(trained, image_folder, tmp_path):
    whole, log = trained
    rest = train(image_folder, tmp_path, "--restore-file", whole / "checkpoint_2_6.pt")
    expected = losses_by_update(log_lines(log))
    assert losses_by_update(log_lines(rest)) == {update: expected[update] for update in (7, 8, 9)}
    ends = [read_checkpoint(folder / "checkpoint_last.pt") for folder in (whole, tmp_path)]
    for name, value in ends[0]["model"].items():
        assert torch.equal(value, ends[1]["model"][name]), name
    decays = [{group["weight_decay"] for group in end["last_optimizer_state"]["param_groups"]} for end in ends]
    assert decays[0] == decays[1]
    assert decays[0] - {0.0} != {0.04}


@pytest.mark.slow
def test_last_layer_is_frozen_for_one_epoch(trained):
    save, _ = trained
    first, last = (read_checkpoint(save / f"checkpoint{name}.pt")["model"] for name in ("1", "_last"))
    assert torch.equal(first["student_head.directions"], first["teacher_head.directions"])
    assert not torch.equal(last["student_head.directions"], first["student_head.directions"])
    assert not torch.equal(first["student.patch_embed.proj.weight"], first["core.patch_embed.proj.weight"])
    assert last["centre"].abs().sum() > 0


@pytest.mark.slow
def test_two_processes_equal_one(image_folder, tmp_path):
    args = ("--batch-size", 5, "--max-update", 4, "--drop-path", 0, "--disable-validation", "--no-epoch-checkpoints")
    alone = train(image_folder, tmp_path / "alone", *args, "--update-freq", 2)
    command = ("--nproc-per-node", 2, "--master-port", free_port(), sys.prefix + "/bin/fairseq-train", image_folder)
    together = run("torchrun", *command, "--user-dir", USER_DIR, *TRAINING, *args, "--save-dir", tmp_path / "two")
    expected = losses_by_update(log_lines(alone))
    result = losses_by_update(log_lines(together.stdout + together.stderr))
    assert list(result) == list(expected) == [1, 2, 3, 4]
    assert list(result.values()) == pytest.approx(list(expected.values()), abs=2e-3)
    ends = [read_checkpoint(tmp_path / name / "checkpoint_last.pt")["model"] for name in ("alone", "two")]
    for name in ("centre", "core.patch_embed.proj.weight"):
        assert torch.allclose(ends[0][name], ends[1][name], atol=1e-5), name


@pytest.mark.slow
def test_knn_and_linear_probe_of_checkpoint(trained, image_folder, tmp_path, capsys):
    checkpoint = str(trained[0] / "checkpoint_last.pt")
    where = ("--root", str(image_folder), "--batch-size", "11", "--json", str(tmp_path / "scores.json"))
    assert main(["vision", "knn", checkpoint, *where, "--k", "1", "5"]) == 0
    scores = json.loads((tmp_path / "scores.json").read_text())["k"]
    assert list(scores) == ["1", "5"]
    assert all(score["pictures"] == VALID for score in scores.values())
    low, high = scores["5"]["interval"]
    assert low < scores["5"]["top1"] < high or scores["5"]["top1"] in (0.0, 100.0)
    assert f"{TRAIN} training images" in capsys.readouterr().out

    untrained = []
    for file in ("checkpoint1.pt", "checkpoint_last.pt"):
        assert main(["vision", "knn", str(trained[0] / file), *where, "--k", "5", "--untrained", "3"]) == 0
        untrained.append((tmp_path / "scores.json").read_text())
    assert untrained[0] == untrained[1]  # no trained weights remain

    args = ("--epochs", "3", "--views", "2", "--network", "student", "--out", str(tmp_path / "probed"))
    assert main(["vision", "linear-probe", checkpoint, *where, *args]) == 0
    probed = json.loads((tmp_path / "scores.json").read_text())
    assert main(["vision", "evaluate", str(tmp_path / "probed"), "--dataset-name", "folder", *where]) == 0
    assert json.loads((tmp_path / "scores.json").read_text())["top1"]["right"] == probed["right"]


@pytest.mark.slow
def test_bad_input_is_one_line(trained, image_folder, capsys):
    checkpoint = str(trained[0] / "checkpoint_last.pt")
    for args, message in (
        (("--k", "100"), "k must be between 1 and the 43 features in the bank, but is 100"),
        (("--device", "nowhere"), "nowhere"),
        (("--split", "holdout"), "the data set folder has no split 'holdout'"),
    ):
        assert main(["vision", "knn", checkpoint, "--root", str(image_folder), *args]) == 2
        stderr = capsys.readouterr().err
        assert message in stderr
        assert len(stderr.splitlines()) == 1


@pytest.mark.slow
def test_finetuning_from_the_teacher_at_another_size(trained, image_folder, tmp_path):
    args = [
        *("--task", "resmlp_image_classification", "--criterion", "resmlp_image_cross_entropy", "--channels", "1"),
        *("--arch", "resmlp_digits", "--depth", "2", "--dim", "13", "--image-size", "12", "--max-update", "1"),
        *("--rand-augment", "none", "--optimizer", "resmlp_adamw", "--lr", "0.001", "--batch-size", "11", "--cpu"),
        *("--num-workers", "0", "--no-progress-bar", "--save-dir", tmp_path, "--user-dir", USER_DIR),
    ]
    checkpoint = trained[0] / "checkpoint_last.pt"
    finished = run("fairseq-train", image_folder, *args, "--init-from", checkpoint)
    message = f"2 layers, mixing interpolated from 4 x 4 to 6 x 6 patches, from {checkpoint}; new head with 3 classes"
    assert message in finished.stdout + finished.stderr


def test_schedules_require_max_update():
    task = ResMLPDinoTask(ResMLPDinoConfig(data=".", dataset_name="digits", max_update=0))
    with pytest.raises(ResMLPError, match="schedules require --max-update"):
        task.optimizer_step(None, None, 0)


def test_incomplete_weight_decay_schedule_is_refused():
    with pytest.raises(ResMLPError, match="--weight-decay-start and --weight-decay-end require each other"):
        ResMLPDinoTask(ResMLPDinoConfig(data=".", dataset_name="digits", weight_decay_end=0.4))
