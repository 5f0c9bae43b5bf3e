"""Shortlists: Marian's file format, IBM model 1, coverage, and translations that use them."""

import random
import struct

import numpy as np
import pytest
from toy_bundles import data_folder, raw_lines, write_bundle

from resmlp_mt.cli.main import main
from resmlp_mt.common.errors import ResMLPError
from resmlp_mt.translation.engine.native import library
from resmlp_mt.translation.engine.shortlist import Shortlist, read_shortlist
from resmlp_mt.translation.lexicon import build_shortlist, estimate_lexicon, measure_coverage, read_pairs
from resmlp_mt.translation.search.settings import SearchSettings
from resmlp_mt.translation.translator import Translator

needs_engine = pytest.mark.skipif(not library.available(), reason="the engine was not compiled")
LISTS = [[], [], [9, 5, 9], [], [7], [12, 4, 8]]


@pytest.fixture
def path(tmp_path):
    Shortlist.from_lists(4, 3, LISTS).write(tmp_path / "lex.bin")
    return tmp_path / "lex.bin"


def marian_hash(words):
    """The loop of marian-dev's `hashMem`, with wrapping 64-bit arithmetic of NumPy."""
    seed = np.uint64(0)
    with np.errstate(over="ignore"):
        for word in words:
            seed ^= np.uint64(word) + np.uint64(0x9E3779B9) + (seed << np.uint64(6)) + (seed >> np.uint64(2))
    return int(seed)


def test_file_has_marians_format(path):
    content = path.read_bytes()
    magic, checksum, first, best, offsets, words = struct.unpack_from("<6Q", content)
    assert (magic, first, best, offsets, words) == (0xF11A48D5013417F5, 4, 3, 7, 6)
    assert struct.unpack_from("<7Q", content, 48) == (0, 0, 0, 2, 2, 3, 6)
    assert struct.unpack_from("<6I", content, 48 + 56) == (5, 9, 7, 4, 8, 12)
    body = content[16:]
    assert checksum == marian_hash(struct.unpack(f"<{len(body) // 8}Q", body))


def test_list_of_sentence_is_union(path):
    shortlist = read_shortlist(path, 6, 13)
    assert shortlist.words_of([4, 2]).tolist() == [0, 1, 2, 3, 5, 7, 9]
    assert shortlist.words_of([5, 5, 2], also=[11]).tolist() == [0, 1, 2, 3, 4, 5, 8, 9, 11, 12]


def test_other_or_damaged_files_are_refused(path):
    whole = path.read_bytes()
    changed = bytearray(whole)
    changed[-1] ^= 1
    crossed = bytearray(whole)
    crossed[48 + 8 : 48 + 16] = struct.pack("<Q", 5)
    body = bytes(crossed[16:])
    crossed[8:16] = struct.pack("<Q", marian_hash(struct.unpack(f"<{len(body) // 8}Q", body)))
    for content, sizes, message in (
        (b"", (6, 13), "is not a binary shortlist"),
        (b"x" * 200, (6, 13), "is not a binary shortlist"),
        (whole[:-4], (6, 13), "is truncated"),
        (whole + b"1234", (6, 13), "data behind its end"),
        (bytes(changed), (6, 13), "its checksum is wrong"),
        (bytes(crossed), (6, 13), "its offsets are not in order"),
        (whole, (7, 13), "is for other vocabularies"),
        (whole, (6, 12), "is for other vocabularies"),
    ):
        path.write_bytes(content)
        with pytest.raises(ResMLPError, match=message):
            read_shortlist(path, *sizes)
    path.unlink()
    with pytest.raises(ResMLPError, match=r"lex.bin"):
        read_shortlist(path, 6, 13)


def corpus(count, seed=1):
    """Sentence pairs whose target is the source in reverse, each token plus 50, with its end."""
    generator = random.Random(seed)
    sources = [generator.choices(range(4, 40), k=generator.randrange(1, 9)) for _ in range(count)]
    return (
        [np.array([*source, 2]) for source in sources],
        [np.array([*(token + 50 for token in reversed(source)), 2]) for source in sources],
    )


def test_lexicon_finds_translations():
    sources, targets = corpus(600)
    lexicon = estimate_lexicon(sources, targets, vocab_size=100)
    shortlist = build_shortlist(lexicon, targets, 60, frequent=2, best=1, is_joint=False)
    for token in range(4, 40):
        words = shortlist.words[int(shortlist.offsets[token]) : int(shortlist.offsets[token + 1])]
        assert words.tolist() == [token + 50]
    sums = np.bincount(lexicon.keys // 100, lexicon.probabilities)
    assert np.allclose(sums[sums > 0], 1)
    coverage = measure_coverage(shortlist, *corpus(50, seed=2))
    assert coverage.tokens == coverage.sentences == 1


def test_coverage_counts_missing_tokens():
    shortlist = Shortlist.from_lists(4, 1, [[], [], [8], [], [9], []])
    coverage = measure_coverage(
        shortlist, [np.array([4, 2]), np.array([5, 2])], [np.array([9, 8, 2]), np.array([9, 2])]
    )
    assert (coverage.tokens, coverage.sentences, coverage.words) == (0.8, 0.5, 5.5)


def test_pairs_are_spread_over_the_data():
    whole = read_pairs([data_folder()], ("src", "tgt"), "train")
    some = read_pairs([data_folder()], ("src", "tgt"), "train", 40)
    assert (len(whole[0]), len(some[0])) == (200, 40)
    assert [a.tolist() for a in some[1]] == [a.tolist() for a in whole[1][::5]]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return write_bundle(tmp_path_factory.mktemp("bundle"))


@pytest.fixture
def shortlist(tmp_path, capsys):
    args = ["shortlist", str(data_folder()), "--out", str(tmp_path / "lex.bin"), "--best", "10", "--frequent", "5"]
    assert main(args) == 0
    assert "from 200 sentence pairs" in capsys.readouterr().out
    return tmp_path / "lex.bin"


@needs_engine
def test_translations_have_words_of_their_lists_only(bundle, tmp_path):
    full = Translator.from_pretrained(bundle, dtype="int8")
    symbols = full.target.symbols
    lists = [[20, 21] if token == 2 else [] for token in range(len(full.source.symbols))]
    Shortlist.from_lists(4, 2, lists).write(tmp_path / "lex.bin")
    translations = Translator.from_pretrained(bundle, dtype="int8", shortlist=tmp_path / "lex.bin").translate(
        raw_lines()
    )
    allowed = set("".join(symbols[20:22]))
    assert all(set(text.replace(" ", "")) <= allowed for text in translations)
    assert translations != full.translate(raw_lines())


@needs_engine
def test_translations_with_shortlist_do_not_depend_on_batch(bundle, shortlist):
    lines = raw_lines() * 2
    translator = Translator.from_pretrained(bundle, dtype="int8", shortlist=shortlist)
    assert [translator.translate([line])[0] for line in lines] == translator.translate(lines)


@needs_engine
def test_complete_shortlist_changes_nothing(bundle, tmp_path):
    full = Translator.from_pretrained(bundle, dtype="int8")
    sizes = len(full.source.symbols), len(full.target.symbols)
    Shortlist.from_lists(sizes[1], 0, [[]] * sizes[0]).write(tmp_path / "all.bin")
    translator = Translator.from_pretrained(bundle, dtype="int8", shortlist=tmp_path / "all.bin")
    assert translator.translate(raw_lines()) == full.translate(raw_lines())
    assert translator.identity != full.identity


@needs_engine
def test_shortlist_where_it_has_no_effect_is_refused(bundle, shortlist):
    with pytest.raises(ResMLPError, match="a shortlist is for int8, not for float32"):
        Translator.from_pretrained(bundle, shortlist=shortlist)
    with pytest.raises(ResMLPError, match="a shortlist is for one model"):
        Translator.from_pretrained(bundle, bundle, dtype="int8", shortlist=shortlist)
    translator = Translator.from_pretrained(bundle, dtype="int8", shortlist=shortlist)
    with pytest.raises(ResMLPError, match="a shortlist requires plain beam search"):
        translator.translate(raw_lines(), settings=SearchSettings(sampling=True, max_len_b=9))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (["--best", "0"], "--best must be at least 1, but is 0"),
        (["--frequent", "-1"], "--frequent must be at least 0, but is -1"),
        (["--max-pairs", "0"], "--max-pairs must be at least 1, but is 0"),
    ],
)
def test_invalid_options_are_one_line(change, message, tmp_path, capsys):
    assert main(["shortlist", str(data_folder()), "--out", str(tmp_path / "lex.bin"), *change]) == 2
    assert message in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
    assert main(["shortlist", str(tmp_path / "none"), "--out", str(tmp_path / "lex.bin")]) == 2
    assert "none does not exist" in capsys.readouterr().err
