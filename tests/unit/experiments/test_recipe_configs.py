"""Recipes as data: what `config/*.yaml` and `recipes.yaml` say, and what becomes of it."""

import argparse
import json

import pytest

from resmlp_mt.cli.main import main
from resmlp_mt.common.errors import ResMLPError
from resmlp_mt.experiments.launch.job import Job
from resmlp_mt.experiments.recipes.command import add_arguments, run, split_data
from resmlp_mt.experiments.recipes.recipe import CUSTOM, load_recipe, recipe_names, recipe_of_size
from resmlp_mt.experiments.recipes.training_config import (
    CONFIG_FOLDER,
    batch_of,
    config_names,
    parse_options,
    read_config,
    same_options,
    train_options,
)
from resmlp_mt.experiments.systems import SIZES, model_options, training_options


def test_every_recipe_has_a_config():
    assert set(recipe_names()) <= set(config_names())
    assert {"imagenet", "dino_digits", "vision_digits"} == set(config_names()) - set(recipe_names())


def test_values_keep_their_text_and_zero_and_one_are_no_switches():
    config = {
        "optimization.lr": ["1e-7"],
        "model.layer_scale": 1.0,
        "task.flip": 0.0,
        "common.cpu": "true",
        "a.b_c": True,
    }
    assert train_options(config) == ["--lr", "1e-7", "--layer-scale", "1.0", "--flip", "0.0", "--cpu", "--b-c"]


def test_missing_and_repeated_settings_are_left_out():
    config = {
        "task.data": "???",
        "optimization.lr": ["???"],
        "task.max_source_positions": "${model.max_source_positions}",
    }
    assert train_options(config) == []


def test_what_only_hydra_needs_is_left_out():
    options = train_options(read_config("wmt14_en_de"))
    assert "--weight-decay" not in options
    assert options.count("--lr") == 1


@pytest.mark.parametrize(
    ("name", "batch"), [("wmt14_en_de", 32768), ("mix", 16384), ("multi30k", 2048), ("demo", 1024)]
)
def test_batches(name, batch):
    assert batch_of(read_config(name)) == batch


@pytest.mark.parametrize("size", SIZES[:-1])
def test_the_table_of_systems_has_the_recipes_settings_of_resmlp(size):
    recipe = recipe_of_size(size)
    options = parse_options([*model_options("resmlp", size), *training_options("resmlp", size)])
    whole = parse_options(train_options(recipe.config))
    assert options.items() <= whole.items()
    assert ("--dropout" in options) == ("model.dropout" in recipe.config and not recipe.until_converged)


def test_an_unknown_recipe_is_refused_by_name():
    for read in (read_config, load_recipe):
        with pytest.raises(ResMLPError, match="there is no recipe 'wmt99'; choose one of "):
            read("wmt99")


def test_the_order_of_options_does_not_matter_but_the_last_value_does():
    assert same_options(["x", "--a", "1", "--b"], ["x", "--b", "--a", "2", "--a", "1"])
    assert not same_options(["--a", "1"], ["--a", "2"])
    assert not same_options(["x"], ["y"])


@pytest.mark.parametrize("key", ["options", "words"])  # "words" up to version 0.1.1
def test_a_finished_training_is_recognised(key, tmp_path):
    job = Job(tmp_path / "data", tmp_path, 32, 8, ["--lr", "1", "--seed", "2"])
    assert not job.is_finished()
    content = {"data": str(job.data), "batch": 32, key: ["--seed", "2", "--lr", "1"]}
    job.record.write_text(json.dumps(content))
    assert job.is_finished()
    job.record.write_text(json.dumps({**content, key: ["--lr", "2"]}))
    assert not job.is_finished()
    job.record.write_text("{")
    assert not job.is_finished()
    job.mark_finished()
    assert job.is_finished()


@pytest.mark.parametrize(
    ("rest", "data", "options"),
    [
        ([], None, []),
        (["D"], "D", []),
        (["D", "--lr", "1"], "D", ["--lr", "1"]),
        (["--lr", "1"], None, ["--lr", "1"]),
    ],
)
def test_data_comes_before_the_options_of_fairseq_train(rest, data, options):
    found, left = split_data(rest)
    assert (None if found is None else str(found), left) == (data, options)


def train(*args: object) -> int:
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    return run(*parser.parse_known_args(list(map(str, args))))


@pytest.fixture
def prepared(tmp_path, monkeypatch):
    folder = tmp_path / "mine"
    folder.mkdir()
    manifest = {
        "splits": {"train": {"pairs": 29_000, "tokens": {"en": 400_000, "fr": 400_000}}},
        "settings": {"src": "en", "tgt": "fr", "joint": True, "max_subwords": 100},
        "train_data": ["."],
    }
    (folder / "manifest.json").write_text(json.dumps(manifest))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("resmlp_mt.experiments.recipes.command.explain", lambda folder, chosen: ["picked"])
    return folder


def test_train_picks_for_a_prepared_folder_and_a_dry_run_does_nothing(prepared, tmp_path, capsys):
    assert train(prepared, "--dry-run", "--minutes", 30, "--for", "cpu", "--seed", 7) == 0
    said = capsys.readouterr().out
    assert said.startswith("== Picks\npicked\nends after 30 minutes of training")
    (command,) = [line.split() for line in said.splitlines() if line.startswith("fairseq-train")]
    options = parse_options(command)
    assert options["--save-dir"] == (str(tmp_path / "runs" / "own.mine"),)
    assert (options["--stop-time-hours"], options["--seed"]) == (("0.5",), ("7",))
    assert (options["--source-lang"], options["--target-lang"]) == (("en",), ("fr",))
    assert {path.name for path in tmp_path.iterdir()} == {"mine"}


def test_train_takes_a_recipe_s_settings_for_a_prepared_folder(prepared, tmp_path, capsys):
    assert train(prepared, "--recipe", "multi30k", "--dry-run", "--epochs", 3) == 0
    said = capsys.readouterr().out
    assert "data_prep" not in said
    options = parse_options(next(line.split() for line in said.splitlines() if line.startswith("fairseq-train")))
    assert options["--arch"] == ("resmlp_multi30k",)
    assert options["--max-epoch"] == ("3",)
    assert "--dropout" not in options  # the recipe's is for a training until convergence
    assert options["--target-lang"] == ("fr",)
    assert options["--save-dir"] == (str(tmp_path / "runs" / "multi30k.mine.resmlp"),)


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ((), "DATA must be a folder prepared by"),
        (("absent",), "absent has no manifest.json"),
        (("absent", "--recipe", "mix"), "absent has no manifest.json"),
        (("mine", "--minutes", "0"), "--minutes must be more than 0, not 0"),
        (("mine", "--layers", "12"), "require a --recipe with a corpus"),
        (("mine", "--recipe", "mix", "--data", "x"), "leave one of them out"),
        (("--recipe", "mix"), "--from-dir is required by the recipe mix"),
        (("--recipe", "demo", "--size", "tiny"), "the recipe demo trains one model"),
        (("--recipe", "iwslt14", "--pair", "de"), "--pair must be SRC-TGT"),
        (("--recipe", "iwslt14", "--stages", "test", "--dry-run"), "there is no stage 'test'"),
    ],
)
def test_bad_options_are_one_sentence(args, message, prepared):
    with pytest.raises(ResMLPError, match=message) as raised:
        train(*args)
    assert "\n" not in str(raised.value)


def test_custom_is_no_corpus():
    assert not load_recipe(CUSTOM).corpus


def test_prepare_is_data_prep_under_another_name(tmp_path, capsys):
    with pytest.raises(SystemExit) as ended:
        main(["prepare", "--help"])
    assert ended.value.code == 0
    assert capsys.readouterr().out.startswith("usage: resmlp-mt prepare ")
    assert main(["prepare", "files", "--pair", "ende", "--out", str(tmp_path / "out")]) == 2
    assert capsys.readouterr().err.startswith("data_prep: --pair must be SRC-TGT")


def test_only_train_takes_arguments_that_it_does_not_know(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["report", "run", "--unknown"])
    assert ended.value.code == 2
    assert "unrecognized arguments: --unknown" in capsys.readouterr().err


def test_an_installed_package_has_the_recipes():
    text = (CONFIG_FOLDER.parents[3] / "setup.py").read_text(encoding="utf-8")
    assert all(f'"{folder}/*.yaml"' in text for folder in ("experiments/recipes", "experiments/recipes/config"))
