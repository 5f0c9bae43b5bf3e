"""Recipes as data: `config/*.yaml`, `recipes.yaml`, and the commands made from them."""

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
from resmlp_mt.experiments.systems import SIZES, SYSTEMS, model_options, training_options


def test_every_recipe_has_a_config():
    assert set(recipe_names()) <= set(config_names())
    assert {"imagenet", "dino_digits", "vision_digits"} == set(config_names()) - set(recipe_names())


def test_values_keep_text_and_numbers_are_no_switches():
    config = {
        "optimization.lr": ["1e-7"],
        "model.layer_scale": 1.0,
        "task.flip": 0.0,
        "common.cpu": "true",
        "a.b_c": True,
    }
    assert train_options(config) == ["--lr", "1e-7", "--layer-scale", "1.0", "--flip", "0.0", "--cpu", "--b-c"]


def test_missing_and_interpolated_settings_are_left_out():
    config = {
        "task.data": "???",
        "optimization.lr": ["???"],
        "task.max_source_positions": "${model.max_source_positions}",
    }
    assert train_options(config) == []


def test_hydra_only_settings_are_left_out():
    options = train_options(read_config("wmt14_en_de"))
    assert "--weight-decay" not in options
    assert options.count("--lr") == 1


@pytest.mark.parametrize(
    ("name", "batch"), [("wmt14_en_de", 32768), ("mix", 16384), ("multi30k", 2048), ("demo", 1024)]
)
def test_batch_sizes(name, batch):
    assert batch_of(read_config(name)) == batch


@pytest.mark.parametrize("size", SIZES[:-1])
def test_system_table_matches_recipes(size):
    recipe = recipe_of_size(size)
    for until_converged, config in ((False, recipe.short_config), (True, recipe.config)):
        model = model_options("resmlp", size, until_converged=until_converged)
        options = parse_options([*model, *training_options("resmlp", size, until_converged)])
        assert options.items() <= parse_options(train_options(config)).items()
        assert ("--dropout" in options) == ("model.dropout" in config)


def test_multi30k_differs_with_epochs():
    recipe = load_recipe("multi30k")
    assert "inverse_sqrt" in training_options("resmlp", "multi30k")
    assert "fixed" in training_options("resmlp", "multi30k", until_converged=True)
    assert "--dropout" not in model_options("resmlp", "multi30k")
    for system in SYSTEMS:
        options = parse_options(model_options(system, "multi30k", until_converged=True))
        assert options["--dropout"] == (recipe.config["model.dropout"],)


def test_unknown_recipe_is_named():
    for read in (read_config, load_recipe):
        with pytest.raises(ResMLPError, match="there is no recipe 'wmt99'; choose one of "):
            read("wmt99")


def test_option_order_is_ignored_and_last_value_wins():
    assert same_options(["x", "--a", "1", "--b"], ["x", "--b", "--a", "2", "--a", "1"])
    assert not same_options(["--a", "1"], ["--a", "2"])
    assert not same_options(["x"], ["y"])


@pytest.mark.parametrize("key", ["options", "words"])  # "words" up to version 0.1.1
def test_finished_training_is_recognized(key, tmp_path):
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
def test_data_precedes_options_of_fairseq_train(rest, data, options):
    folder, remaining = split_data(rest)
    assert (None if folder is None else str(folder), remaining) == (data, options)


def train(*args: object) -> int:
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    return run(*parser.parse_known_args(list(map(str, args))))


@pytest.fixture
def prepared(tmp_path, monkeypatch):
    """A prepared data folder in the working directory. The explanation of a recommendation is replaced."""
    folder = tmp_path / "mine"
    folder.mkdir()
    manifest = {
        "splits": {"train": {"pairs": 29_000, "tokens": {"en": 400_000, "fr": 400_000}}},
        "settings": {"src": "en", "tgt": "fr", "joint": True, "max_subwords": 100},
        "train_data": ["."],
    }
    (folder / "manifest.json").write_text(json.dumps(manifest))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("resmlp_mt.experiments.recipes.command.explain", lambda _folder, _recommendation: ["picked"])
    return folder


def test_train_recommends_settings_and_dry_run_writes_nothing(prepared, tmp_path, capsys):
    assert train(prepared, "--dry-run", "--minutes", 30, "--for", "cpu", "--seed", 7) == 0
    output = capsys.readouterr().out
    assert output.startswith("== Picks\npicked\nends after 30 minutes of training")
    (command,) = [line.split() for line in output.splitlines() if line.startswith("fairseq-train")]
    options = parse_options(command)
    assert options["--save-dir"] == (str(tmp_path / "runs" / "own.mine"),)
    assert (options["--stop-time-hours"], options["--seed"]) == (("0.5",), ("7",))
    assert (options["--source-lang"], options["--target-lang"]) == (("en",), ("fr",))
    assert {path.name for path in tmp_path.iterdir()} == {"mine"}


def test_train_uses_recipe_for_prepared_folder(prepared, tmp_path, capsys):
    assert train(prepared, "--recipe", "multi30k", "--dry-run", "--epochs", 3) == 0
    output = capsys.readouterr().out
    assert "data_prep" not in output
    options = parse_options(next(line.split() for line in output.splitlines() if line.startswith("fairseq-train")))
    assert options["--arch"] == ("resmlp_multi30k",)
    assert options["--max-epoch"] == ("3",)
    assert "--dropout" not in options  # the recipe's dropout is for a training until convergence
    assert options["--target-lang"] == ("fr",)
    assert options["--save-dir"] == (str(tmp_path / "runs" / "multi30k.mine.resmlp"),)


@pytest.mark.usefixtures("prepared")
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
def test_invalid_options_are_one_line(args, message):
    with pytest.raises(ResMLPError, match=message) as error:
        train(*args)
    assert "\n" not in str(error.value)


def test_custom_recipe_has_no_corpus():
    assert not load_recipe(CUSTOM).corpus


def test_prepare_command_runs_data_prep(tmp_path, capsys):
    with pytest.raises(SystemExit) as error:
        main(["prepare", "--help"])
    assert error.value.code == 0
    assert capsys.readouterr().out.startswith("usage: resmlp-mt prepare ")
    assert main(["prepare", "files", "--pair", "ende", "--out", str(tmp_path / "out")]) == 2
    assert capsys.readouterr().err.startswith("data_prep: --pair must be SRC-TGT")


def test_only_train_accepts_unknown_arguments(capsys):
    with pytest.raises(SystemExit) as error:
        main(["report", "run", "--unknown"])
    assert error.value.code == 2
    assert "unrecognized arguments: --unknown" in capsys.readouterr().err


def test_installed_package_has_recipes():
    text = (CONFIG_FOLDER.parents[3] / "setup.py").read_text(encoding="utf-8")
    assert all(f'"{folder}/*.yaml"' in text for folder in ("experiments/recipes", "experiments/recipes/config"))
