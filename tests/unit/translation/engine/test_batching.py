"""Batches contain every sentence once, respect their limits, and are halved if memory runs out."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from resmlp_mt.common.errors import ResMLPError
from resmlp_mt.translation.engine.batching import BatchLimits, MemoryModel, make_batches, run_halving

MEMORY = MemoryModel(beam_size=4, vocab_size=32_000, dim=512, layers=6, max_target_len=256)


@given(st.lists(st.integers(1, 300), max_size=80), st.integers(1, 20), st.integers(1, 200))
def test_batches_partition_sentences_within_limits(lengths, sentences, megabytes):
    batches = make_batches(lengths, BatchLimits(sentences, megabytes), MEMORY)
    assert sorted(index for batch in batches for index in batch) == list(range(len(lengths)))
    for batch in batches:
        assert len(batch) <= sentences
        longest = max(lengths[index] for index in batch)
        assert len(batch) == 1 or len(batch) * MEMORY.sentence_bytes(longest) <= megabytes * 2**20


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        torch.OutOfMemoryError("CUDA out of memory"),
        RuntimeError(
            "[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory: you tried to allocate"
        ),
    ],
)
def test_batches_are_halved_when_out_of_memory(error):
    sizes = []

    def run(items):
        sizes.append(len(items))
        if len(items) > 3:
            raise error
        return [item * 10 for item in items]

    assert run_halving(range(11), run) == [item * 10 for item in range(11)]
    assert max(sizes) == 11
    with pytest.raises(ResMLPError, match="lower the beam size"):
        run_halving([1, 2], lambda _items: (_ for _ in ()).throw(error))


def test_other_errors_are_raised():
    with pytest.raises(RuntimeError, match="shape"):
        run_halving([1, 2], lambda _items: (_ for _ in ()).throw(RuntimeError("shape mismatch")))
