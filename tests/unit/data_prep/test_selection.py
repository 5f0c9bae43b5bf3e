"""Selection of pairs: duplicates, leaks, weights and held-out texts."""

from itertools import chain

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_prep.formats.blocks import Block, training_chunks
from data_prep.keys import NEAR_PAIR, PAIR, SRC, TGT, key_table
from data_prep.stages import selection as select
from data_prep.stages.selection import REASON, Selection
from resmlp_mt.translation.text.normalization import normal_form

SENTENCES = st.sampled_from(["Yes.", "yes", "Yes!", "No.", "no", "Go on", "Go on.", "...", "!"])


def _blocks(folder, pairs, cuts=(3,), weights=(1.0, 1.0)):
    blocks = []
    for number, part in enumerate(np.split(np.arange(len(pairs)), cuts)):
        block = Block(folder, number, f"part{number}", weights[number])
        block_pairs = [pairs[index] for index in part]
        for ending, side in (("src", 0), ("tgt", 1)):
            block.path(ending).write_text("".join(f"{pair[side]}\n" for pair in block_pairs), encoding="utf-8")
        np.save(block.path("keys.npy"), key_table([src for src, _ in block_pairs], [tgt for _, tgt in block_pairs]))
        np.save(block.path("lines.npy"), np.arange(1, len(block_pairs) + 1))
        blocks.append(block)
    return blocks


@pytest.mark.parametrize("keys_per_bucket", [2, 1000])
@given(pairs=st.lists(st.tuples(SENTENCES, SENTENCES), min_size=3, max_size=20))
@settings(max_examples=25, deadline=None)
def test_first_of_duplicates_and_near_duplicates_is_kept(tmp_path_factory, keys_per_bucket, pairs):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(select, "KEYS_PER_BUCKET", keys_per_bucket)
        selection = Selection(_blocks(tmp_path_factory.mktemp("blocks"), pairs))
        selection.remove_repeats(PAIR, select.DUPLICATE)
        selection.remove_repeats(NEAR_PAIR, select.NEAR_DUPLICATE)
    exact, near = set(), set()
    for pair, reason in zip(pairs, selection.reasons.tolist(), strict=True):
        form = tuple(normal_form(text) for text in pair)
        expected = REASON[select.DUPLICATE] if pair in exact else REASON[select.NEAR_DUPLICATE] if form in near else 0
        assert reason == expected
        exact.add(pair)
        near.add(form)


def test_leak_of_either_side_ignores_case_and_punctuation(tmp_path):
    pairs = [("a dog", "x y"), ("A DOG!", "u v"), ("a cat", "Ein Hund"), ("a bird", "ein vogel"), ("...", "q")]
    selection = Selection(_blocks(tmp_path, pairs))
    keys = key_table(["A dog."], ["ein Hund?"])
    selection.remove_leaks(keys[:, SRC], keys[:, TGT])
    assert (selection.reasons == REASON[select.LEAK]).tolist() == [True, True, True, False, False]


@pytest.mark.parametrize(("weight", "least", "most"), [(0.0, 0, 0), (0.5, 150, 250), (1.0, 400, 400), (2.5, 950, 1050)])
def test_weight_repeats_or_samples_corpus(tmp_path, weight, least, most):
    pairs = [(f"one {number}", f"eins {number}") for number in range(403)]
    blocks = _blocks(tmp_path, pairs, cuts=(400,), weights=(weight, 1.0))
    _, part_pairs = Selection(blocks).write()
    assert least <= part_pairs["part0"] <= most
    assert part_pairs["part1"] == 3
    trained = [pair for chunk in training_chunks(blocks, 0, 1, 7) for pair in chunk]
    assert len(trained) == sum(part_pairs.values())
    assert set(trained[-3:]) == set(pairs[400:])


def test_shards_partition_pairs_evenly(tmp_path):
    pairs = [(f"one {number}", f"eins {number}") for number in range(47)]
    blocks = _blocks(tmp_path, pairs, cuts=(11,))
    Selection(blocks).write()
    shards = [[pair for chunk in training_chunks(blocks, shard, 3, 5) for pair in chunk] for shard in range(3)]
    assert [len(shard) for shard in shards] == [16, 16, 15]
    assert sorted(chain.from_iterable(shards)) == sorted(pairs)
    assert all(any(pair in shard for pair in pairs[:11]) for shard in shards)


def test_held_out_texts_are_random_and_reproducible(tmp_path):
    pairs = [(f"one {number}", f"eins {number}") for number in range(101)]
    blocks = _blocks(tmp_path, pairs, cuts=(50,))
    first, second, other = Selection(blocks), Selection(blocks), Selection(blocks)
    indices = first.set_aside(13, seed=1)
    assert indices.tolist() == second.set_aside(13, seed=1).tolist()
    assert indices.tolist() != other.set_aside(13, seed=2).tolist()
    assert (indices < 50).any()
    assert (indices >= 50).any()
    assert first.left() == 88
    expected = key_table([pairs[index][0] for index in indices], [pairs[index][1] for index in indices])
    assert (first.keys_at(indices) == expected).all()
