"""Checkpoint files appear whole or not at all, whatever happens while they are written."""

import errno
import inspect
import os
import signal
import subprocess
import sys
from types import SimpleNamespace

import pytest
import torch
from fairseq import checkpoint_utils
from fairseq.file_io import PathManager
from fairseq.optim.amp_optimizer import AMPOptimizer
from fairseq_commands import ROOT, environment

from resmlp_mt.common.errors import ResMLPError
from resmlp_mt.common.safe_checkpoint import read_checkpoint
from resmlp_mt.fairseq_plugin.patches import saving as repairs

pytestmark = pytest.mark.usefixtures("fairseq_plugin")

OLD, NEW = {"model": torch.zeros(31, 37)}, {"model": torch.ones(31, 37)}


@pytest.fixture
def checkpoint(tmp_path):
    path = tmp_path / "checkpoint_last.pt"
    checkpoint_utils.torch_persistent_save(OLD, str(path))
    return path


def holds(path, state):
    return torch.equal(read_checkpoint(path)["model"], state["model"])


def fails(number, times=99):
    """A function that fails as the operating system does, the first times it is called."""
    left = iter(range(times))

    def fail(original, *args, **kwargs):
        if next(left, None) is not None:
            raise OSError(number, os.strerror(number))
        return original(*args, **kwargs)

    return fail


def patch(monkeypatch, owner, name, function):
    original = getattr(owner, name)
    monkeypatch.setattr(owner, name, lambda *args, **kwargs: function(original, *args, **kwargs))


class TestSaving:
    def test_a_checkpoint_takes_the_place_of_the_old_one(self, checkpoint):
        checkpoint_utils.torch_persistent_save(NEW, str(checkpoint))
        assert holds(checkpoint, NEW)
        assert list(checkpoint.parent.iterdir()) == [checkpoint]

    @pytest.mark.parametrize("how", ["save", "copy"])
    def test_who_reads_the_old_one_reads_on(self, how, checkpoint):
        source = checkpoint.with_name("checkpoint1.pt")
        torch.save(NEW, source)
        with checkpoint.open("rb") as old:  # the new one is another file, which got the name
            if how == "save":
                checkpoint_utils.torch_persistent_save(NEW, str(checkpoint))
            else:
                PathManager.copy(str(source), str(checkpoint), overwrite=True)
            assert torch.equal(torch.load(old)["model"], OLD["model"])

    def test_a_full_disk_is_said_in_one_line_and_the_old_checkpoint_stays(self, checkpoint):
        full = checkpoint.with_name("checkpoint_last.pt.partial")
        full.symlink_to("/dev/full")  # every write fails as on a full disk
        with pytest.raises(ResMLPError, match="No space left on device.; free some space and run the same command"):
            checkpoint_utils.torch_persistent_save(NEW, str(checkpoint))
        assert holds(checkpoint, OLD)
        assert list(checkpoint.parent.iterdir()) == [checkpoint]

    def test_a_disk_that_is_full_when_the_file_is_made_safe_counts_too(self, checkpoint, monkeypatch):
        patch(monkeypatch, os, "fsync", fails(errno.EDQUOT))  # network file systems say it only then
        with pytest.raises(ResMLPError, match="free some space"):
            checkpoint_utils.torch_persistent_save(NEW, str(checkpoint))
        assert holds(checkpoint, OLD)

    def test_a_disk_that_fails_once_is_tried_again_from_the_beginning(self, checkpoint, monkeypatch):
        monkeypatch.setattr(repairs, "_PAUSE_SECONDS", 0)
        patch(monkeypatch, os, "fsync", fails(errno.EIO, times=2))
        checkpoint_utils.torch_persistent_save(NEW, str(checkpoint))
        assert holds(checkpoint, NEW)

    def test_other_errors_stay_what_they_are(self, checkpoint):
        with pytest.raises(AttributeError):
            checkpoint_utils.torch_persistent_save({"model": lambda: None}, str(checkpoint))
        assert holds(checkpoint, OLD)


class TestCopying:
    """fairseq writes one file and copies it over checkpoint_best.pt and checkpoint_last.pt."""

    def test_a_copy_takes_the_place_of_the_old_one(self, checkpoint):
        source = checkpoint.with_name("checkpoint1.pt")
        torch.save(NEW, source)
        assert PathManager.copy(str(source), str(checkpoint), overwrite=True)
        assert holds(checkpoint, NEW)

    def test_a_full_disk_leaves_the_old_one(self, checkpoint):
        source = checkpoint.with_name("checkpoint1.pt")
        torch.save(NEW, source)
        checkpoint.with_name("checkpoint_last.pt.partial").symlink_to("/dev/full")
        with pytest.raises(ResMLPError, match="No space left on device"):
            PathManager.copy(str(source), str(checkpoint), overwrite=True)
        assert holds(checkpoint, OLD)

    def test_unrepaired_the_old_one_is_lost(self, checkpoint, monkeypatch):
        source = checkpoint.with_name("checkpoint1.pt")
        torch.save(NEW, source)
        patch(monkeypatch, os, "sendfile", fails(errno.ENOSPC))
        with pytest.raises(OSError, match="No space"):
            inspect.unwrap(PathManager.copy)(str(source), str(checkpoint), overwrite=True)
        assert checkpoint.stat().st_size < source.stat().st_size


KILLED = """
import os, signal, sys, torch
from fairseq import checkpoint_utils
from fairseq.file_io import PathManager
from resmlp_mt.fairseq_plugin.patches import apply_patches

apply_patches()
how, path = sys.argv[1:]

def write_half(write):
    def half(self_or_source, target_or_data, *rest):
        end = len(open(path, "rb").read()) // 2
        with open(path + ".partial", "wb") as file:
            file.write(b"x" * end)
        print("writing", flush=True)
        signal.pause()
    return half

import shutil
shutil.copyfile = torch.save = write_half(None)
if how == "save":
    checkpoint_utils.torch_persistent_save({}, path)
else:
    PathManager.copy(path, path, overwrite=True)
"""


@pytest.mark.parametrize("how", ["save", "copy"])
def test_a_process_killed_while_it_writes_leaves_the_old_checkpoint(how, checkpoint):
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED, how, checkpoint], stdout=subprocess.PIPE, cwd=ROOT, env=environment()
    )
    assert process.stdout.readline() == b"writing\n"
    process.kill()
    assert process.wait() == -signal.SIGKILL
    assert checkpoint.with_name("checkpoint_last.pt.partial").exists()
    assert holds(checkpoint, OLD)


class TestAmpWithoutAGpu:
    """torch's loss scaler is turned off there, and so never reaches the least scale, at which fairseq ends."""

    @staticmethod
    def clip(function, gradient):
        scaler = torch.amp.GradScaler("cuda", enabled=False)
        inner = SimpleNamespace(clip_grad_norm=lambda *_: torch.tensor(gradient), optimizer=None)
        optimizer = SimpleNamespace(
            scaler=scaler, fp32_optimizer=inner, optimizer=None, next_loss_scale=1.0, min_loss_scale=1e-4
        )
        return function(optimizer, 0.0)

    def test_a_gradient_that_is_not_finite_ends_the_training(self):
        with pytest.raises(FloatingPointError):
            self.clip(AMPOptimizer.clip_grad_norm, float("nan"))
        assert self.clip(AMPOptimizer.clip_grad_norm, 1.5) == 1.5

    def test_unrepaired_it_does_not(self):
        assert self.clip(inspect.unwrap(AMPOptimizer.clip_grad_norm), float("nan")).isnan()
