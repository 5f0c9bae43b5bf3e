"""State for restarts that checkpoints hold in addition to fairseq's own, and validation samples."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from fairseq import checkpoint_utils
from fairseq.dataclass.configs import FairseqConfig
from fairseq_cli import train as training_loop
from omegaconf import OmegaConf

from resmlp_mt.fairseq_plugin import hooks
from resmlp_mt.fairseq_plugin.patches.saving import NO_EPOCH, stop_finished_training
from resmlp_mt.fairseq_plugin.run import Run
from resmlp_mt.fairseq_plugin.translation_task import SAMPLES, ResMLPTranslationTask
from resmlp_mt.training.provenance import read_run

pytestmark = pytest.mark.usefixtures("fairseq_plugin")


@pytest.fixture
def trainer(tmp_path):
    """A stand-in for fairseq's trainer after 11 updates."""
    cfg = OmegaConf.structured(FairseqConfig)
    cfg.checkpoint.save_dir, cfg.checkpoint.patience = str(tmp_path), 3
    cfg.task = {"data": str(tmp_path)}
    return SimpleNamespace(
        cfg=cfg,
        data_parallel_world_size=1,
        get_num_updates=lambda: 11,
        get_model=lambda: torch.nn.Linear(5, 3),
        cumulative_training_time=lambda: 7.5,
        task=SimpleNamespace(),
    )


@pytest.fixture
def early_stopping(monkeypatch):
    """fairseq's early stopping with the state of a new process."""
    function = training_loop.should_stop_early
    for name in ("best", "num_runs"):
        monkeypatch.setattr(function, name, None, raising=False)
        monkeypatch.delattr(function, name)
    return function


def test_counts_continue_after_restart(trainer):
    first = Run(trainer)
    first.loaded({"resmlp_run": {"tokens": 101, "sentences": 13}})
    first.updated([{"ntokens": 7, "nsentences": 2}, {"ntokens": torch.tensor(5.0), "nsentences": torch.tensor(3.0)}])
    assert first.state() == {"resmlp_run": {"tokens": 113, "sentences": 18}}


def test_counts_are_unknown_without_saved_state(trainer):
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
    assert training_loop.should_stop_early(cfg, 2.6)  # the third validation without progress


@pytest.mark.usefixtures("early_stopping")
def test_training_out_of_patience_does_not_resume(trainer, tmp_path):
    Run(trainer).loaded({"resmlp_run": {"patience": {"best": 2.5, "num_runs": 3}}})
    assert trainer.cfg.optimization.max_epoch == NO_EPOCH
    assert not (tmp_path / "run.json").exists()


ENDS: dict[str, dict[str, float]] = {
    "--max-update 11": {"optimization.max_update": 11},
    "--stop-time-hours 0.002": {"optimization.stop_time_hours": 0.002},  # 7.2 seconds
    "--patience 3": {},
    "--max-epoch 2": {"optimization.max_epoch": 2},
    "--stop-min-lr 0.01": {"optimization.stop_min_lr": 0.01},
}


@pytest.fixture
def run_of_two_epochs(trainer, monkeypatch, tmp_path):
    """Returns a function that runs two epochs of fairseq's loop and returns the ends recorded in run.json."""

    def run(ends_after_an_update):
        run = Run(trainer)
        run.loaded(None)
        monkeypatch.setattr(hooks, "_run", run)
        epochs = SimpleNamespace(next_epoch_idx=1)

        def train(cfg, trainer, task, epoch_itr):
            ends = ends_after_an_update and epoch_itr.next_epoch_idx == 2
            result = hooks.save_and_stop_when_asked(
                lambda *_args: ([None], ends), cfg, trainer, task, epoch_itr, ["valid"], True
            )
            epoch_itr.next_epoch_idx += 1
            return result

        for epoch in (1, 2):
            _, ends = hooks.end_when_asked(train, trainer.cfg, trainer, None, epochs)
            if not ends:
                hooks.detect_lowest_learning_rate(lambda _trainer, epoch, _loss: 0.02 / epoch, trainer, epoch, None)
        return read_run(tmp_path / "run.json")["ends"]

    return run


@pytest.mark.parametrize("option", ENDS)
def test_end_is_recorded_with_its_reason(option, trainer, run_of_two_epochs):
    for name, value in ENDS[option].items():
        OmegaConf.update(trainer.cfg, name, value)
    after_an_update = option.split()[0] in ("--max-update", "--stop-time-hours", "--patience")
    (end,) = run_of_two_epochs(after_an_update)
    assert (end["how"], end["update"]) == (f"finished: {option}", 11)


def test_unfinished_training_records_no_end(trainer, run_of_two_epochs):
    trainer.cfg.optimization.max_epoch, trainer.cfg.optimization.stop_min_lr = 3, 0.001
    assert run_of_two_epochs(False) == []


def test_finished_training_is_not_resumed_or_recorded(trainer, monkeypatch, tmp_path):
    trainer.cfg.optimization.max_epoch = 2
    result: tuple[dict[str, Any], SimpleNamespace] = ({"resmlp_run": {}}, SimpleNamespace(next_epoch_idx=3))
    monkeypatch.setattr(checkpoint_utils, "load_checkpoint", lambda _cfg, _trainer: result)
    stop_finished_training()
    assert checkpoint_utils.load_checkpoint(trainer.cfg.checkpoint, trainer) is result
    assert trainer.cfg.optimization.max_epoch == NO_EPOCH
    Run(trainer).loaded(result[0])
    assert not (tmp_path / "run.json").exists()


def test_validation_samples_are_evenly_spaced():
    task = ResMLPTranslationTask.__new__(ResMLPTranslationTask)
    cases: list[tuple[int, list[Any]]] = [(0, []), (3, [0, 1, 2]), (11, [0, 2, 4, 6, 8])]
    for count, expected in cases:
        task._samples = list(range(count))
        assert task.take_samples() == expected
        assert len(expected) <= SAMPLES
        assert task.take_samples() == []


@pytest.mark.parametrize(("ignores_case", "bleu"), [(True, 100.0), (False, 0.0)])
def test_validation_bleu_of_lower_cased_data_ignores_case(ignores_case, bleu, monkeypatch):
    task = ResMLPTranslationTask.__new__(ResMLPTranslationTask)
    task.cfg = SimpleNamespace(target_lang="de", eval_bleu_print_samples=False)
    task._ignores_case, task._samples = ignores_case, []
    monkeypatch.setattr(task, "_keep_sample", lambda *_args: None)
    monkeypatch.setattr(
        task, "_tokenizer", SimpleNamespace(decode=lambda _tokens: "der alte mann liest"), raising=False
    )
    monkeypatch.setattr(task, "inference_step", lambda *_args: [[{"tokens": torch.tensor([4])}]])
    score = task._inference_with_bleu(None, {"references": ["Der Alte Mann LIEST"]}, None)
    assert score.score == pytest.approx(bleu)
