"""Parts of a comparison: systems, runs, training logs and table."""

import argparse
import json
import shutil
from dataclasses import replace
from typing import Any

import pytest
import torch
from toy_bundles import data_folder, raw_lines

from resmlp_mt.common.errors import ResMLPError
from resmlp_mt.experiments import training_log
from resmlp_mt.experiments.compare import command as compare
from resmlp_mt.experiments.compare import runs as compare_runs
from resmlp_mt.experiments.compare.contestants import Contestant, changed_system, choose, command_line, custom_systems
from resmlp_mt.experiments.compare.figures import draw_comparison
from resmlp_mt.experiments.compare.runs import Plan, raw_translations
from resmlp_mt.experiments.compare.table import describe_comparison, summarise
from resmlp_mt.experiments.recipes.recipe import recipe_names
from resmlp_mt.experiments.recipes.training_config import parse_options, read_config, train_options
from resmlp_mt.experiments.systems import SYSTEMS, model_options, training_options


def make_plan(folder, **changes) -> Plan:
    data = folder / "data"
    if not data.exists():
        shutil.copytree(data_folder(), data)
    return replace(Plan(data, ("src", "tgt"), folder / "work", ("--max-update", "3"), resamples=20), **changes)


def test_options_become_arguments():
    options = {"optimizer": "adam", "no_post_bias": True, "share-all-embeddings": False, "lr": [1, 2], "seed": None}
    assert command_line(options) == ("--optimizer", "adam", "--no-post-bias", "--lr", "1", "2")


def test_new_optimizer_replaces_whole_schedule():
    model, training = tuple(model_options("resmlp", "tiny")), tuple(training_options("resmlp", "tiny"))
    assert changed_system("resmlp", "tiny", {"dropout": 0.3}) == (*model, *training, "--dropout", "0.3")
    assert changed_system("resmlp", "tiny", {"optimizer": "adagrad"}) == (*model, "--optimizer", "adagrad")
    of_lstm = changed_system("resmlp", "tiny", {}, training_of="lstm")
    assert of_lstm == (*model, *training_options("lstm", "tiny"))


def test_custom_systems_are_added_to_table(tmp_path):
    (tmp_path / "own.yaml").write_text("affine: {title: 'ResMLP, Affine', options: {norm: affine}}\n")
    custom = custom_systems(tmp_path / "own.yaml", "tiny")
    chosen = choose(None, "tiny", custom)
    assert [c.name for c in chosen] == [*SYSTEMS, "affine"]
    assert chosen[-1].title == "ResMLP, Affine"
    assert chosen[-1].options[-2:] == ("--norm", "affine")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("- a list", "must be a mapping"),
        ("a: {arch: x}", "must be one of title, base, options, not 'arch'"),
        ("a: {base: nothing}", "must be one of resmlp"),
        ("resmlp: {}", "has this name already"),
        ("a: [", "must be a YAML or JSON file"),
        ("../a: {}", "letters, digits"),
    ],
)
def test_invalid_custom_systems_file_is_refused(tmp_path, text, message):
    (tmp_path / "own.yaml").write_text(text)
    with pytest.raises(ResMLPError, match=message):
        custom_systems(tmp_path / "own.yaml", "tiny")


def log_line(update: int, wps: float, wpb: float, **more) -> str:
    numbers = {"num_updates": str(update), "wps": str(wps), "wpb": str(wpb), **more}
    return f"2030-01-01 00:00:00 | INFO | train_inner | {json.dumps({'epoch': 1, **numbers})}\n"


def valid_line(update: int, perplexity: float, epoch: int = 1, **more) -> str:
    numbers = {"valid_num_updates": str(update), "valid_ppl": str(perplexity), **more}
    return f"2030-01-01 00:00:00 | INFO | valid | {json.dumps({'epoch': epoch, **numbers})}\n"


BEGIN = "| INFO | fairseq_cli.train | num. shared model params: 1,234 (num. trained: 1,234)\n"


def test_log_of_resumed_training_counts_updates_once():
    """Also reads parameters, target tokens, speed and validation curve."""
    first = log_line(10, 50, 7) + log_line(20, 100, 11) + valid_line(20, 9.0) + log_line(30, 999, 13)
    resumed = log_line(30, 110, 13) + valid_line(35, 5.0)
    log = training_log.read_log(BEGIN + first + BEGIN + resumed)
    assert log.parameters == 1234
    assert log.updates == 35
    assert log.target_tokens == 70 + 110 + 130 + 5 * 13
    assert log.tokens_per_second == 105  # the median of 100 and 110: the first interval does not count
    assert [point["target_tokens"] for point in log.validations] == [180, 375]
    assert log.validations[1] == {"updates": 35, "target_tokens": 375, "seconds": 375 / 105, "perplexity": 5.0}
    assert log.peak_gpu_mib is None


def test_log_has_peak_gpu_memory_and_skipped_pairs():
    gpu = "rank   0: capabilities =  9.0  ; total memory = 79.100 GB ; name = x\n"
    left_out = "1,234 samples have invalid sizes and will be skipped, max_positions=(128, 128)\n"
    text = gpu + BEGIN + left_out + log_line(10, 1, 1, gb_free="70") + log_line(20, 1, 1, gb_free="69.1")
    log = training_log.read_log(text + valid_line(20, 2.0))
    assert log.peak_gpu_mib == pytest.approx(10 * 1024)
    assert log.left_out == 1234


def test_log_has_epochs_bleu_and_convergence():
    text = BEGIN + log_line(10, 1, 1) + valid_line(10, 2.0, valid_bleu="7.5") + valid_line(20, 2.0, 2, valid_bleu="7.1")
    assert not training_log.read_log(text).converged
    end = "| INFO | fairseq_cli.train | early stop since valid performance hasn't improved for last 1 runs\n"
    log = training_log.read_log(text + end)
    assert (log.epochs, log.converged) == (2, True)
    assert [point["bleu"] for point in log.validations] == [7.5, 7.1]


def test_log_too_short_for_speed_is_refused():
    with pytest.raises(ResMLPError, match="at least ten updates"):
        training_log.read_log(BEGIN + valid_line(3, 2.0))


def generate_log(lines: list[str]) -> str:
    return "".join(f"H-{number}\t-1.5\t{line}\n" for number, line in reversed(list(enumerate(lines))))


def test_translations_are_raw_text_in_split_order(tmp_path):
    pieces = (data_folder() / "test.bpe.tgt").read_text(encoding="utf-8").splitlines()
    assert raw_translations(make_plan(tmp_path), generate_log(pieces)) == raw_lines("tgt")


def test_missing_translation_is_an_error(tmp_path):
    log = generate_log((data_folder() / "test.bpe.tgt").read_text(encoding="utf-8").splitlines()[:3])
    with pytest.raises(ResMLPError, match="wrote 2 translations of 3 sentences"):
        raw_translations(make_plan(tmp_path), log.replace("H-1\t", "S-1\t"))


def test_shared_embeddings_count_once(tmp_path):
    plan = make_plan(tmp_path)
    vocab_size = len((plan.data / "dict.tgt.txt").read_text(encoding="utf-8").splitlines()) + 4
    table, other = torch.rand(vocab_size, 3), torch.rand(vocab_size, 5)
    model = {
        "a": table,
        "b": table,
        "copy": table.clone(),
        "c": other,
        "d": torch.zeros(7, vocab_size),
        "e": torch.zeros(()),
    }
    torch.save({"model": model}, tmp_path / "averaged.pt")
    assert compare_runs._vocabulary_parameters(plan, tmp_path / "averaged.pt") == vocab_size * 8


def test_last_checkpoints_are_averaged(tmp_path):
    def save(name: str, updates: int, value: float) -> None:
        model = {"weight": torch.full((2,), value)}
        torch.save({"model": model, "optimizer_history": [{"num_updates": updates}]}, tmp_path / name)

    save("checkpoint1.pt", 10, 100.0)
    save("checkpoint2.pt", 20, 2.0)
    save("checkpoint3.pt", 30, 3.0)
    save("checkpoint_best.pt", 33, 100.0)
    save("checkpoint_last.pt", 35, 7.0)
    compare_runs._average(tmp_path, 3)
    assert torch.load(tmp_path / "averaged.pt")["model"]["weight"].tolist() == [4.0, 4.0]


def test_folder_of_other_training_is_refused(tmp_path):
    compare_runs.claim(tmp_path, ["--lr", "1"])
    compare_runs.claim(tmp_path, ["--lr", "1"])
    with pytest.raises(ResMLPError, match=r"holds a training with other settings \(1 2\)"):
        compare_runs.claim(tmp_path, ["--lr", "2"])


def run_of(seed: int, translations: list[str], bleu: float) -> dict[str, Any]:
    scores = [
        {"metric": "BLEU", "score": bleu, "interval": 1.5, "signature": "b"},
        {"metric": "chrF", "score": 50.0, "interval": 0.5, "signature": "c"},
    ]
    scores.append({"metric": "lower-cased tokenised BLEU", "score": bleu + 2, "interval": 1.5, "signature": "l"})
    numbers = {"parameters": 1000, "parameters_without_embeddings": 700, "updates": 3, "tokens_per_second": 10.0}
    numbers |= {"epochs": 2 + seed, "converged": seed == 1}
    rest = {"peak_mib": 7.0, "measured_alone": seed == 1, "pairs_left_out": 0, "training_seconds": 60.0}
    return {**numbers, **rest, "seed": seed, "translations": translations, "scores": scores}


def test_table_has_means_deviations_and_tests(tmp_path):
    """The table also marks speeds that were not measured alone."""
    right, wrong = raw_lines("tgt"), raw_lines("src")
    results = [
        summarise(Contestant("resmlp", "ResMLP", ()), [run_of(s, right, 30.0 + s) for s in (1, 2)], [5.0, 9.0, 7.0]),
        summarise(Contestant("same", "Same", ()), [run_of(1, right, 20.0), run_of(2, wrong, 20.0)], []),
        summarise(Contestant("transformer", "T", ()), [run_of(s, wrong, 20.0) for s in (1, 2)], [6.0]),
    ]
    report = describe_comparison(results, make_plan(tmp_path), "transformer")
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in report["table"].splitlines()[2:5]]
    assert rows[0][:6] == ["ResMLP", "1,000", "700", "3 to 4", "3", "1.0 (s 0.0) *"]
    assert rows[0][6:9] == ["10 *", "7", "7"]
    assert rows[0][9:12] == ["31.50 (s 0.71)", "50.00 (s 0.00)", "33.50 (s 0.71)"]
    assert float(rows[0][12]) <= 1 / 20
    assert rows[1][12:] == ["1.0000", "1.0000"]  # the run of the second seed equals the Transformer's
    assert rows[2][12:] == ["-", "-"]
    assert "not measured alone" in report["table"]
    assert "BLEU: `b`" in report["table"]
    assert {test["metric"] for test in results[0]["tests"]} == {"BLEU", "chrF"}


def test_capped_training_is_not_converged(tmp_path):
    runs = [run_of(seed, raw_lines("tgt"), 30.0) for seed in (1, 2)]
    results = [summarise(Contestant("resmlp", "ResMLP", ()), runs, [])]
    assert "NOT CONVERGED: ResMLP" in describe_comparison(results, make_plan(tmp_path, patience=10), "none")["table"]
    assert "NOT CONVERGED" not in describe_comparison(results, make_plan(tmp_path), "none")["table"]


def test_convergence_validates_as_in_recipes(tmp_path):
    plan = make_plan(tmp_path, patience=7, budget=("--max-epoch", "200"))
    options = plan.training(choose(["lightconv"], "tiny", {})[0], 1)
    assert options[options.index("--task") + 1] == "resmlp_translation"
    assert options[options.index("--patience") + 1] == "7"
    parsed = parse_options(options)
    for recipe in set(recipe_names()):
        in_recipe = parse_options(train_options(read_config(recipe)))
        for option in (
            "--eval-bleu",
            "--eval-bleu-args",
            "--best-checkpoint-metric",
            "--maximize-best-checkpoint-metric",
        ):
            assert parsed[option] == in_recipe[option], recipe
    other = make_plan(tmp_path).training(choose(["lightconv"], "tiny", {})[0], 1)
    assert other[other.index("--task") + 1] == "translation"
    assert "--eval-bleu" not in other


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--epochs", "3", "--patience", "2"], "--patience requires --until-converged"),
        (["--epochs", "3", "--max-epochs", "2"], "--max-epochs requires --until-converged"),
        (["--until-converged", "--patience", "0"], "--patience must be more than 0"),
    ],
)
def test_patience_requires_until_converged(options, message):
    with pytest.raises(ResMLPError, match=message):
        compare.patience_of(parse("--data", "d", "--work", "w", "--output", "o.json", *options))


def parse(*args):
    parser = argparse.ArgumentParser()
    compare.add_arguments(parser)
    return parser.parse_args(args)


def test_outputs_must_not_overwrite_inputs(tmp_path):
    args = ["--data", str(tmp_path), "--work", "w", "--epochs", "1", "--own", str(tmp_path / "own.json")]
    for name, message in (("own.json", "which --own reads"), ("out.md", "which --output writes")):
        (tmp_path / "own.json").write_text("{}")
        with pytest.raises(ResMLPError, match=message):
            compare.compare(parse(*args, "--output", str(tmp_path / name)))


def test_old_scores_gain_lower_cased_bleu(tmp_path):
    """Nothing is translated again: there are no commands to run."""
    plan, contestant = make_plan(tmp_path), Contestant("resmlp", "ResMLP", ())
    kept = compare_runs.run_folder(plan, contestant, 1) / "test.beam5.lenpen1.0.json"
    kept.parent.mkdir(parents=True)
    kept.write_text(json.dumps({"scores": [{"metric": "BLEU"}], "translations": raw_lines("tgt")}))
    result = compare_runs.translate(plan, contestant, 1, commands=None)
    assert [score["metric"] for score in result["scores"]] == ["BLEU", "chrF", "lower-cased tokenised BLEU"]
    assert result["scores"][-1]["score"] == pytest.approx(100)


def test_figure_without_timed_generation(tmp_path):
    curve = {"validations": [{"updates": 3, "seconds": 60.0, "perplexity": 9.0}]}
    results = [summarise(Contestant("resmlp", "ResMLP", ()), [run_of(1, [], 30.0) | curve], [])]
    draw_comparison(tmp_path / "out.svg", results)
    assert (tmp_path / "out.svg").stat().st_size > 1000
