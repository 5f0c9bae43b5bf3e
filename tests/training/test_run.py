"""What a checkpoint holds for a restart beside fairseq's own, and the sentences that a validation keeps."""

from types import SimpleNamespace

import pytest
import torch
from fairseq.dataclass.configs import FairseqConfig
from fairseq_cli import train as training_loop
from omegaconf import OmegaConf

import resmlp_mt
from resmlp_mt.fairseq_compat.saving import NO_EPOCH

resmlp_mt.register_with_fairseq()

from resmlp_mt.training.run import Run  # noqa: E402
from resmlp_mt.translation.task import SAMPLES, ResMLPTranslationTask  # noqa: E402


@pytest.fixture
def trainer(tmp_path):
    """What a run asks of fairseq's trainer, which has made 11 updates."""
    cfg = OmegaConf.structured(FairseqConfig)
    cfg.checkpoint.save_dir, cfg.checkpoint.patience = str(tmp_path), 3
    cfg.task = {"data": str(tmp_path)}
    return SimpleNamespace(
        cfg=cfg,
        data_parallel_world_size=1,
        get_num_updates=lambda: 11,
        get_model=lambda: torch.nn.Linear(5, 3),
        cumulative_training_time=lambda: 7.5,
    )


@pytest.fixture
def early_stopping(monkeypatch):
    """fairseq's count of validations without progress, as a new process has it."""
    function = training_loop.should_stop_early
    for name in ("best", "num_runs"):
        monkeypatch.setattr(function, name, None, raising=False)
        monkeypatch.delattr(function, name)
    return function


def test_counts_go_on_in_the_next_process(trainer):
    first = Run(trainer)
    first.loaded({"resmlp_run": {"tokens": 101, "sentences": 13}})
    first.updated([{"ntokens": 7, "nsentences": 2}, {"ntokens": torch.tensor(5.0), "nsentences": torch.tensor(3.0)}])
    assert first.state() == {"resmlp_run": {"tokens": 113, "sentences": 18}}


def test_what_a_checkpoint_of_others_does_not_say_is_not_made_up(trainer):
    run = Run(trainer)
    run.loaded({"train_iterator": {}})
    run.updated([{"ntokens": 7, "nsentences": 2}])
    assert run.state() == {"resmlp_run": {"tokens": None, "sentences": None}}


def test_patience_is_counted_across_restarts(trainer, early_stopping):
    early_stopping.best, early_stopping.num_runs = 2.5, 2
    state = Run(trainer).state()
    del early_stopping.best, early_stopping.num_runs
    Run(trainer).loaded(state)
    assert (early_stopping.best, early_stopping.num_runs) == (2.5, 2)
    assert trainer.cfg.optimization.max_epoch == 0
    cfg = OmegaConf.create({"checkpoint": {"patience": 3, "maximize_best_checkpoint_metric": False}})
    assert training_loop.should_stop_early(cfg, 2.6)  # the third without progress


def test_a_training_that_lost_its_patience_rests(trainer, early_stopping, tmp_path):
    Run(trainer).loaded({"resmlp_run": {"patience": {"best": 2.5, "num_runs": 3}}})
    assert trainer.cfg.optimization.max_epoch == NO_EPOCH
    assert not (tmp_path / "run.json").exists()


def test_a_validation_keeps_a_few_sentences_of_all_lengths():
    task = ResMLPTranslationTask.__new__(ResMLPTranslationTask)
    for count, expected in ((0, []), (3, [0, 1, 2]), (11, [0, 2, 4, 6, 8])):
        task._samples = list(range(count))
        assert task.take_samples() == expected
        assert len(expected) <= SAMPLES
        assert task.take_samples() == []
