"""Patches of fairseq in processes of their own: how they end, and what a kill leaves behind."""

import os
import signal
import subprocess
import sys

import pytest
from fairseq_commands import ROOT, USER_DIR, environment, final_threads, record_final_threads


@pytest.mark.parametrize("patched", [True, False])
def test_no_process_group_thread_is_left_at_exit(patched, tmp_path, monkeypatch):
    program = """
import inspect, sys
import fairseq_cli.train
import torch
from fairseq.dataclass.configs import FairseqConfig
from fairseq.distributed import utils

def train(cfg):
    import torch.distributed.nn.functional  # like torch's optimizers; the group is a default argument of its functions
    tensor = torch.ones(1)
    torch.distributed.all_reduce(tensor, group=utils.get_global_group())

cfg = FairseqConfig()
cfg.common.cpu = True
group = cfg.distributed_training
group.distributed_init_method, group.distributed_rank = f"file://{sys.argv[1]}/meeting", 0
group.distributed_world_size, group.distributed_no_spawn, group.distributed_backend = 1, True, "gloo"
if sys.argv[2] == "True":
    from resmlp_mt.fairseq_plugin.patches.running import destroy_process_groups_before_exit
    destroy_process_groups_before_exit()
utils.call_main(cfg, train)
"""
    record_final_threads(monkeypatch, tmp_path / "site")
    args = [sys.executable, "-c", program, tmp_path, str(patched)]
    result = subprocess.run(args, capture_output=True, text=True, timeout=300, cwd=ROOT, env=environment())
    assert result.returncode in ((0,) if patched else (0, -signal.SIGABRT)), result.stderr
    (threads,) = final_threads(tmp_path / "site")
    assert ("gloo" in threads) is not patched


@pytest.mark.parametrize("patched", [True, False])
def test_clean_exit_while_batches_are_prefetched(patched):
    program = """
import sys
import torch
from fairseq.data.iterators import BufferedIterator

class Batches:
    def __len__(self):
        return 10**6

    def __iter__(self):
        large = torch.zeros(1000, 1000)
        while True:  # almost always inside PyTorch
            yield large.clone().add_(1).sum()

for size in (10**6, 2):  # a busy loader, and one that waits for space in its queue
    next(BufferedIterator(size, Batches()))
if sys.argv[1] == "True":
    from resmlp_mt.fairseq_plugin.patches import apply_patches
    apply_patches()
"""
    args = [sys.executable, "-c", program, str(patched)]
    result = subprocess.run(args, capture_output=True, text=True, timeout=120, cwd=ROOT, env=environment())
    assert result.returncode == (0 if patched else -signal.SIGABRT), result.stderr


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
def test_killed_write_keeps_old_checkpoint(how, tmp_path):
    checkpoint = tmp_path / "checkpoint_last.pt"
    checkpoint.write_bytes(b"an old checkpoint")
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED, how, checkpoint], stdout=subprocess.PIPE, cwd=ROOT, env=environment()
    )
    assert process.stdout.readline() == b"writing\n"
    process.kill()
    assert process.wait() == -signal.SIGKILL
    assert checkpoint.with_name("checkpoint_last.pt.partial").exists()
    assert checkpoint.read_bytes() == b"an old checkpoint"


WORKER = """
import sys
from argparse import Namespace
from fairseq import utils
from fairseq.data import data_utils

for user_dir in sys.argv[1:]:
    utils.import_user_module(Namespace(user_dir=user_dir))
batches = data_utils.batch_by_size(range(13), lambda i: 1, max_sentences=8, required_batch_size_multiple=8)
print("sentences:", sum(map(len, batches)))
print("modules:", *sorted({name.split(".")[0] for name in sys.modules}))
"""


@pytest.fixture(scope="module")
def worker(tmp_path_factory):
    """Output of a new process that imports the user dir like fairseq's spawned workers, under several spellings."""
    args = [f"{USER_DIR}/", str(USER_DIR), os.path.relpath(USER_DIR, tmp_path_factory.getbasetemp())]
    result = subprocess.run(
        [sys.executable, "-c", WORKER, *args],
        capture_output=True,
        text=True,
        cwd=tmp_path_factory.getbasetemp(),
        env=environment(),
        timeout=120,
    )
    assert result.returncode == 0, result.stderr
    return dict(line.split(": ") for line in result.stdout.splitlines())


def test_importing_user_dir_patches_workers(worker):
    assert worker["sentences"] == "13"


def test_no_neighbor_shadows_a_module_of_fairseq(worker):
    # --user-dir puts the package's parent first on the path, before the installed packages (fairseq #4875)
    neighbors = {path.stem for path in ROOT.iterdir() if path.is_dir() or path.suffix == ".py"} - {"resmlp_mt"}
    assert not neighbors & set(worker["modules"].split())
