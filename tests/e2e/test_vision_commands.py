"""The real fairseq commands with an image classifier on scikit-learn's digits, each in its own process."""

import re

import pytest
import torch
import yaml
from bench import recording_bench
from fairseq.checkpoint_utils import save_ema_as_checkpoint
from fairseq_commands import BIN, USER_DIR, free_port, log_lines, losses, losses_by_update, run
from PIL import Image
from recipes import SECTIONS, differences, resolved_command, resolved_yaml

from resmlp_mt.common.safe_checkpoint import read_checkpoint
from resmlp_mt.vision.bundle import load_classifier

pytestmark = pytest.mark.usefixtures("fairseq_plugin")

TASK = ("--task", "resmlp_image_classification")
DIGITS = (".", *TASK, "--dataset-name", "digits")
# The full training recipe with all its randomness, and a few thousand parameters: 23 batches per epoch.
TRAINING = [
    *("--arch", "resmlp_digits", "--dim", "16", "--depth", "2", "--drop-path", "0.1"),
    *("--criterion", "resmlp_image_cross_entropy", "--optimizer", "resmlp_lamb", "--lr", "0.02"),
    *("--lr-scheduler", "cosine", "--warmup-updates", "5", "--lr-period-updates", "25"),
    *("--batch-size", "64", "--seed", "1", "--num-workers", "0", "--cpu", "--no-progress-bar", "--log-format", "json"),
    *("--log-interval", "1", "--no-epoch-checkpoints", "--store-ema", "--ema-decay", "0.9"),
    *("--best-checkpoint-metric", "top1", "--maximize-best-checkpoint-metric"),
]


def train(save, *args, data=DIGITS, check=True):
    """Trains with the real fairseq-train and returns its log."""
    finished = run("fairseq-train", *data, "--user-dir", USER_DIR, *TRAINING, "--save-dir", save, *args, check=check)
    return finished.stdout + finished.stderr


def validated(log, what):
    return [float(value) for value in re.findall(rf'"valid_{what}": "([\d.]+)"', log)]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """An uninterrupted training run of 30 updates: its folder and its log."""
    folder = tmp_path_factory.mktemp("whole")
    return folder, train(folder, "--max-update", 30)


@pytest.mark.slow
class TestTraining:
    def test_resumed_training_is_bit_identical(self, whole, tmp_path):
        folder, log = whole
        train(tmp_path, "--max-update", 26)
        resumed = losses_by_update(log_lines(train(tmp_path, "--max-update", 30)))
        expected = losses_by_update(log_lines(log))
        assert resumed == {update: expected[update] for update in (27, 28, 29, 30)}
        ends = [read_checkpoint(path / "checkpoint_last.pt") for path in (folder, tmp_path)]
        for of in (lambda end: end["model"], lambda end: end["extra_state"]["ema"]):
            assert all(torch.equal(value, of(ends[1])[name]) for name, value in of(ends[0]).items())

    def test_validation_scores_all_images_and_ema_weights(self, whole):
        _, log = whole
        for what in ("top1", "top5", "ema_top1", "ema_top5"):
            correct = [percent * 355 / 100 for percent in validated(log, what)]
            assert len(correct) == 2
            assert correct == pytest.approx([round(count) for count in correct], abs=2e-3)  # integers out of 355
        assert validated(log, "ema_top1") != validated(log, "top1")

    def test_checkpoint_loads_as_classifier(self, whole):
        folder, _ = whole
        loaded = load_classifier(folder / "checkpoint_best.pt")
        assert loaded.classes == [str(digit) for digit in range(10)]
        assert (loaded.preprocessing.image_size, loaded.preprocessing.channels) == (8, 1)

    def test_fairseq_validate_repeats_training_scores(self, whole, tmp_path):
        folder, log = whole
        save_ema_as_checkpoint(str(folder / "checkpoint_last.pt"), str(tmp_path / "averaged.pt"))
        for path, prefix in ((folder / "checkpoint_last.pt", ""), (tmp_path / "averaged.pt", "ema_")):
            args = ("--user-dir", USER_DIR, "--cpu", "--path", path, "--batch-size", 47, "--log-format", "json")
            finished = run("fairseq-validate", *DIGITS, *args)
            output = finished.stdout + finished.stderr
            for what in ("top1", "loss"):
                assert validated(output, what)[-1] == pytest.approx(validated(log, prefix + what)[-1], abs=2e-3)

    def test_two_processes_equal_one(self, tmp_path):
        args = ("--max-update", 6, "--ddp-backend", "legacy_ddp", "--drop-path", 0, "--batch-size", 31)
        alone = train(tmp_path / "one", *args, "--update-freq", 2)
        finished = run(
            "torchrun",
            *("--nproc_per_node", 2, "--master_port", free_port(), "--no-python", BIN / "fairseq-train", *DIGITS),
            *("--user-dir", USER_DIR, *TRAINING, "--save-dir", tmp_path / "two", *args),
            *("--distributed-world-size", 2, "--distributed-backend", "gloo"),
        )
        together = finished.stdout + finished.stderr
        assert losses(log_lines(together)) == pytest.approx(losses(log_lines(alone)), abs=2e-3)
        assert len(losses(log_lines(alone))) == 6
        for what in ("loss", "top1", "ema_top1"):  # 12 batches, the last of 14: no image is missed or counted twice
            assert validated(together, what) == pytest.approx(validated(alone, what), abs=0.3)

    def test_early_stopping_on_top1(self, tmp_path):
        args = ("--lr", 0, "--patience", 2, "--max-epoch", 9, "--validate-interval-updates", 2)
        log = train(tmp_path, *args)
        assert "early stop since valid performance hasn't improved for last 2 runs" in log
        assert len(validated(log, "top1")) == 3

    def test_own_checkpoint_as_teacher(self, whole, tmp_path):
        folder, log = whole
        args = ("--criterion", "resmlp_image_distillation", "--teacher", folder / "checkpoint_best.pt")
        taught = train(tmp_path, *args, "--max-update", 3)
        assert len(losses(log_lines(taught))) == 3
        assert losses(log_lines(taught)) != losses(log_lines(log))[:3]
        assert not any("teacher" in name for name in read_checkpoint(tmp_path / "checkpoint_last.pt")["model"])

    def test_corrupt_image_is_one_line_or_skipped(self, tmp_path):
        for split in ("train", "val"):
            for name in ("ape", "zebra"):
                for number in range(4):
                    path = tmp_path / "images" / split / name / f"{number}.png"
                    path.parent.mkdir(parents=True, exist_ok=True)
                    Image.new("RGB", (8, 8), (60 * number, 0, 0)).save(path)
        damaged = tmp_path / "images" / "train" / "ape" / "2.png"
        damaged.write_bytes(damaged.read_bytes()[:40])
        data = (tmp_path / "images", *TASK, "--image-size", 8)
        args = ("--max-update", 2, "--num-workers", 1, "--batch-size", 3, "--repeated-augmentation", 1)
        refused = run(
            "fairseq-train", *data, "--user-dir", USER_DIR, *TRAINING, "--save-dir", tmp_path / "a", *args, check=False
        )
        assert refused.returncode != 0
        assert f"fairseq-train: error: {damaged} cannot be read as an image" in refused.stderr.splitlines()[-1]
        log = train(tmp_path / "b", *args, "--max-epoch", 1, "--corrupt-images", "skip", data=data)
        assert f"skipped: {damaged}" in log
        assert len(validated(log, "top1")) == 1


@pytest.mark.parametrize(
    ("recipe", "config", "args"), [("demo_vision", "vision_digits", ()), ("imagenet", "imagenet", ("ROOT",))]
)
def test_hydra_config_equals_script(recipe, config, args, tmp_path):
    images = tmp_path / "images"
    for split in ("train", "val"):
        (images / split / "n01440764").mkdir(parents=True)
    bench = recording_bench(tmp_path)
    bench.recipe(recipe, *(images if arg == "ROOT" else arg for arg in args), GPUS=8)
    command = resolved_command(bench.calls("fairseq-train")[0])
    overrides = [f"checkpoint.save_dir={bench.run_folder}", "common.user_dir=resmlp_mt"]
    overrides += [f"task.data={images}"] if args else []
    yaml_config = resolved_yaml(config, *overrides)
    for section in (*SECTIONS, "ema"):
        assert not differences(yaml_config, command, section), section


@pytest.mark.slow
def test_hydra_train_losses_equal_fairseq_train(whole, tmp_path):
    _, log = whole
    command = [*DIGITS, *TRAINING, "--max-update", "3", "--save-dir", str(tmp_path / "hydra")]
    resolved = resolved_command(command)
    config = {name: {k: v for k, v in resolved[name].items() if v is not None} for name in (*SECTIONS, "ema")}
    config["common"]["user_dir"] = str(USER_DIR)
    (tmp_path / "digits.yaml").write_text(yaml.safe_dump(config))
    finished = run("fairseq-hydra-train", "--config-dir", tmp_path, "--config-name", "digits", cwd=tmp_path)
    logged = finished.stdout + finished.stderr + "".join(p.read_text() for p in tmp_path.rglob("hydra_train.log"))
    assert losses(log_lines(logged))[:3] == losses(log_lines(log))[:3]
