"""What is picked for one's own data: valid at every size, and never against the size."""

import json
from itertools import pairwise

import pytest
from bench import recording_bench
from estimate_cost import count
from recommend import SCALES, VALIDATIONS, recommend, recommend_for

from resmlp_mt.errors import ResMLPError

PAIRS = [1, 97, *(round(1000 * 1.37**power) for power in range(34)), 40_000_000]
TOKENS_A_PAIR = 25


def picked(pairs: int, joint: bool = True) -> dict:
    found = recommend(pairs, pairs * TOKENS_A_PAIR, joint, max_subwords=250)
    return {**found.settings, "batch": found.batch}


def test_the_sizes_cover_a_thousand_to_forty_million_pairs_and_every_row():
    assert {row.pairs for row in SCALES} == {max(s.pairs for s in SCALES if s.pairs <= pairs) for pairs in PAIRS}


@pytest.mark.parametrize(
    "name", ["model.encoder_embed_dim", "model.encoder_ffn_embed_dim", "model.encoder_layers", "batch"]
)
def test_more_data_never_get_a_smaller_model_or_batch(name):
    values = [picked(pairs)[name] for pairs in PAIRS]
    assert all(less <= more for less, more in pairwise(values))
    assert values[0] < values[-1]


@pytest.mark.parametrize("name", ["model.dropout", "optimization.lr"])
def test_more_data_never_get_more_dropout_or_a_higher_rate(name):
    values = [picked(pairs)[name] for pairs in PAIRS]
    assert all(less >= more for less, more in pairwise(values))
    assert values[0] > values[-1]


def test_more_data_are_never_passed_through_more_often_and_never_warm_up_shorter():
    passes = [row.epochs for row in SCALES]
    assert passes == sorted(passes, reverse=True)
    warmups = [picked(pairs)["lr_scheduler.warmup_updates"] for pairs in PAIRS]
    assert warmups == sorted(warmups)


@pytest.mark.parametrize("pairs", PAIRS)
def test_what_is_picked_fits_together(pairs):
    settings = picked(pairs)
    updates, warmup = settings["optimization.max_update"], settings["lr_scheduler.warmup_updates"]
    assert 1 <= settings["checkpoint.save_interval_updates"] <= updates // VALIDATIONS
    assert 1 <= settings["checkpoint.patience"] < VALIDATIONS
    assert 0 < warmup <= updates / 4
    assert settings["model.encoder_embed_dim"] % settings["model.cross_attention_heads"] == 0
    assert settings["model.max_source_positions"] >= 251  # 250 sub-words and the end of the sentence
    assert 0 < settings["model.dropout"] < 1


def test_two_vocabularies_share_no_table():
    assert "model.share_all_embeddings" in picked(1000)
    apart = picked(1000, joint=False)
    assert "model.share_all_embeddings" not in apart
    assert "model.share_decoder_input_output_embed" in apart


def test_every_pick_has_its_reason_in_one_line():
    for pairs in PAIRS:
        for pick in recommend(pairs, pairs * TOKENS_A_PAIR, True, 250).picks:
            assert len(pick.reason) > 20
            assert "\n" not in pick.reason


def test_nothing_to_train_on_is_refused():
    with pytest.raises(ResMLPError, match="the training data must be at least one pair"):
        recommend(0, 0, True, 250)


def test_a_folder_that_is_not_prepared_is_refused(tmp_path):
    with pytest.raises(ResMLPError, match=r"DATA must be a folder prepared by `python -m data_prep`"):
        recommend_for(tmp_path)


def test_a_dry_run_shows_picks_and_command_and_starts_nothing(tmp_path):
    data = tmp_path / "data"
    data.mkdir()
    train = {"pairs": 200_000, "tokens": {"en": 5_000_000, "de": 5_100_000}}
    settings = {"src": "en", "tgt": "de", "joint": True, "max_subwords": 250}
    manifest = {"splits": {"train": train}, "settings": settings, "train_data": ["."]}
    (data / "manifest.json").write_text(json.dumps(manifest))
    bench = recording_bench(tmp_path / "bench")
    finished = bench.recipe("own", data, "--dry-run", "--seed", 3)
    assert finished.returncode == 0, finished.stderr
    assert "200,000 pairs, like IWSLT14" in finished.stdout
    assert f"fairseq-train {data} --save-dir {bench.run_folder}" in finished.stdout
    assert "--seed 3\n== Scoring\n" in finished.stdout
    assert not any((bench.folder / "calls").iterdir())


def test_operations_are_counted_as_the_layers_have_them():
    dim, hidden, layers, length, vocabulary = 32, 64, 2, 30, 101
    products = 2 * dim * hidden + length * dim  # channel MLP, and mixing over the sentence's length
    encoder = layers * products
    attention = 4 * dim * dim + 2 * length * dim  # four projections; scores and weighted sum
    decoder = layers * (products + attention) + dim * vocabulary
    found = count("resmlp", "tiny", 6, vocabulary)
    assert found.operations == 3 * 2 * (encoder + decoder)  # forward and twice that backward; a multiply-add is two
