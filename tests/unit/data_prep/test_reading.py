"""Readers: only the line feed ends a line, and every defect of a file is reported."""

import bz2
import gzip
import lzma

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_prep.formats import text_files as read
from data_prep.formats.sgm import read_iwslt_tags, read_sgm
from data_prep.formats.text_files import read_line_pairs, read_lines
from data_prep.formats.tsv_tmx import read_tmx, read_tsv
from resmlp_mt.common.errors import ResMLPError

ODD_CHARACTERS = "\r\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029\ufeff ,äß字"
COMPRESSORS = {"": bytes, ".gz": gzip.compress, ".xz": lzma.compress, ".bz2": bz2.compress}


@given(lines=st.lists(st.text(st.sampled_from("a" + ODD_CHARACTERS) | st.characters(codec="utf-8"), max_size=20)))
@settings(max_examples=60, deadline=None)
def test_round_trip_of_any_characters(tmp_path_factory, lines):
    lines = ["first", *(line.replace("\n", "") for line in lines)]
    path = tmp_path_factory.mktemp("read") / "text"
    path.write_bytes("".join(f"{line}\n" for line in lines).encode())
    assert list(read_lines(path)) == lines


@pytest.mark.parametrize("ending", COMPRESSORS)
def test_compressed_files_give_same_lines(tmp_path, ending):
    path = tmp_path / f"text{ending}"
    path.write_bytes(COMPRESSORS[ending]("eins\r\nzwei\u2028drei\n".encode()))
    assert list(read_lines(path)) == ["eins\r", "zwei\u2028drei"]


def test_zstandard(tmp_path):
    zstandard = pytest.importorskip("zstandard")
    path = tmp_path / "text.zst"
    path.write_bytes(zstandard.compress(b"one\ntwo\n"))
    assert list(read_lines(path)) == ["one", "two"]
    path.write_bytes(zstandard.compress(b"one\ntw") + zstandard.compress(b"o\n"))
    assert list(read_lines(path)) == ["one", "two"]
    path.write_bytes(zstandard.compress(b"one\ntwo\n" * 999)[:-9])
    with pytest.raises(ResMLPError, match="damaged or truncated"):
        list(read_lines(path))


def test_lines_across_block_boundaries(tmp_path, monkeypatch):
    monkeypatch.setattr(read, "_BLOCK_BYTES", 7)
    lines = ["ä" * length for length in range(40)]
    path = tmp_path / "text"
    path.write_bytes("".join(f"{line}\n" for line in lines).encode())
    assert list(read_lines(path)) == lines


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-be", "utf-32", "utf-32-be"])
@pytest.mark.parametrize("errors", ["strict", "surrogateescape"])
def test_other_encodings_are_named(tmp_path, encoding, errors):
    path = tmp_path / "text"
    path.write_bytes("\ufeffone\ntwo\n".encode(encoding))
    message = f"text is not UTF-8: it begins with the byte-order mark of {encoding[:6].upper()}; convert it with"
    with pytest.raises(ResMLPError, match=message):
        list(read_lines(path, errors))


def test_last_line_needs_no_line_feed(tmp_path):
    path = tmp_path / "text"
    path.write_bytes(b"one\ntwo")
    assert list(read_lines(path)) == ["one", "two"]


def test_empty_file_has_no_lines(tmp_path):
    path = tmp_path / "text"
    path.write_bytes(b"")
    assert list(read_lines(path)) == []


def test_only_leading_byte_order_mark_is_dropped(tmp_path):
    path = tmp_path / "text"
    path.write_bytes("\ufeffone\n\ufefftwo\n".encode())
    assert list(read_lines(path)) == ["one", "\ufefftwo"]


def test_invalid_bytes_report_file_and_line(tmp_path, monkeypatch):
    monkeypatch.setattr(read, "_BLOCK_BYTES", 10)
    path = tmp_path / "text"
    path.write_bytes(b"one\ntwo\nthree\nfour\nfi\xffve\nsix\n")
    with pytest.raises(ResMLPError, match=r"text is not UTF-8: line 5 holds the byte 0xff"):
        list(read_lines(path))


def test_invalid_bytes_pass_with_surrogateescape(tmp_path):
    path = tmp_path / "text"
    path.write_bytes(b"one\nfi\xffve\n")
    assert list(read_lines(path, errors="surrogateescape")) == ["one", "fi\udcffve"]


@pytest.mark.parametrize("ending", [b"", b"\n", b"\nshort\n"])
def test_too_long_line_is_refused_by_number(tmp_path, ending):
    path = tmp_path / "text"
    path.write_bytes(b"one\n" + b"a" * 10_000_000 + ending)
    with pytest.raises(ResMLPError, match=r"line 2 is longer than 1,000,000 bytes"):
        list(read_lines(path))


def test_decompression_bomb_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(read, "ALWAYS_ALLOWED_BYTES", 1 << 20)
    path = tmp_path / "text.gz"
    path.write_bytes(gzip.compress(b"a\n" * 2_000_000))
    with pytest.raises(ResMLPError, match="expands to more than 200 times its size"):
        sum(1 for _ in read_lines(path))


@pytest.mark.parametrize("ending", [".gz", ".xz", ".bz2"])
def test_truncated_file_is_an_error(tmp_path, ending):
    path = tmp_path / f"text{ending}"
    compressed = COMPRESSORS[ending]("".join(f"{number}\n" for number in range(99_999)).encode())
    path.write_bytes(compressed[: len(compressed) // 2])
    with pytest.raises(ResMLPError, match="damaged or truncated"):
        list(read_lines(path))


def test_different_line_counts_are_reported(tmp_path):
    (tmp_path / "a.en").write_bytes(b"1\n2\n3\n")
    (tmp_path / "a.de").write_bytes(b"1\n2\n3\n4\n5\n")
    with pytest.raises(ResMLPError, match=r"a\.en and .*a\.de have different numbers of lines, 3 and 5"):
        list(read_line_pairs(tmp_path / "a.en", tmp_path / "a.de"))
    with pytest.raises(ResMLPError, match=r"a\.en and .*a\.de have different numbers of lines, 3 and 5"):
        list(read_line_pairs(tmp_path / "a.de", tmp_path / "a.en"))


def test_tsv_reads_two_columns_and_requires_a_tab(tmp_path):
    path = tmp_path / "a.tsv"
    path.write_bytes(b"one\teins\nthe two\tzwei\tanything\n")
    assert list(read_tsv(path)) == [("one", "eins"), ("the two", "zwei")]
    path.write_bytes(b"one\teins\ntwo zwei\n")
    with pytest.raises(ResMLPError, match="line 2 of .* has no tab"):
        list(read_tsv(path))


TMX = """<?xml version="1.0"?><!DOCTYPE tmx SYSTEM "tmx14.dtd"><tmx version="1.4"><header/><body>
<tu><tuv xml:lang="EN-GB"><seg>Save &amp; <bpt i="1">b</bpt>close</seg></tuv>
<tuv xml:lang="de"><seg>Sichern</seg></tuv></tu>
<tu><tuv xml:lang="en"><seg>No German</seg></tuv><tuv xml:lang="fr"><seg>Non</seg></tuv></tu>
<tu><tuv lang="de_AT"><seg>Zwei
Zeilen</seg></tuv><tuv lang="en"><seg>Two lines</seg></tuv></tu>
</body></tmx>"""


def test_tmx_reads_units_with_both_languages(tmp_path):
    path = tmp_path / "a.tmx"
    path.write_text(TMX, encoding="utf-8")
    assert list(read_tmx(path, "en", "de")) == [("Save & bclose", "Sichern"), ("Two lines", "Zwei Zeilen")]


def test_malformed_tmx_reports_line(tmp_path):
    path = tmp_path / "a.tmx"
    path.write_text(TMX.replace("</tu>", "", 1), encoding="utf-8")
    with pytest.raises(ResMLPError, match="is not well-formed TMX .*line 7"):
        list(read_tmx(path, "en", "de"))


def test_tmx_entity_expansion_is_refused(tmp_path):
    entities = "".join(f'<!ENTITY e{n + 1} "{f"&e{n};" * 10}">' for n in range(9))
    unit = '<tu><tuv lang="en"><seg>&e9;</seg></tuv></tu>'
    bomb = f'<!DOCTYPE tmx [<!ENTITY e0 "lol">{entities}]><tmx><body>{unit}</body></tmx>'
    path = tmp_path / "a.tmx"
    path.write_text(bomb, encoding="utf-8")
    with pytest.raises(ResMLPError, match="is not well-formed TMX"):
        list(read_tmx(path, "en", "de"))


def test_sgm_equals_sacrebleu(tmp_path):
    from sacrebleu.dataset.fake_sgml import FakeSGMLDataset

    segments = '<seg id="1">One &amp; two,  three. </seg>\n<p>\n<seg id="2"> Vier\u00a0! </seg>\n'
    sgm = f'<srcset><doc id="a">\n{segments}</doc>\n'
    path, plain = tmp_path / "a.sgm", tmp_path / "plain"
    path.write_text(sgm, encoding="utf-8")
    FakeSGMLDataset("toy")._convert_format(str(path), str(plain))
    expected = plain.read_text(encoding="utf-8").splitlines()
    assert [src for src, _ in read_sgm(path, path)] == expected == ["One &amp; two, three.", "Vier !"]


def test_sgm_of_different_sizes_is_refused(tmp_path):
    for name, count in (("src", 3), ("ref", 2)):
        (tmp_path / name).write_text("".join(f'<seg id="{n}">a</seg>\n' for n in range(count)), encoding="utf-8")
    with pytest.raises(ResMLPError, match="different numbers of segments, 3 and 2"):
        list(read_sgm(tmp_path / "src", tmp_path / "ref"))


def test_iwslt_keeps_titles_and_drops_metadata(tmp_path):
    for lang in ("en", "de"):
        metadata = "<url>http://x</url>\n<keywords>a, b</keywords>\n<talkid>1</talkid>\n"
        text = f"<title>Title {lang}</title>\n Line {lang} \n"
        (tmp_path / lang).write_text(metadata + text, encoding="utf-8")
    pairs = list(read_iwslt_tags(tmp_path / "en", tmp_path / "de"))
    assert pairs == [("Title en", "Title de"), ("Line en", "Line de")]
