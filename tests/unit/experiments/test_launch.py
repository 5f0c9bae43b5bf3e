"""Launching a training: precision, batch and command for the hardware."""

import itertools
import os
import signal

import pytest

from resmlp_mt.common.errors import ResMLPError
from resmlp_mt.experiments.launch.job import launcher
from resmlp_mt.experiments.launch.machines import Machines, find_machines, precision, share_batch
from resmlp_mt.experiments.launch.training import Training, shown

BATCHES = (1024, 2048, 32768)


@pytest.mark.parametrize(
    ("capabilities", "args"),
    [
        ([], []),
        ([(7, 0)], ["--fp16"]),  # V100
        ([(7, 5)], ["--fp16"]),  # T4
        ([(8, 0)], ["--bf16"]),  # A100
        ([(9, 0)] * 8, ["--bf16"]),  # H100
        ([(9, 0), (7, 5)], ["--fp16"]),  # the slowest decides
    ],
)
def test_precision_suits_every_gpu(capabilities, args):
    assert precision(capabilities) == args


@pytest.mark.parametrize(
    ("batch", "tokens", "processes"), itertools.product(BATCHES, (1000, 4096), (1, 2, 3, 6, 8, 64))
)
def test_batch_shares_fit_and_sum_to_batch(batch, tokens, processes):
    share, update_freq = share_batch(batch, tokens, processes)
    assert 1 <= share <= tokens
    assert update_freq >= 1
    assert 0 <= batch - share * update_freq * processes < update_freq * processes
    assert update_freq == 1 or batch > tokens * processes * (
        update_freq - 1
    )  # no more accumulation than memory requires


def test_accumulation_of_one_and_eight_gpus():
    assert share_batch(32768, 4096, 8) == (4096, 1)
    assert share_batch(32768, 4096, 1) == (4096, 8)


def test_batch_smaller_than_processes_is_refused():
    with pytest.raises(ResMLPError, match="a batch of 7 tokens is too small for 8 processes"):
        share_batch(7, 4096, 8)


def test_single_process_uses_launcher_only_under_slurm():
    # In a Slurm job fairseq takes a single process for one of several that were started together.
    assert launcher(Machines()) == launcher(Machines(capabilities=((8, 0),))) == ["fairseq-train"]
    assert launcher(Machines(is_slurm_job=True))[:2] == ["torchrun", "--standalone"]


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"NODES": "two"}, "NODES must be a whole number, not 'two'"),
        ({"NODES": "2", "NODE_RANK": "2", "HEAD": "a:29500"}, "NODE_RANK must be between 0 and 1 with NODES=2, not 2"),
        ({"NODES": "2"}, "HEAD must be the rendezvous endpoint HOST:PORT"),
        ({"NODES": "2", "HEAD": "first:http"}, "HEAD must be the rendezvous endpoint HOST:PORT"),
    ],
)
def test_inconsistent_variables_are_named(variables, message):
    with pytest.raises(ResMLPError, match=message):
        find_machines(variables)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (
            "2026-01-01 | INFO | train_inner | epoch 002:     50 / 255 loss=5, nll_loss=4, ppl=30.6, wps=2100.7, ups=1",
            "  epoch 002:     50 / 255  ppl=30.6  wps=2100.7",
        ),
        (
            "2026-01-01 | INFO | valid | epoch 001 | valid on 'valid' subset | ppl 98.5 | bleu 3.15 | wps 9 | ",
            "  epoch 001: validation ppl 98.5, bleu 3.15",
        ),
        ("fairseq-train: error: no", "fairseq-train: error: no"),
        ("RuntimeError: no", "RuntimeError: no"),
        ("2026-01-01 | INFO | fairseq_cli.train | {'_name': None}", None),
    ],
)
def test_terminal_shows_progress_and_errors(line, expected):
    assert shown(line) == expected


@pytest.mark.parametrize(("variables", "output"), [({}, "10000,none"), ({"OMP_WAIT_POLICY": "active"}, "none,active")])
def test_spin_count_of_training(variables, output, tmp_path, monkeypatch):
    monkeypatch.setattr(signal, "signal", lambda _number, _handler: None)
    monkeypatch.setattr(os, "environ", {"PATH": os.environ["PATH"], **variables})
    program = "echo ${GOMP_SPINCOUNT:-none},${OMP_WAIT_POLICY:-none},${OMP_NUM_THREADS:-none}"
    assert Training(["sh", "-c", program], tmp_path / "train.log").wait() == 0
    assert (tmp_path / "train.log").read_text() == f"{output},none\n"
