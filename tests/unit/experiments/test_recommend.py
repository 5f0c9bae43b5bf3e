"""Recommended settings for custom data: valid and monotonic at every size; a CPU finishes in hours."""

import json
from itertools import pairwise
from typing import Any

import pytest
from bench import recording_bench

from resmlp_mt.common.errors import ResMLPError
from resmlp_mt.experiments.estimate_cost import count
from resmlp_mt.experiments.recipes.training_config import read_config
from resmlp_mt.experiments.recommend.operations import efficiency, training_operations
from resmlp_mt.experiments.recommend.recommendation import VALIDATIONS, Data, main, read_data, recommend
from resmlp_mt.experiments.recommend.scales import CONVERGENCE_DROPOUT, CPU_OPERATIONS, SCALES
from resmlp_mt.experiments.recommend.training_time import Speed, duration, gpu_line, measure_speed, time_line

PAIRS = [1, 97, *(round(1000 * 1.37**power) for power in range(34)), 40_000_000]
TOKENS_PER_PAIR = 25
DEVICES = ("gpu", "cpu")


def make_data(pairs: int, joint: bool = True, pieces: int = 16_000) -> Data:
    return Data(pairs, pairs * TOKENS_PER_PAIR, joint, max_subwords=250, pieces=pieces)


def recommended_settings(pairs: int, device: str = "gpu", joint: bool = True) -> dict[str, Any]:
    recommendation = recommend(make_data(pairs, joint), device)
    return {**recommendation.settings, "batch": recommendation.batch}


@pytest.mark.parametrize("device", DEVICES)
def test_sizes_cover_every_scale(device):
    rows = SCALES[device]
    assert {row.pairs for row in rows} == {max(s.pairs for s in rows if s.pairs <= pairs) for pairs in PAIRS}


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize(
    "name", ["model.encoder_embed_dim", "model.encoder_ffn_embed_dim", "model.encoder_layers", "batch"]
)
def test_model_and_batch_grow_with_data(device, name):
    values = [recommended_settings(pairs, device)[name] for pairs in PAIRS]
    assert all(less <= more for less, more in pairwise(values))
    assert values[0] < values[-1]


@pytest.mark.parametrize("device", DEVICES)
def test_dropout_falls_with_data_at_same_dim(device):
    for dim in {row.dim for row in SCALES[device]}:
        values = [row.dropout for row in SCALES[device] if row.dim == dim]
        assert values == sorted(values, reverse=True)


@pytest.mark.parametrize("device", DEVICES)
def test_epochs_and_rate_fall_with_data(device):
    rows = SCALES[device]
    epochs, warmups = [row.epochs for row in rows], [row.warmup for row in rows]
    rates = [row.style.rate for row in rows]
    assert epochs == sorted(epochs, reverse=True)
    assert rates == sorted(rates, reverse=True)
    assert warmups == sorted(warmups)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("pairs", PAIRS)
def test_settings_are_consistent(pairs, device):
    settings = recommended_settings(pairs, device)
    updates, warmup = settings["optimization.max_update"], settings["lr_scheduler.warmup_updates"]
    assert 1 <= settings["checkpoint.save_interval_updates"] <= updates // VALIDATIONS
    assert 1 <= settings["checkpoint.patience"] < VALIDATIONS
    assert 0 < warmup <= updates / 4
    assert settings["model.encoder_embed_dim"] % settings["model.cross_attention_heads"] == 0
    assert settings["model.max_source_positions"] >= 251  # 250 subwords and the end of the sentence
    assert 0 < settings["model.dropout"] < 1


@pytest.mark.parametrize("device", DEVICES)
def test_small_models_use_settings_of_sweep(device):
    settings = recommended_settings(29_000, device)
    assert (settings["optimizer._name"], settings["optimization.lr"]) == ("adagrad", 0.2)
    assert (settings["lr_scheduler._name"], settings["lr_scheduler.warmup_updates"]) == ("fixed", 1000)
    assert (settings["model.norm"], settings["model.layer_scale"]) == ("layernorm", 1.0)
    assert settings["model.positional_embeddings"] == "sinusoidal"
    assert settings["model.dropout"] == CONVERGENCE_DROPOUT == float(read_config("multi30k")["model.dropout"])
    assert settings["checkpoint.patience"] == int(read_config("multi30k")["checkpoint.patience"])
    assert (settings["model.encoder_embed_dim"], settings["model.encoder_ffn_embed_dim"]) == (128, 512)
    assert settings["model.encoder_layers"] == 3


@pytest.mark.parametrize("pairs", [160_000, 342_605, 4_500_000])
def test_cpu_model_trains_in_hours(pairs):
    data = make_data(pairs)
    small, large = recommend(data, "cpu"), recommend(data, "gpu")
    assert small.settings["model.encoder_embed_dim"] < 512 == large.settings["model.encoder_embed_dim"]
    two_cores = Speed(150.0, "cpu", 2)  # with AVX2
    assert two_cores.hours(small.operations, small.scale.dim) < 12
    assert two_cores.hours(large.operations, large.scale.dim) > 48


def test_cpu_training_is_limited_only_by_operations():
    for pairs in PAIRS:
        chosen = recommend(make_data(pairs), "cpu")
        is_limited = any("what a CPU computes in hours" in pick.reason for pick in chosen.picks)
        assert chosen.operations <= 1.01 * CPU_OPERATIONS
        assert chosen.operations >= 0.99 * CPU_OPERATIONS or chosen.passes >= chosen.scale.epochs
        assert is_limited == (chosen.passes < chosen.scale.epochs)


def test_separate_vocabularies_share_no_embeddings():
    assert "model.share_all_embeddings" in recommended_settings(1000)
    apart = recommended_settings(1000, joint=False)
    assert "model.share_all_embeddings" not in apart
    assert "model.share_decoder_input_output_embed" in apart


def test_every_pick_has_one_line_reason():
    for pairs in PAIRS:
        for device in DEVICES:
            for pick in recommend(make_data(pairs), device).picks:
                assert len(pick.reason) > 20
                assert "\n" not in pick.reason


def test_empty_data_is_refused():
    with pytest.raises(ResMLPError, match="the training data are empty"):
        recommend(make_data(0), "cpu")


def test_unprepared_folder_is_refused(tmp_path):
    with pytest.raises(ResMLPError, match=r"DATA must be a folder prepared by `resmlp-mt prepare`"):
        read_data(tmp_path)


def write_manifest(folder, pairs: int) -> None:
    folder.mkdir()
    train = {"pairs": pairs, "tokens": {"en": 25 * pairs, "de": 25 * pairs}}
    settings = {"src": "en", "tgt": "de", "joint": True, "max_subwords": 250}
    manifest = {"splits": {"train": train}, "settings": settings, "train_data": ["."]}
    (folder / "manifest.json").write_text(json.dumps({**manifest, "vocabulary": {"pieces": [8000]}}))


@pytest.mark.parametrize(
    ("args", "first_line"), [((), "3+3 layers of 256/1024"), (("--for", "gpu"), "6+6 layers of 512/1024")]
)
def test_device_of_machine_is_the_default(args, first_line, tmp_path, monkeypatch, capsys):
    write_manifest(tmp_path / "data", 160_000)
    monkeypatch.setattr("resmlp_mt.experiments.recommend.recommendation.device_of_machine", lambda: "cpu")
    monkeypatch.setattr(
        "resmlp_mt.experiments.recommend.recommendation.measure_speed", lambda device: Speed(150.0, device, 2)
    )
    monkeypatch.setattr("sys.argv", ["recommend.py", str(tmp_path / "data"), *args])
    assert main() == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith(first_line)
    assert any(line.startswith("expected time: at most ") for line in lines)
    allowed = [line for line in lines if line.startswith("for a GPU (--for gpu): 6+6 layers of 512/1024, at most 50")]
    assert len(allowed) == (not args)


def test_unknown_device_is_one_line(tmp_path, monkeypatch, capsys):
    write_manifest(tmp_path / "data", 1000)
    monkeypatch.setattr("sys.argv", ["recommend.py", str(tmp_path / "data"), "--for", "tpu"])
    assert main() == 2
    assert capsys.readouterr().err == "recommend.py: --for must be one of gpu, cpu, not 'tpu'\n"


def test_dry_run_shows_picks_and_starts_nothing(tmp_path):
    data = tmp_path / "data"
    write_manifest(data, 200_000)
    bench = recording_bench(tmp_path / "bench")
    result = bench.recipe("own", data, "--dry-run", "--seed", 3)
    assert result.returncode == 0, result.stderr
    assert "200,000 pairs, about as many as IWSLT14's 160,000" in result.stdout
    assert "\nexpected time: " in result.stdout
    assert "\nfor a GPU (--for gpu): 6+6 layers of 512/1024, at most 50 passes" in result.stdout
    assert f"fairseq-train {data} --save-dir {bench.run_folder}" in result.stdout
    assert "--optimizer adagrad " in result.stdout
    assert "--lr 0.2 " in result.stdout
    assert "--seed 3\n== Scoring\n" in result.stdout
    assert not any((bench.folder / "calls").iterdir())


def test_operations_equal_count_of_layers():
    cost = count("resmlp", "tiny", 6, 101)
    assert cost.operations == training_operations(32, 64, 2, vocab_size=101, length=30)


def test_transformer_operations():
    sizes = {"dim": 8, "hidden": 16, "layers": 3, "vocab_size": 11, "length": 7}
    ours, theirs = (training_operations(**sizes, is_transformer=which) for which in (False, True))
    each = 4 * 8 * 8 + 2 * 7 * 8 - 7 * 8  # projections, scores and sum, in place of the mixing
    assert theirs - ours == 6 * 2 * 3 * each


# Tokens per second from docs/results.md, on an AMD EPYC (Zen 5): multi30k with one thread, the WMT size with two.
@pytest.mark.parametrize(
    ("dim", "hidden", "layers", "vocab_size", "length", "gflops", "measured"),
    [(128, 512, 3, 8000, 15, 237, 8094), (512, 2048, 6, 32_000, 30, 474, 930)],
)
def test_expected_speed_equals_measured_speed(dim, hidden, layers, vocab_size, length, gflops, measured):
    operations = training_operations(dim, hidden, layers, vocab_size, length)
    assert gflops * 1e9 * efficiency(dim) / operations == pytest.approx(measured, rel=0.1)
    assert efficiency(64) == efficiency(128) < efficiency(256) < efficiency(512) == efficiency(1024)


def test_expected_time_is_operations_over_speed():
    scale = SCALES["cpu"][1]
    operations = 3600 * 100e9 * efficiency(scale.dim) / 1.1
    speed = Speed(100.0, "cpu", 2)
    assert speed.hours(operations, scale.dim) == pytest.approx(1)
    assert time_line(2.5 * operations, scale, speed).startswith("expected time: at most 2.5 hours, within a factor of")
    assert "the peak here and now is 100 GFLOP/s with 2 threads in float32" in time_line(operations, scale, speed)
    assert "unknown" in time_line(operations, scale, Speed(None, "cpu"))
    assert gpu_line(96 * operations, 40.0, scale, speed).endswith(
        "at most 40 passes; without one that would take 4 days"
    )
    assert "without one" not in gpu_line(operations, 40.0, scale, Speed(None, "cpu"))


def test_duration_units():
    assert [duration(hours) for hours in (0.001, 0.5, 1.26, 30, 72)] == [
        "1 minutes",
        "30 minutes",
        "1.3 hours",
        "30 hours",
        "3 days",
    ]


@pytest.mark.parametrize(("requested", "threads"), [("3", 3), ("2,1", 2), ("", 1), ("many", 1)])
def test_speed_uses_threads_of_training(requested, threads, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", requested)
    monkeypatch.setattr("resmlp_mt.experiments.recommend.training_time.usable_cpus", lambda: 1)
    monkeypatch.setattr(
        "resmlp_mt.experiments.recommend.training_time.measure_peak",
        lambda count, *_args: {"float32": {"MKL": 10.0 * count}},
    )
    assert measure_speed("cpu") == Speed(10.0 * threads, "cpu", threads)
