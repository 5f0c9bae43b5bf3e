"""Checkpoints are written atomically: a file is complete or absent, whatever fails during the write."""

import errno
import inspect
import os
from types import SimpleNamespace

import pytest
import torch
from fairseq import checkpoint_utils, utils
from fairseq.file_io import PathManager
from fairseq.optim.amp_optimizer import AMPOptimizer

from resmlp_mt.common.errors import ResMLPError
from resmlp_mt.common.safe_checkpoint import read_checkpoint
from resmlp_mt.fairseq_plugin.patches import saving

pytestmark = pytest.mark.usefixtures("fairseq_plugin")

OLD, NEW = {"model": torch.zeros(31, 37)}, {"model": torch.ones(31, 37)}


@pytest.fixture
def checkpoint(tmp_path):
    path = tmp_path / "checkpoint_last.pt"
    checkpoint_utils.torch_persistent_save(OLD, str(path))
    return path


def holds(path, state):
    return torch.equal(read_checkpoint(path)["model"], state["model"])


def failing(number, times=99):
    """Returns a wrapper that raises an OSError in its first calls, and then calls the original."""
    left = iter(range(times))

    def fail(original, *args, **kwargs):
        if next(left, None) is not None:
            raise OSError(number, os.strerror(number))
        return original(*args, **kwargs)

    return fail


def patch(monkeypatch, owner, name, function):
    original = getattr(owner, name)
    monkeypatch.setattr(owner, name, lambda *args, **kwargs: function(original, *args, **kwargs))


@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16, torch.float16])
def test_shared_parameter_is_written_once(kind, tmp_path):
    table = torch.rand(100, 8).to(kind)
    model = {"in": table, "out": table, "part": table[1:], "flat": table.view(-1), "step": torch.tensor(3)}
    moved = utils.move_to_cpu({"model": model, "history": []})["model"]
    assert moved["in"] is moved["out"]
    for name, value in model.items():
        assert torch.equal(moved[name], value.float() if value.is_floating_point() else value)
    torch.save({"in": moved["in"], "out": moved["out"]}, tmp_path / "model.pt")
    assert (tmp_path / "model.pt").stat().st_size < 2 * 100 * 8 * 4


class TestSaving:
    def test_new_checkpoint_replaces_old_one(self, checkpoint):
        checkpoint_utils.torch_persistent_save(NEW, str(checkpoint))
        assert holds(checkpoint, NEW)
        assert list(checkpoint.parent.iterdir()) == [checkpoint]

    @pytest.mark.parametrize("how", ["save", "copy"])
    def test_open_old_checkpoint_stays_readable(self, how, checkpoint):
        source = checkpoint.with_name("checkpoint1.pt")
        torch.save(NEW, source)
        with checkpoint.open("rb") as old:  # the new checkpoint is another file with the same name
            if how == "save":
                checkpoint_utils.torch_persistent_save(NEW, str(checkpoint))
            else:
                PathManager.copy(str(source), str(checkpoint), overwrite=True)
            assert torch.equal(torch.load(old)["model"], OLD["model"])

    def test_full_disk_keeps_old_checkpoint(self, checkpoint):
        full = checkpoint.with_name("checkpoint_last.pt.partial")
        full.symlink_to("/dev/full")  # every write fails as on a full disk
        with pytest.raises(ResMLPError, match="No space left on device.; free some space and run the same command"):
            checkpoint_utils.torch_persistent_save(NEW, str(checkpoint))
        assert holds(checkpoint, OLD)
        assert list(checkpoint.parent.iterdir()) == [checkpoint]

    def test_full_disk_at_fsync_keeps_old_checkpoint(self, checkpoint, monkeypatch):
        patch(monkeypatch, os, "fsync", failing(errno.EDQUOT))  # network file systems report it only here
        with pytest.raises(ResMLPError, match="free some space"):
            checkpoint_utils.torch_persistent_save(NEW, str(checkpoint))
        assert holds(checkpoint, OLD)

    def test_failed_write_is_retried(self, checkpoint, monkeypatch):
        monkeypatch.setattr(saving, "_PAUSE_SECONDS", 0)
        patch(monkeypatch, os, "fsync", failing(errno.EIO, times=2))
        checkpoint_utils.torch_persistent_save(NEW, str(checkpoint))
        assert holds(checkpoint, NEW)

    def test_other_errors_are_unchanged(self, checkpoint):
        with pytest.raises(AttributeError):
            checkpoint_utils.torch_persistent_save({"model": lambda: None}, str(checkpoint))
        assert holds(checkpoint, OLD)


class TestCopying:
    """fairseq writes one file and copies it over checkpoint_best.pt and checkpoint_last.pt."""

    def test_copy_replaces_old_file(self, checkpoint):
        source = checkpoint.with_name("checkpoint1.pt")
        torch.save(NEW, source)
        assert PathManager.copy(str(source), str(checkpoint), overwrite=True)
        assert holds(checkpoint, NEW)

    def test_full_disk_keeps_old_file(self, checkpoint):
        source = checkpoint.with_name("checkpoint1.pt")
        torch.save(NEW, source)
        checkpoint.with_name("checkpoint_last.pt.partial").symlink_to("/dev/full")
        with pytest.raises(ResMLPError, match="No space left on device"):
            PathManager.copy(str(source), str(checkpoint), overwrite=True)
        assert holds(checkpoint, OLD)

    def test_unpatched_loses_old_file(self, checkpoint, monkeypatch):
        source = checkpoint.with_name("checkpoint1.pt")
        torch.save(NEW, source)
        patch(monkeypatch, os, "sendfile", failing(errno.ENOSPC))
        with pytest.raises(OSError, match="No space"):
            inspect.unwrap(PathManager.copy)(str(source), str(checkpoint), overwrite=True)
        assert checkpoint.stat().st_size < source.stat().st_size


class TestAmpWithoutGpu:
    """Without a GPU torch's loss scaler is disabled, so it never reaches the minimum scale at which fairseq ends."""

    @staticmethod
    def clip(function, gradient):
        scaler = torch.amp.GradScaler("cuda", enabled=False)
        inner = SimpleNamespace(clip_grad_norm=lambda *_: torch.tensor(gradient), optimizer=None)
        optimizer = SimpleNamespace(
            scaler=scaler, fp32_optimizer=inner, optimizer=None, next_loss_scale=1.0, min_loss_scale=1e-4
        )
        return function(optimizer, 0.0)

    def test_nonfinite_gradient_ends_training(self):
        with pytest.raises(FloatingPointError):
            self.clip(AMPOptimizer.clip_grad_norm, float("nan"))
        assert self.clip(AMPOptimizer.clip_grad_norm, 1.5) == 1.5

    def test_unpatched_ignores_nonfinite_gradient(self):
        assert self.clip(inspect.unwrap(AMPOptimizer.clip_grad_norm), float("nan")).isnan()
