"""fairseq's data loaders: worker processes and loading threads end in time."""

import gc
import multiprocessing
import threading

import pytest
import torch
from fairseq.data.iterators import BackgroundConsumer, EpochBatchIterator
from torch.utils.data import Dataset

pytestmark = pytest.mark.usefixtures("fairseq_plugin")

SECONDS = 120  # time limit for the end of a thread


class Numbers(Dataset[int]):
    def __len__(self):
        return 1000

    def __getitem__(self, index):
        return index


@pytest.fixture
def _no_garbage_collection():
    gc.disable()
    yield
    gc.enable()


def make_iterator(count, buffer_size):
    batches = [[index, index + 1] for index in range(count)]
    return EpochBatchIterator(Numbers(), torch.tensor, batches, num_workers=1, buffer_size=buffer_size)


def join_loading_threads():
    for thread in threading.enumerate():
        if isinstance(thread, BackgroundConsumer):
            thread.join(SECONDS)


@pytest.mark.usefixtures("_no_garbage_collection")
@pytest.mark.parametrize("count", [1, 23])
@pytest.mark.parametrize("buffer_size", [0, 1, 10])
def test_workers_end_with_their_epoch(count, buffer_size):
    before = set(multiprocessing.active_children())
    for _ in range(2):
        epoch = make_iterator(count, buffer_size).next_epoch_itr(shuffle=False)
        for index in range(count):
            assert next(epoch).tolist() == [index, index + 1]
        with pytest.raises(StopIteration):
            next(epoch)
        join_loading_threads()
        assert set(multiprocessing.active_children()) <= before


@pytest.mark.usefixtures("_no_garbage_collection")
def test_reused_iterator_starts_new_workers():
    before = set(multiprocessing.active_children())
    batches = make_iterator(3, 10)
    batches.reuse_dataloader = True
    for _ in range(3):
        assert [batch.tolist() for batch in batches.next_epoch_itr(shuffle=False)] == [[0, 1], [1, 2], [2, 3]]
        join_loading_threads()
        assert set(multiprocessing.active_children()) <= before


@pytest.mark.usefixtures("_no_garbage_collection")
def test_loader_ends_when_its_iterator_is_deleted():
    before = set(multiprocessing.active_children())
    batches = make_iterator(500, 1)
    next(batches.next_epoch_itr(shuffle=False))
    consumer = batches._cur_epoch_itr._itr._consumer
    batches._cur_epoch_itr = None
    consumer.join(SECONDS)
    assert not consumer.is_alive()
    assert set(multiprocessing.active_children()) <= before
