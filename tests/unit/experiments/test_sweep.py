"""Sweep: settings that it tries, finalists that it trains again, and its report."""

import argparse
import json

import pytest
from fairseq import options
from fairseq_commands import ROOT
from toy_bundles import data_folder

from resmlp_mt.common.errors import ResMLPError
from resmlp_mt.experiments import sweep
from resmlp_mt.experiments.processes import CommandError

AXES = {
    "lr": {"1": {"lr": 1}, "2": {"lr": 2}},
    "norm": {"affine": {"norm": "affine"}, "layernorm": {"norm": "layernorm"}},
}


def test_sweep_changes_one_axis_at_a_time_or_takes_grid():
    single, grid = sweep.settings_of(AXES, False), sweep.settings_of(AXES, True)
    assert [list(s.values()) for s in single] == [["1", "affine"], ["2", "affine"], ["1", "layernorm"]]
    assert len(grid) == 4
    assert [sweep.describe(s, single[0]) for s in single] == ["starting point", "lr 2", "norm layernorm"]
    args = sweep.contestant_of("resmlp", "tiny", AXES, single[2], "x").options
    assert args[-4:] == ("--lr", "1", "--norm", "layernorm")


@pytest.mark.parametrize("name", ["sweep_multi30k", "sweep_multi30k_combined"])
def test_settings_files_of_multi30k_are_valid(name):
    base, axes = sweep.read_axes(ROOT / "scripts" / "recipes" / f"{name}.yaml")
    for setting in sweep.settings_of(axes, grid=False):
        args = sweep.contestant_of(base, "multi30k", axes, setting, "x").options
        shared = ["data", "--criterion", "resmlp_label_smoothed_cross_entropy", "--task", "translation"]
        options.parse_args_and_arch(options.get_training_parser(), [*shared, *args])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("base: resmlp", "axes must be a mapping"),
        ("axes: {lr: 1}", "lr must be a list or a mapping"),
        ("axes: {lr: {fast: 1}}", "lr: fast must be options"),
        ("axes: {lr: [1]}\nseeds: [1]", "must be one of base, axes, not 'seeds'"),
    ],
)
def test_invalid_settings_file_is_refused(tmp_path, text, message):
    (tmp_path / "settings.yaml").write_text(text)
    with pytest.raises(ResMLPError, match=message):
        sweep.read_axes(tmp_path / "settings.yaml")


VALIDATION_BLEU = {"starting point": 10.0, "lr 2": 30.0, "lr 3": None, "lr 4": 20.0}


def fake_train(plan, contestant, seed, _commands, **_kwargs):
    if VALIDATION_BLEU[contestant.title] is None:
        raise CommandError("it fell over")
    return {"updates": int(plan.budget[1]), "validations": [{"perplexity": 100.0}, {"perplexity": 50.0 + seed}]}


def fake_translate(plan, contestant, seed, _commands):
    bleu = VALIDATION_BLEU[contestant.title] + seed + (100 if plan.split == "test" else 0)
    return {
        "scores": [
            {"metric": "BLEU", "score": bleu, "signature": "b"},
            {"metric": "chrF", "score": bleu / 2, "signature": "c"},
        ]
    }


def run_sweep(tmp_path, monkeypatch, **changes):
    monkeypatch.setattr(sweep, "train", fake_train)
    monkeypatch.setattr(sweep, "translate", fake_translate)
    (tmp_path / "settings.yaml").write_text("axes: {lr: [1, 2, 3, 4]}")
    numbers = {"updates": 5, "final_updates": 9, "finalists": 2, "seeds": [1, 2, 3], "max_tokens": 100, "jobs": 2}
    numbers |= {"update_freq": 1, "average": 1, "beam": 1, "lenpen": 1.0, "threads": 1, "resamples": 2, "cpu": True}
    paths = {"data": data_folder(), "work": tmp_path, "output": tmp_path / "sweep.json"}
    rest = {"settings": tmp_path / "settings.yaml", "grid": False, "pair": "src-tgt", "size": "tiny", "options": []}
    return sweep.sweep(argparse.Namespace(**{**numbers, **paths, **rest, **changes}))


def table_rows(text):
    return [line for line in text.splitlines() if line.startswith("| ") and "BLEU" not in line]


def test_finalists_are_trained_again_and_failures_named(tmp_path, monkeypatch, capsys):
    status = run_sweep(tmp_path, monkeypatch)
    captured = capsys.readouterr()
    assert status == 1
    assert "lr 3 failed and is left out: it fell over" in captured.err
    assert table_rows(captured.out) == [
        "| lr 2 | 51.00 | 31.00 | 15.50 |",
        "| lr 4 | 51.00 | 21.00 | 10.50 |",
        "| starting point | 51.00 | 11.00 | 5.50 |",
        "| lr 2 | 52.00 (s 1.00) | 32.00 (s 1.00) | 132.00 (s 1.00) | 66.00 (s 0.50) |",
        "| lr 4 | 52.00 (s 1.00) | 22.00 (s 1.00) | 122.00 (s 1.00) | 61.00 (s 0.50) |",
    ]
    report = json.loads((tmp_path / "sweep.json").read_text())
    assert [row["title"] for row in report["final"]] == ["lr 2", "lr 4"]
    assert (tmp_path / "sweep.md").read_text() == captured.out
    assert (tmp_path / "sweep.png").stat().st_size > 10_000


def test_sweep_without_finalists(tmp_path, monkeypatch, capsys):
    run_sweep(tmp_path, monkeypatch, finalists=0, final_updates=None)
    output = capsys.readouterr().out
    assert [row.split(" | ")[0] for row in table_rows(output)] == ["| lr 2", "| lr 4", "| starting point"]
    assert "inalist" not in output
    assert json.loads((tmp_path / "sweep.json").read_text())["final"] == []
    with pytest.raises(ResMLPError, match="--finalists must be at least 0"):
        run_sweep(tmp_path, monkeypatch, finalists=-1)
    with pytest.raises(ResMLPError, match="--final-updates must be at least 1"):
        run_sweep(tmp_path, monkeypatch, final_updates=0)
