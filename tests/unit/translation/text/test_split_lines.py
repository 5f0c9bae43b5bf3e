"""Splitting, joining and reading lose no text."""

import gzip
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resmlp_mt.common.errors import ResMLPError
from resmlp_mt.translation.text.lines import LineReader, open_input, read_lines
from resmlp_mt.translation.text.splitting import join_translations, split_to_fit

MARKS = st.sampled_from(list("ab ..!?,;:\"')\u3002\u3001\uff01\u2026\u00a0\t\r\u2028\u0085\u05d0\u0627\U0001f600\x00"))
TEXT = st.one_of(st.text(MARKS, max_size=60), st.text(max_size=60))


@given(TEXT, st.integers(1, 9))
def test_pieces_fit_and_concatenate_to_the_text(text, most):
    pieces = split_to_fit(text, lambda piece: len(piece) <= most)
    assert "".join(pieces) == text
    assert all(0 < len(piece) <= most for piece in pieces if text)


@given(TEXT)
def test_short_text_is_not_split(text):
    assert split_to_fit(text, lambda _piece: True) == [text]


def test_split_at_sentences_then_clauses_then_spaces():
    def fits(piece):
        return len(piece.split()) <= 4

    text = 'One two. "Three four five!" Six seven eight, nine ten eleven. A b c d e f.'
    assert split_to_fit(text, fits) == [
        "One two. ",
        '"Three four five!" ',
        "Six seven eight, ",
        "nine ten eleven. ",
        "A b c ",
        "d e f.",
    ]


def test_east_asian_text_is_split_without_spaces():
    assert split_to_fit("\u4f60\u597d\u3002\u4e16\u754c\uff01\u518d\u89c1", lambda piece: len(piece) <= 3) == [
        "\u4f60\u597d\u3002",
        "\u4e16\u754c\uff01",
        "\u518d\u89c1",
    ]


def test_translations_are_joined_with_the_sentence_separator():
    assert join_translations(["A. ", "B."], ["X.", "Y."], " ") == "X. Y."
    assert join_translations(["A. ", "B."], ["X.", "Y."], "") == "X.Y."
    assert join_translations(["abc", "def"], ["xyz", "uvw"], " ") == "xyzuvw"
    assert join_translations(["A. ", " ", "B."], ["X.", "", "Y."], " ") == "X. Y."


@given(
    st.lists(st.binary(max_size=20).map(lambda line: line.replace(b"\n", b"")), max_size=12), st.booleans(), st.data()
)
def test_only_line_feeds_end_lines(lines, ends_in_line_feed, data):
    content = b"\n".join(lines) + b"\n" * (ends_in_line_feed and bool(lines))
    expected = content.split(b"\n")[:-1] if content.endswith(b"\n") or not content else content.split(b"\n")
    reader = LineReader(io.BufferedReader(io.BytesIO(content), buffer_size=3), "it", say=lambda _message: None)
    lines_read = []
    while window := reader.read_window(data.draw(st.integers(1, 4)), wait=data.draw(st.booleans())):
        lines_read += window
    decoded = [line.decode("utf-8", "replace") for line in expected]
    assert lines_read == [line.removeprefix("\ufeff") if number == 0 else line for number, line in enumerate(decoded)]
    assert reader.lines == len(expected)


def test_invalid_utf8_is_reported_or_refused():
    messages: list[str] = []
    reader = LineReader(io.BytesIO(b"a\n\xff\xfeb\n"), "it", say=messages.append)
    assert reader.read_window(9) == ["a", "\ufffd\ufffdb"]
    assert messages == ["line 2 of it is not UTF-8 (byte 0xff): invalid bytes were replaced"]
    with pytest.raises(ResMLPError, match=r"line 2 of it is not UTF-8 \(byte 0xff\)"):
        LineReader(io.BytesIO(b"a\n\xff\n"), "it", errors="error").read_window(9)


def test_gzip_is_read_and_damaged_files_are_refused(tmp_path):
    path = tmp_path / "a.gz"
    path.write_bytes(gzip.compress(b"one\rline\nand two\x00\n\nlast"))
    assert read_lines(path) == ["one\rline", "and two\x00", "", "last"]
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(ResMLPError, match="is damaged"):
        read_lines(path)
    with pytest.raises(ResMLPError, match="cannot be read"):
        open_input(tmp_path / "missing")


def test_window_size_is_bounded():
    reader = LineReader(io.BytesIO(b"x" * 3_000_000 + b"\n" + b"y" * 3_000_000 + b"\n" + b"z\n"), "it")
    assert [len(line) for line in reader.read_window(2048)] == [3_000_000, 3_000_000]
    assert reader.read_window(2048) == ["z"]
    with pytest.raises(ResMLPError, match="line 1 of it is longer than"):
        LineReader(io.BytesIO(b"x" * 17_000_000), "it").read_window(9)
