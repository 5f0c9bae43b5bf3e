"""Records and signals of the real training commands, for several tasks and architectures."""

import json
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from fairseq import options
from fairseq.dataclass.utils import convert_namespace_to_omegaconf
from fairseq_commands import (
    BIN,
    ROOT,
    TRAINING,
    USER_DIR,
    environment,
    final_threads,
    record_final_threads,
    run,
)
from omegaconf import OmegaConf

from resmlp_mt.common.safe_checkpoint import read_checkpoint
from resmlp_mt.training.history import read_histories
from resmlp_mt.training.stopping import EXIT_STATUS

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("fairseq_plugin")]


# Validation and saving happen only at the end, so an earlier checkpoint comes from a signal.
RARELY = ("--validate-interval", 1000, "--save-interval", 1000, "--dropout", 0.1)


def command(data, folder, *args):
    """The command of a training run."""
    program = [BIN / "fairseq-train", data, "--user-dir", USER_DIR, *TRAINING, "--save-dir", folder, *RARELY, *args]
    return [str(arg) for arg in program]


def records(folder: Path) -> list[dict[str, Any]]:
    """The records of a training run so far; the last line may be incomplete."""
    path = folder / "metrics.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines(keepends=True) if line.endswith("\n")]


def losses(folder: Path) -> dict[int, float]:
    return {record["update"]: record["loss"] for record in records(folder) if record["kind"] == "train"}


def run_json(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "run.json").read_text())


def start_and_wait_for_updates(args, folder, updates, log, **options) -> subprocess.Popen[bytes]:
    """Starts training in a new process group and waits until it has recorded `updates` updates."""
    process = subprocess.Popen(
        args, stdout=log, stderr=subprocess.STDOUT, cwd=ROOT, env=environment(), start_new_session=True, **options
    )
    deadline = time.monotonic() + 200
    while not ((folder / "metrics.jsonl").exists() and len(records(folder)) >= updates):
        assert process.poll() is None, log.name
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return process


@pytest.fixture(scope="module")
def whole(toy_data, tmp_path_factory):
    """An uninterrupted training run, without a log, with TensorBoard."""
    folder = tmp_path_factory.mktemp("whole")
    args = ("--max-update", 90, "--log-format", "none", "--tensorboard-logdir", folder / "tensorboard")
    subprocess.run(command(toy_data, folder, *args), check=True, capture_output=True, cwd=ROOT, env=environment())
    return folder


class TestRecord:
    def test_record_has_every_interval_and_validation(self, whole):
        recorded = records(whole)
        assert [record["update"] for record in recorded if record["kind"] == "train"] == list(range(1, 91))
        validation = recorded[-1]
        assert (validation["kind"], validation["update"], validation["subset"]) == ("valid", 90, "valid")
        assert {"loss", "ppl"} < validation.keys()
        measured = {"loss", "ppl", "lr", "gnorm", "wps", "ups", "rss_peak", "training_seconds", "tokens", "sentences"}
        assert all(measured < record.keys() for record in recorded[:-1])

    def test_token_counts_equal_the_data(self, whole, toy_data):
        lines = (toy_data.parent / "text" / "train.tgt").read_text().split("\n")[:-1]
        tokens = sum(len(line.split()) + 1 for line in lines)
        epochs = [record for record in records(whole) if record["kind"] == "train" and record["sentences"] % 300 == 0]
        assert epochs
        for record in epochs:
            assert record["tokens"] * 300 == tokens * record["sentences"]

    def test_run_json_contents(self, whole, toy_data):
        recorded = run_json(whole)
        assert recorded["settings"]["optimization"]["max_update"] == 90
        assert [(end["how"], end["update"]) for end in recorded["ends"]] == [("finished: --max-update 90", 90)]
        assert recorded["settings"]["model"]["_name"] == "resmlp_tiny"
        assert recorded["settings"]["dataset"]["max_tokens"] == 400
        weights = read_checkpoint(whole / "checkpoint_last.pt")["model"]
        shared_once = {tensor.data_ptr(): tensor for tensor in weights.values()}.values()
        assert recorded["parameters"] == sum(tensor.numel() for tensor in shared_once)
        assert {"resmlp-mt", "fairseq-fixed", "torch", "numpy", "sentencepiece", "python"} <= recorded[
            "versions"
        ].keys()
        assert recorded["data"][0]["folder"] == str(toy_data)
        assert recorded["starts"][0]["command"][1:3] == [str(toy_data), "--user-dir"]
        assert [end["how"] for end in recorded["ends"]] == ["finished: --max-update 90"]
        head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True)
        if head.returncode == 0:
            assert len(recorded["git"]["commit"]) == len(head.stdout.strip())

    def test_tensorboard_log_is_readable(self, whole):
        from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

        events = EventAccumulator(str(whole / "tensorboard" / "train_inner"))
        events.Reload()
        shown = {event.step: event.value for event in events.Scalars("loss")}
        assert shown == pytest.approx(losses(whole), rel=1e-6)


class TestStopping:
    def test_stopped_training_resumes_unchanged(self, whole, toy_data, tmp_path):
        folder, log = tmp_path / "run", tmp_path / "log"
        args = command(toy_data, folder, "--max-update", 90, "--num-workers", 1)
        with log.open("w") as file:
            process = start_and_wait_for_updates(args, folder, 13, file)
            os.killpg(process.pid, signal.SIGTERM)  # the data loader process is in the group, too
            assert process.wait(300) == EXIT_STATUS
        stopped = read_checkpoint(folder / "checkpoint_last.pt")["optimizer_history"][-1]["num_updates"]
        assert 13 <= stopped < 90
        assert f"stopped by SIGTERM after update {stopped}: {folder}/checkpoint_last.pt is saved" in log.read_text()
        assert max(losses(folder)) == stopped
        with log.open("a") as file:
            subprocess.run(args, check=True, stdout=file, stderr=file, cwd=ROOT, env=environment())
        assert losses(folder) == pytest.approx(losses(whole), abs=1e-3)
        assert [record["update"] for record in records(folder)] == [*range(1, 91), 90]
        final = [max(record["tokens"] for record in records(one)) for one in (folder, whole)]
        assert final[0] == final[1]
        recorded = run_json(folder)
        assert [start["update"] for start in recorded["starts"]] == [0, stopped]
        assert recorded["starts"][1]["changed"] == {}
        assert [end["how"] for end in recorded["ends"]] == ["stopped by SIGTERM", "finished: --max-update 90"]
        assert_log_has_the_same_history(folder, log)

    def test_finished_training_does_nothing(self, whole, toy_data):
        before = {path: path.read_bytes() for path in whole.glob("*.*")}
        finished = subprocess.run(
            command(toy_data, whole, "--max-update", 90), capture_output=True, text=True, cwd=ROOT, env=environment()
        )
        assert finished.returncode == 0
        assert "nothing to train: the checkpoint has 90 updates" in finished.stdout + finished.stderr
        assert {path: path.read_bytes() for path in whole.glob("*.*")} == before

    def test_signal_to_one_process_stops_all(self, toy_data, tmp_path, monkeypatch):
        # fairseq starts a process for each GPU; device_count is patched to two, and it computes on the CPU
        folder, log = tmp_path / "run", tmp_path / "log"
        program = (
            "import torch; torch.cuda.device_count = lambda: 2; from fairseq_cli.train import cli_main; cli_main()"
        )
        args = ("--max-update", 5000, "--distributed-world-size", 2, "--distributed-backend", "gloo")
        record_final_threads(monkeypatch, tmp_path / "site")
        script = tmp_path / "two_processes.py"
        script.write_text(f"if __name__ == '__main__':\n    {program}\n")
        started = [sys.executable, script, *command(toy_data, folder, *args, "--ddp-backend", "legacy_ddp")[1:]]
        with log.open("w") as file:
            process = start_and_wait_for_updates(started, folder, 5, file)
            listed = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
            master = run_json(folder)["starts"][0]["pid"]
            workers = [pid for pid in map(int, listed) if pid != master and is_training(pid)]
            assert len(workers) == 1
            os.kill(workers[0], signal.SIGUSR1)
            assert process.wait(300) == EXIT_STATUS, log.read_text()[-3000:]
        stopped = read_checkpoint(folder / "checkpoint_last.pt")["optimizer_history"][-1]["num_updates"]
        assert max(losses(folder)) == stopped
        assert "after update" in log.read_text()
        assert "Traceback" not in log.read_text()
        assert run_json(folder)["processes"] == 2
        assert len(run_json(folder)["starts"]) == 1  # only the first process writes
        threads = final_threads(tmp_path / "site")
        assert len(threads) == 3
        assert not [names for names in threads if "gloo" in names]

    def test_hydra_train_stops_and_records_a_transformer(self, toy_data, tmp_path):
        folder, log = tmp_path / "run", tmp_path / "log"
        args = [arg if arg != "resmlp_tiny" else "transformer" for arg in command(toy_data, folder)[1:]]
        small = ("--encoder-layers", 1, "--decoder-layers", 1, "--encoder-embed-dim", 8, "--decoder-embed-dim", 8)
        heads = ("--encoder-attention-heads", 2, "--decoder-attention-heads", 2)
        parsed = options.parse_args_and_arch(options.get_training_parser(), [*args, *map(str, (*small, *heads))])
        cfg: Any = OmegaConf.to_container(convert_namespace_to_omegaconf(parsed), resolve=True, enum_to_str=True)
        sections = ("common", "task", "criterion", "optimizer", "lr_scheduler", "dataset", "optimization", "checkpoint")
        chosen = {name: {k: v for k, v in cfg[name].items() if v is not None} for name in sections}
        chosen["model"] = {"_name": "transformer", **{arg[2:].replace("-", "_"): n for arg, n in pairs(small, heads)}}
        chosen["model"] |= {"share_all_embeddings": True}
        (tmp_path / "toy.yaml").write_text(yaml.safe_dump(chosen))
        started = [BIN / "fairseq-hydra-train", "--config-dir", tmp_path, "--config-name", "toy"]
        started += [f"hydra.run.dir={tmp_path / 'hydra'}"]
        with log.open("w") as file:
            process = start_and_wait_for_updates(started, folder, 5, file)
            process.send_signal(signal.SIGUSR1)
            assert process.wait(300) == EXIT_STATUS, log.read_text()[-3000:]
        assert run_json(folder)["ends"][0]["how"] == "stopped by SIGUSR1"
        assert run_json(folder)["settings"]["model"]["_name"] == "transformer"
        stopped = read_checkpoint(folder / "checkpoint_last.pt")["optimizer_history"][-1]["num_updates"]
        assert max(losses(folder)) == stopped


def assert_log_has_the_same_history(folder, log):
    recorded, logged = read_histories([folder, log], None)
    for ours, theirs in ((recorded.train, logged.train), (recorded.valid, logged.valid)):
        assert [record["update"] for record in ours] == [record["update"] for record in theirs]
        for measure in ("loss", "ppl"):
            assert [r[measure] for r in ours] == pytest.approx([r[measure] for r in theirs], abs=1e-3)
    assert logged.train[-1]["tokens"] == pytest.approx(recorded.train[-1]["tokens"], rel=1e-3)
    assert logged.settings["optimization"]["max_update"] == 90


def pairs(*args):
    flat = [arg for group in args for arg in group]
    return zip(flat[::2], flat[1::2], strict=True)


def is_training(pid: int) -> bool:
    """Whether a process was spawned by fairseq, not Python's resource tracker."""
    return b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()


def test_full_disk_is_one_line_and_keeps_checkpoints(whole, toy_data, tmp_path):
    """A file size limit simulates a full disk: writing fails in the middle of a checkpoint."""
    for name in ("checkpoint_last.pt", "checkpoint_best.pt", "metrics.jsonl", "run.json"):
        (tmp_path / name).write_bytes((whole / name).read_bytes())
    before = {path: path.read_bytes() for path in tmp_path.glob("*.pt")}
    limit = before[tmp_path / "checkpoint_last.pt"].__len__() // 2
    failed = subprocess.run(
        command(toy_data, tmp_path, "--max-update", 95),
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=environment(),
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
    )
    assert failed.returncode == 1
    last = failed.stderr.splitlines()[-1]
    assert last.startswith("fairseq-train: error: checkpoint ")
    assert "cannot be written (File too large); free some space" in last
    assert "Traceback" not in failed.stderr
    assert {path: path.read_bytes() for path in tmp_path.glob("*.pt*")} == before


def test_divergence_names_layer_and_update(toy_data, tmp_path):
    failed = run(
        "fairseq-train",
        *command(toy_data, tmp_path, "--max-update", 9, "--lr", 1e30, "--lr-scheduler", "fixed")[1:],
        check=False,
    )
    assert failed.returncode == 1
    last = failed.stderr.splitlines()[-1]
    assert last.startswith("fairseq-train: error: the output of ")
    assert "is not finite in update 2 (" in last
    assert "Traceback" not in failed.stderr


def test_unstructured_task_settings_are_recorded(tmp_path):
    args: tuple[object, ...] = (
        "--task",
        "dummy_mt",
        "--arch",
        "resmlp_tiny",
        "--dict-size",
        29,
        "--src-len",
        5,
        "--tgt-len",
        7,
    )
    args += ("--criterion", "label_smoothed_cross_entropy", "--optimizer", "adam", "--lr", "1e-3", "--batch-size", 3)
    args += ("--max-update", 2, "--disable-validation", "--no-save", "--num-workers", 0, "--cpu")
    run("fairseq-train", "--user-dir", USER_DIR, *args, "--save-dir", tmp_path)
    recorded = run_json(tmp_path)
    assert recorded["settings"]["task"]["src_len"] == 5
    assert recorded["ends"][-1]["update"] == 2
