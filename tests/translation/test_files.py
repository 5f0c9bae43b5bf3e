"""Files that are whole or absent."""

import pytest

from resmlp_mt.errors import ResMLPError
from resmlp_mt.files import whole_file, write_text


def test_a_place_below_a_file_is_named_in_one_line(tmp_path):
    (tmp_path / "file").write_text("kept")
    with pytest.raises(ResMLPError, match=r"file/new\.txt must be writable"):
        write_text(tmp_path / "file" / "new.txt", "text")
    assert (tmp_path / "file").read_text() == "kept"


def test_what_fails_in_the_middle_leaves_the_old_file_and_no_part_of_the_new(tmp_path):
    path = tmp_path / "kept.txt"
    path.write_text("old")

    def fail() -> None:
        with whole_file(path) as partial:
            partial.write_text("half")
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]
