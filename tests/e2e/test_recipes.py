"""Recipes: the commands that they run, their Hydra configs, and a few updates of each."""

import gzip
import json
import random
from pathlib import Path

import pytest
from bench import real_bench, recording_bench
from fairseq import options, tasks
from recipes import SECTIONS, differences, resolved_command, resolved_yaml

from data_prep.command_line import build_parser
from data_prep.command_line import main as data_prep
from resmlp_mt.experiments.recommend.recommendation import read_data, recommend
from resmlp_mt.experiments.systems import LARGE, SIZES, SYSTEMS, model_options, training_options

pytestmark = pytest.mark.usefixtures("fairseq_plugin")

RECIPES = ("wmt14_en_de", "wmt14_en_fr", "iwslt14", "mix", "multi30k", "own")


@pytest.fixture(scope="session")
def tiny_data(tmp_path_factory) -> Path:
    """A prepared folder, en-de, of 200 pairs."""
    folder = tmp_path_factory.mktemp("tiny")
    generator = random.Random(1)
    (folder / "text").mkdir()
    words = ["".join(generator.choices("abcdefghijklm", k=5)) for _ in range(31)]
    for split, count in (("train", 200), ("valid", 7), ("test", 13)):
        lines = [generator.choices(words, k=generator.randrange(3, 9)) for _ in range(count)]
        for lang, step in (("en", 1), ("de", -1)):
            text = "".join(" ".join(line[::step]) + "\n" for line in lines)
            (folder / "text" / f"{split}.{lang}").write_text(text)
    command = ["files", "--pair", "en-de", "--from-dir", str(folder / "text"), "--out", str(folder / "data")]
    assert data_prep([*command, "--vocab-size", "320", "--workers", "1"]) == 0
    return folder / "data"


@pytest.fixture
def corpora(tmp_path) -> Path:
    """A folder with the layout that mix.sh and multi30k.sh read."""
    for name in ("multi30k", "tatoeba.en-de", "dotnet-docs.en-de"):
        for split in ("train", "valid", "test"):
            for lang in ("en", "de"):
                (tmp_path / "text" / name).mkdir(parents=True, exist_ok=True)
                with gzip.open(tmp_path / "text" / name / f"{split}.{lang}.gz", "wt") as file:
                    file.write(f"{name}\n")
    return tmp_path / "text"


def arguments_of(recipe: str, text: Path, data: Path) -> list[Path]:
    """The folder argument that a recipe requires, if any."""
    return {"mix": [text], "multi30k": [text], "own": [data]}.get(recipe, [])


@pytest.mark.parametrize("recipe", RECIPES)
def test_hydra_config_equals_script(recipe, tiny_data, tmp_path):
    bench = recording_bench(tmp_path)
    bench.recipe(recipe, *arguments_of(recipe, tmp_path, tiny_data), STEPS="train", DATA=tiny_data)
    (args,) = bench.calls("fairseq-train")
    script = resolved_command(args)
    overrides = [f"task.data={tiny_data}", f"checkpoint.save_dir={bench.run_folder}", "common.user_dir=resmlp_mt"]
    if recipe == "own":
        overrides += [*recommend(read_data(tiny_data), "cpu").overrides(), "task.source_lang=en", "task.target_lang=de"]
    config = resolved_yaml({"own": "custom"}.get(recipe, recipe), *overrides)
    for section in SECTIONS:
        assert not differences(config, script, section), section


def test_custom_config_equals_script_for_large_data(tmp_path):
    data = tmp_path / "data"
    data.mkdir()
    train = {"pairs": 5_000_000, "tokens": {"en": 10**8, "de": 10**8}}
    settings = {"src": "en", "tgt": "de", "joint": False, "max_subwords": 250}
    manifest = {"splits": {"train": train}, "settings": settings, "train_data": ["."]}
    (data / "manifest.json").write_text(json.dumps({**manifest, "vocabulary": {"pieces": [8000, 9000]}}))
    bench = recording_bench(tmp_path / "bench")
    finished = bench.recipe("own", data, STEPS="train", FOR="gpu")
    assert finished.returncode == 0, finished.stderr
    (args,) = bench.calls("fairseq-train")
    script = resolved_command(args)
    overrides = [f"task.data={data}", f"checkpoint.save_dir={bench.run_folder}", "common.user_dir=resmlp_mt"]
    overrides += [*recommend(read_data(data), "gpu").overrides(), "task.source_lang=en", "task.target_lang=de"]
    config = resolved_yaml("custom", *overrides)
    assert (config["optimizer"]["_name"], config["model"]["encoder_embed_dim"]) == ("adam", 512)
    for section in SECTIONS:
        assert not differences(config, script, section), section


@pytest.mark.parametrize("recipe", [recipe for recipe in RECIPES if recipe != "own"])
def test_data_prep_accepts_recipe_arguments(recipe, corpora, tmp_path):
    bench = recording_bench(tmp_path / "bench")
    finished = bench.recipe(recipe, *arguments_of(recipe, corpora, corpora), STEPS="data", DATA=tmp_path / "data")
    assert finished.returncode == 0, finished.stderr
    ((_, _, *command),) = bench.calls("python")
    args = build_parser().parse_args(command)
    assert args.out == tmp_path / "data"
    if recipe == "mix":
        assert len(args.train) == len(args.test) == 3
        texts = [
            gzip.decompress((corpora / name / "valid.de.gz").read_bytes())
            for name in ("multi30k", "tatoeba.en-de", "dotnet-docs.en-de")
        ]
        assert Path(f"{args.valid[0]}.de").read_bytes() == b"".join(texts)


def test_paper_settings_reach_fairseq(tmp_path):
    for recipe, dropout in (("wmt14_en_de", 0.15), ("wmt14_en_fr", 0.1)):
        bench = recording_bench(tmp_path / recipe)
        (tmp_path / recipe / "data").mkdir()
        bench.recipe(recipe, STEPS="train", LAYERS=12, DATA=tmp_path / recipe / "data")
        (args,) = bench.calls("fairseq-train")
        cfg = resolved_command(args)
        assert (cfg["optimizer"]["_name"], cfg["optimization"]["lr"]) == ("adagrad", [0.2])
        assert cfg["lr_scheduler"]["warmup_updates"] == 32000
        assert cfg["criterion"]["label_smoothing"] == 0.1
        assert (cfg["model"]["dropout"], cfg["model"]["layer_scale"]) == (dropout, 0.2)
        assert (cfg["model"]["encoder_embed_dim"], cfg["model"]["decoder_ffn_embed_dim"]) == (512, 2048)
        assert (cfg["model"]["encoder_layers"], cfg["model"]["decoder_layers"]) == (12, 12)
        assert cfg["dataset"]["max_tokens"] * cfg["optimization"]["update_freq"][0] == 32768


def test_recipe_averages_and_scores_as_in_the_paper(tiny_data, tmp_path):
    bench = recording_bench(tmp_path)
    bench.run_folder.mkdir()
    for update in range(3):
        (bench.run_folder / f"checkpoint_1_{update}.pt").touch()
    bench.recipe("wmt14_en_de", STEPS="finish", DATA=tiny_data)
    average, bundle, evaluate = bench.calls("resmlp-mt")
    assert average[average.index("--last") + 1] == "3"  # of 10, there are 3
    assert bundle[bundle.index("--beam") + 1 : bundle.index("--beam") + 4] == ["4", "--lenpen", "0.6"]
    assert "--tokenised" in evaluate


@pytest.mark.slow
@pytest.mark.parametrize("system", SYSTEMS)
def test_every_system_and_size_is_accepted_by_fairseq(system, tiny_data):
    for size in SIZES:
        for layers in (6, 12) if system in ("resmlp", "transformer") and size in LARGE else (6,):
            args = [str(tiny_data), "--task", "translation", "-s", "en", "-t", "de"]
            args += [*model_options(system, size, layers), *training_options(system, size)]
            model = resolved_command(args)["model"]
            if layers == 12:
                assert (model["encoder_layers"], model["decoder_layers"]) == (12, 12)


@pytest.mark.parametrize("size", ["tiny", "multi30k"])
@pytest.mark.parametrize("system", SYSTEMS)
def test_every_system_trains_on_the_cpu(system, size, tiny_data):
    command = [str(tiny_data), "--task", "translation", "-s", "en", "-t", "de", *model_options(system, size)]
    command += ["--criterion", "resmlp_label_smoothed_cross_entropy", "--label-smoothing", "0.1"]
    args = options.parse_args_and_arch(options.get_training_parser(), command)
    task = tasks.setup_task(args)
    task.load_dataset("valid")
    model, criterion = task.build_model(args), task.build_criterion(args)
    loss, _, _ = criterion(model, task.dataset("valid").collater([task.dataset("valid")[i] for i in range(7)]))
    loss.backward()
    without = [
        name for name, parameter in model.named_parameters() if parameter.requires_grad and parameter.grad is None
    ]
    assert loss.isfinite()
    assert not without  # with several GPUs, such a parameter stops training with an error
    assert all(parameter.isfinite().all() for parameter in model.parameters())


@pytest.mark.slow
@pytest.mark.parametrize("recipe", RECIPES)
def test_recipe_trains_on_a_tiny_set(recipe, tiny_data, tmp_path):
    bench = real_bench(tmp_path)
    further = {
        "own": ("--encoder-embed-dim", 16, "--decoder-embed-dim", 16, "--num-workers", 0),
        "wmt14_en_fr": ("--target-lang", "de"),  # the tiny set has no French
    }
    finished = bench.recipe(
        recipe,
        *arguments_of(recipe, tmp_path, tiny_data),
        *("--save-interval-updates", 1, "--max-tokens", 500, "--update-freq", 1, *further.get(recipe, ())),
        **{"STEPS": "train", "DATA": tiny_data, "MAX_UPDATE": 2, **({} if recipe == "own" else {"SIZE": "tiny"})},
    )
    assert finished.returncode == 0, finished.stderr + finished.stdout
    assert (bench.run_folder / "checkpoint_1_2.pt").is_file()
    assert "validation" in finished.stdout
    assert "bleu" in finished.stdout


@pytest.mark.slow
@pytest.mark.parametrize("system", ["resmlp", "transformer"])
def test_recipe_goes_from_data_to_scores(system, tiny_data, tmp_path):
    bench = real_bench(tmp_path)
    variables = {"STEPS": "train finish", "DATA": tiny_data, "SIZE": "tiny", "MAX_UPDATE": 60, "SYSTEM": system}
    batches = ("--num-workers", 0, "--update-freq", 1, "--max-tokens", 1000, "--validate-interval", 100)
    schedule = ("--warmup-updates", 10, "--lr", 0.01)  # some words are right after a few updates
    finished = bench.recipe("wmt14_en_de", *batches, *schedule, **variables)
    assert finished.returncode == 0, finished.stderr + finished.stdout
    scores = json.loads((bench.run_folder / "test.json").read_text())["scores"]
    tokenised = ["lower-cased tokenised BLEU", "tokenised BLEU", "compound-split BLEU"]
    assert [score["metric"] for score in scores] == ["BLEU", "chrF", "TER", *tokenised]
    assert len((bench.run_folder / "test.de").read_text().splitlines()) == 13
    assert (bench.run_folder / "model").is_dir() == (system == "resmlp")


@pytest.mark.parametrize("args", [("",), ("no/such/folder",)])
@pytest.mark.parametrize("recipe", ["mix", "multi30k", "own"])
def test_missing_folder_is_one_line(recipe, args, tmp_path):
    finished = recording_bench(tmp_path).recipe(recipe, *args)
    assert finished.returncode == 2
    assert len(finished.stderr.splitlines()) == 1
    assert " must be a folder" in finished.stderr


@pytest.mark.parametrize(("name", "value"), [("SYSTEM", "rnn"), ("LAYERS", "7"), ("SIZE", "huge")])
def test_invalid_choice_is_one_line(name, value, tmp_path):
    finished = recording_bench(tmp_path).recipe("wmt14_en_de", **{name: value})
    assert finished.returncode == 2
    assert len(finished.stderr.splitlines()) == 1
    assert name.lower() in finished.stderr.lower()
    assert value in finished.stderr
