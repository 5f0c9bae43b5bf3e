"""A dry run prints the commands of a recipe and runs none of them."""

import json
import os
from pathlib import Path

import pytest
from bench import SCRIPTS, recording_bench
from fairseq_commands import ROOT

RECIPES = (
    *("demo", "demo_vision", "dino_digits", "imagenet", "iwslt14", "mix", "multi30k", "own", "wmt14_en_de"),
    "wmt14_en_fr",
)


def folder_for(recipe: str, folder: Path) -> list[Path]:
    """The folder argument that a recipe requires, if any."""
    given = folder / "given"
    if recipe not in ("mix", "multi30k", "own", "imagenet"):
        return []
    for name in ("train", "val"):
        (given / name).mkdir(parents=True)
    manifest = {
        "splits": {"train": {"pairs": 29_000, "tokens": {"en": 400_000, "de": 400_000}}},
        "settings": {"src": "en", "tgt": "de", "joint": True, "max_subwords": 100},
        "train_data": ["."],
    }
    (given / "manifest.json").write_text(json.dumps(manifest))
    return [given]


def files_below(folder: Path) -> set[Path]:
    """Every file and folder, except those of Git, Python's cache and ruff."""
    return {path for path in folder.rglob("*") if not {".git", "__pycache__", ".ruff_cache"} & set(path.parts)}


@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.parametrize("way", ["first", "last", "variable"])
def test_dry_run_runs_and_writes_nothing(recipe, way, tmp_path):
    bench = recording_bench(tmp_path / "bench", gpus=1)
    args = folder_for(recipe, tmp_path)
    options = ["--lr", "1"] if recipe not in ("demo", "demo_vision", "dino_digits", "imagenet") else []
    args += {"first": ["--dry-run", *options], "last": [*options, "--dry-run"], "variable": options}[way]
    before = files_below(tmp_path), files_below(ROOT)
    finished = bench.recipe(recipe, *args, HOME=tmp_path, **({"DRY_RUN": 1} if way == "variable" else {}))
    assert finished.returncode == 0, finished.stderr
    assert "fairseq-train" in finished.stdout
    assert "--dry-run" not in finished.stdout
    assert (files_below(tmp_path), files_below(ROOT)) == before


def test_every_recipe_supports_dry_runs():
    texts = {path.stem: path.read_text() for path in SCRIPTS.rglob("*.sh")}
    direct = {name for name, text in texts.items() if 'dry_run.sh"' in text}
    through_recipe = {name for name, text in texts.items() if '/recipe.sh"' in text}
    assert (direct | through_recipe) - {"recipe"} == set(RECIPES)
    assert "recipe" in direct


def test_dry_run_creates_no_environment(tmp_path):
    bench = recording_bench(tmp_path / "bench")
    finished = bench.recipe("iwslt14", "--dry-run", VENV=tmp_path / "absent", PATH=os.environ["PATH"])
    assert finished.returncode == 2
    assert "a dry run requires the environment" in finished.stderr
    assert finished.stderr.count("\n") == 1
    assert not (tmp_path / "absent").exists()
