"""fairseq's binary index format, written without fairseq."""

from itertools import chain

import numpy as np
import pytest
import torch
from fairseq.data.indexed_dataset import MMapIndexedDataset, make_builder

from resmlp_mt.common.errors import ResMLPError
from resmlp_mt.common.indexed_data import IndexedWriter, bin_path, idx_path, read_indexed, read_sizes

SENTENCES = [[5, 7, 2], [2], [11, 13, 17, 19, 2], [4, 2]]


def _write(prefix, vocab_size, sentences, cut=2):
    with IndexedWriter(prefix, vocab_size) as writer:
        for part in (sentences[:cut], sentences[cut:]):
            writer.add(np.concatenate([*part, []]).astype(np.int64), np.array([len(ids) for ids in part], np.int64))


@pytest.mark.parametrize("vocab_size", [31, 65499, 65500, 80000])
@pytest.mark.parametrize("sentences", [SENTENCES, []], ids=["text", "empty"])
def test_files_equal_fairseq_byte_for_byte(tmp_path, vocab_size, sentences):
    ours, theirs = tmp_path / "ours.en", tmp_path / "theirs.en"
    _write(ours, vocab_size, sentences)
    builder = make_builder(str(bin_path(theirs)), "mmap", vocab_size)
    for ids in sentences:
        builder.add_item(torch.tensor(ids))
    builder.finalize(str(idx_path(theirs)))
    assert bin_path(ours).read_bytes() == bin_path(theirs).read_bytes()
    assert idx_path(ours).read_bytes() == idx_path(theirs).read_bytes()


def test_fairseq_reads_our_files(tmp_path):
    _write(tmp_path / "text", 31, SENTENCES)
    dataset = MMapIndexedDataset(str(tmp_path / "text"))
    assert [dataset[number].tolist() for number in range(len(dataset))] == SENTENCES


def test_round_trip(tmp_path):
    _write(tmp_path / "text", 31, SENTENCES)
    text = read_indexed(tmp_path / "text")
    assert read_sizes(tmp_path / "text").tolist() == text.sizes.tolist() == [len(ids) for ids in SENTENCES]
    assert text.tokens.tolist() == list(chain.from_iterable(SENTENCES))


def test_round_trip_of_empty_text(tmp_path):
    _write(tmp_path / "text", 31, [])
    text = read_indexed(tmp_path / "text")
    assert len(text.sizes) == len(text.tokens) == 0


@pytest.mark.parametrize("dtype", [np.int32, np.int64])
def test_signed_types_of_fairseq_preprocess_are_read(tmp_path, dtype):
    builder = make_builder(str(bin_path(tmp_path / "text")), "mmap", 31)
    builder._dtype = dtype
    builder.add_item(torch.tensor([5, 7, 2]))
    builder._data_file.close()
    with MMapIndexedDataset.Index.writer(str(idx_path(tmp_path / "text")), dtype) as index:
        index.write(np.array([3]))
    assert read_indexed(tmp_path / "text").tokens.tolist() == [5, 7, 2]


def test_failed_write_leaves_no_files(tmp_path):
    def fail(writer):
        writer.add(np.array([2]), np.array([1]))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), IndexedWriter(tmp_path / "text", 31) as writer:
        fail(writer)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("content", [b"", b"TNTIDX\x00\x00" + bytes(40)])
def test_other_file_format_is_refused(tmp_path, content):
    idx_path(tmp_path / "text").write_bytes(content)
    with pytest.raises(ResMLPError, match="is not an index of binarised text: it is not in fairseq's mmap format"):
        read_sizes(tmp_path / "text")


@pytest.mark.parametrize("path", [idx_path, bin_path])
def test_truncated_or_missing_file_is_one_line(tmp_path, path):
    _write(tmp_path / "text", 31, SENTENCES)
    damaged = path(tmp_path / "text")
    damaged.write_bytes(damaged.read_bytes()[:-1])
    with pytest.raises(ResMLPError, match=r"(is truncated|does not match .*\.idx .*); prepare the data again"):
        read_indexed(tmp_path / "text")
    damaged.unlink()
    with pytest.raises(ResMLPError, match="is missing; prepare the data with `python -m data_prep`"):
        read_indexed(tmp_path / "text")
