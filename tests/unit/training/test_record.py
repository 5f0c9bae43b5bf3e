"""metrics.jsonl survives kills, restarts and a full disk; run.json records settings and environment."""

import json
import subprocess
from argparse import Namespace
from typing import Any

import numpy as np
import pytest
import torch
from fairseq.logging.meters import AverageMeter

from resmlp_mt.common.versions import versions
from resmlp_mt.training import run_record
from resmlp_mt.training.provenance import RunFile, data_state, differences, git_state, plain_settings, read_run
from resmlp_mt.training.run_record import TRAIN, VALID, RunRecord, plain_number, read_records


def updates(path):
    return [record["update"] for record in read_records(path)]


class TestMetrics:
    @pytest.fixture
    def path(self, tmp_path):
        path = tmp_path / "metrics.jsonl"
        record = RunRecord(path, 0)
        for update in (3, 5, 7, 11):
            record.write(TRAIN, update, {"loss": 1 / update})
        record.write(VALID, 7, {"loss": 1.5, "samples": [{"output": "ein\u2028Satz"}]})
        return path

    def test_restart_drops_repeated_updates(self, path):
        RunRecord(path, 7).write(TRAIN, 11, {"loss": 2.0})
        assert updates(path) == [3, 5, 7, 7, 11]
        assert [r["samples"][0]["output"] for r in read_records(path) if "samples" in r] == ["ein\u2028Satz"]
        assert list(read_records(path))[-1]["loss"] == 2.0

    def test_new_training_starts_new_record(self, path):
        RunRecord(path, 0)
        assert updates(path) == []

    def test_truncated_line_is_dropped(self, path):
        path.write_text(path.read_text() + '{"kind": "train", "upd')
        assert updates(path) == [3, 5, 7, 11, 7]
        RunRecord(path, 11).write(TRAIN, 13, {})
        assert updates(path) == [3, 5, 7, 11, 7, 13]

    def test_full_disk_is_logged_once(self, tmp_path, caplog):
        (tmp_path / "metrics.jsonl").symlink_to("/dev/full")
        record = RunRecord.__new__(RunRecord)
        record.path, record._has_warned = tmp_path / "metrics.jsonl", False
        record.write(TRAIN, 1, {})
        record.write(TRAIN, 2, {})
        assert [entry.message for entry in caplog.records] == [
            f"{record.path} cannot be written (No space left on device): some records of this run will be missing"
        ]


def test_plain_number():
    meter = AverageMeter()
    meter.update(3.0)
    for value, expected in [
        (meter, 3.0),
        (torch.tensor(2.5), 2.5),
        (np.float64(1.5), 1.5),
        (7, 7),
        (float("nan"), None),
        (torch.tensor(float("inf")), None),
        (torch.zeros(3), None),
        ("seven", None),
        (None, None),
    ]:
        assert plain_number(value) == expected
    json.dumps([plain_number(np.int64(3)), plain_number(torch.tensor(3))])


def test_memory_in_use():
    assert 50 * 2**20 < run_record.memory_in_use()["rss_peak"] < 64 * 2**30


class TestRunFile:
    def start_run(self, path, update, settings, data=()):
        RunFile(path).started(settings, update, data, 3, 1009)
        return read_run(path)

    def test_restart_records_changed_settings(self, tmp_path):
        path = tmp_path / "run.json"
        self.start_run(path, 0, {"optimization": {"lr": [0.1], "clip_norm": 0.0}})
        RunFile(path).ended(5, "stopped by SIGUSR1")
        run = self.start_run(path, 5, {"optimization": {"lr": [0.2], "clip_norm": 0.0}})
        assert [start["update"] for start in run["starts"]] == [0, 5]
        assert run["starts"][1]["changed"] == {"optimization.lr": [[0.1], [0.2]]}
        assert run["settings"]["optimization"]["lr"] == [0.2]
        assert [(end["update"], end["how"]) for end in run["ends"]] == [(5, "stopped by SIGUSR1")]
        assert (run["processes"], run["parameters"]) == (3, 1009)

    def test_new_training_replaces_old_run_file(self, tmp_path):
        path = tmp_path / "run.json"
        self.start_run(path, 0, {})
        assert len(self.start_run(path, 0, {})["starts"]) == 1

    def test_damaged_file_is_replaced(self, tmp_path):
        path = tmp_path / "run.json"
        path.write_text('{"starts": [')
        assert len(self.start_run(path, 5, {})["starts"]) == 1

    def test_hardware_and_versions_are_recorded(self, tmp_path):
        run = self.start_run(tmp_path / "run.json", 0, {})
        assert run["versions"]["torch"] == versions()["torch"]
        assert run["hardware"]["cpus"] > 0
        assert run["hardware"]["memory_bytes"] > 2**28

    def test_data_is_recorded_by_manifest(self, tmp_path):
        manifest = {"settings": {"corpus": "toy"}, "splits": {"train": {"pairs": 37}}, "sources": [], "other": 1}
        (tmp_path / "manifest.json").write_text(json.dumps(manifest))
        state = data_state(tmp_path)
        assert state["manifest"].startswith("sha256:")
        assert (state["settings"], state["pairs"]) == ({"corpus": "toy"}, {"train": 37})
        assert data_state(tmp_path / "images") == {"folder": str(tmp_path / "images")}


class TestGit:
    @staticmethod
    def state(package) -> Any:
        return git_state(package)

    @pytest.fixture
    def package(self, tmp_path):
        folder = tmp_path / "tree" / "package"
        folder.mkdir(parents=True)
        (folder / "__init__.py").write_text("")

        def git(*args):
            identity = ("-c", "user.name=n", "-c", "user.email=e")
            subprocess.run(["git", "-C", tmp_path / "tree", *identity, *args], check=True, capture_output=True)

        git("init")
        git("add", "package/__init__.py")
        git("commit", "-m", "first")
        return folder

    def test_commit_and_changes_are_recorded(self, package):
        state = self.state(package)
        assert (len(state["commit"]), state["dirty"]) == (40, False)
        (package.parent / "untracked").write_text("")
        assert not self.state(package)["dirty"]
        (package / "__init__.py").write_text("changed = True\n")
        assert git_state(package) == {**state, "dirty": True}

    def test_package_installed_in_other_repository_has_no_commit(self, package, tmp_path):
        installed = package / "site-packages" / "resmlp_mt"
        installed.mkdir(parents=True)
        (installed / "__init__.py").write_text("")
        assert git_state(installed) is None
        assert git_state(tmp_path) is None


def test_namespace_settings_are_converted():
    settings = {"model": Namespace(arch="fconv", layers=[(64, 3)], other=object), "common": {"seed": 1}}
    plain = plain_settings(settings)
    assert plain["model"]["layers"] == [[64, 3]]
    json.dumps(plain)
    assert differences({"a": {"b": 1}}, {"a": {"b": 1, "c": 2}}) == {"a.c": [None, 2]}
