"""The tokenizer gives a sentence the same tokens in data preparation, training and translation."""

import numpy as np
import pytest
from toy_bundles import data_folder

from resmlp_mt.common.errors import ResMLPError
from resmlp_mt.translation.text.dictionary import SPECIAL_TOKEN_NAMES, read_dictionary, write_dictionary
from resmlp_mt.translation.text.normalization import TextSettings
from resmlp_mt.translation.text.tokenizer import Tokenizer


@pytest.fixture(scope="module")
def sentences():
    return [*(data_folder() / "raw" / "train.src").read_text(encoding="utf-8").splitlines()[:31], "", "\u2603 ABC"]


@pytest.fixture(scope="module")
def tokenizer():
    return Tokenizer.from_model(data_folder() / "spm.model", TextSettings(), "en")


def test_encode_prepared_equals_encode(tokenizer, sentences):
    text = tokenizer.encode_prepared([tokenizer.prepare(sentence) for sentence in sentences])
    lists = [part.tolist() for part in np.split(text.tokens, np.cumsum(text.sizes)[:-1])]
    assert lists == tokenizer.encode(sentences)
    assert [len(pieces) + 1 for pieces in text.pieces] == text.sizes.tolist()


def test_pieces_are_independent_of_dictionary_order(tokenizer, sentences):
    data = data_folder()
    symbols = read_dictionary(data / "dict.src.txt")
    of_dictionary = Tokenizer((data / "spm.model").read_bytes(), symbols, TextSettings(), "en")
    for ours, theirs in zip(tokenizer.encode(sentences), of_dictionary.encode(sentences), strict=True):
        assert [tokenizer.symbols[token] for token in ours] == [symbols[token] for token in theirs]
    assert set(symbols) <= set(tokenizer.symbols)


def test_decode_inverts_encode(tokenizer, sentences):
    for sentence in sentences[:-1]:
        assert tokenizer.decode(tokenizer.encode([sentence])[0]) == sentence


def test_lossy_encoding_is_detected(tokenizer, sentences):
    text = tokenizer.encode_prepared(sentences[:2])
    assert not tokenizer.is_lossy(sentences[0], text.pieces[0])
    assert tokenizer.is_lossy(sentences[0], text.pieces[1])


def test_dictionary_round_trip(tmp_path):
    write_dictionary(tmp_path / "dict.en.txt", ["a", "b c"], [3, 0])
    assert read_dictionary(tmp_path / "dict.en.txt") == [*SPECIAL_TOKEN_NAMES, "a", "b c"]


@pytest.mark.parametrize("content", ["a\n", "a x\n", " 3\n"])
def test_invalid_dictionary_is_refused(tmp_path, content):
    path = tmp_path / "dict.en.txt"
    path.write_text(f"b 1\n{content}")
    with pytest.raises(ResMLPError, match="is not a fairseq dictionary: line 2 does not have the form SYMBOL COUNT"):
        read_dictionary(path)


def test_vocabulary_mismatch_is_refused():
    with pytest.raises(ResMLPError, match="have no piece in common; use the model"):
        Tokenizer((data_folder() / "spm.model").read_bytes(), [*SPECIAL_TOKEN_NAMES, "other"], TextSettings(), "en")
