"""`open_whole_file` follows symlinks, keeps devices and reports a full disk."""

from pathlib import Path

import pytest
from devices import device

from resmlp_mt.common.errors import ResMLPError
from resmlp_mt.common.files import open_whole_file


def write(path: Path) -> None:
    with open_whole_file(path) as file:
        file.write(b"text")


def test_symlink_is_kept_and_target_written(tmp_path):
    link, target = tmp_path / "link", tmp_path / "target"
    link.symlink_to(target)
    write(link)
    assert link.is_symlink()
    assert target.read_text() == "text"


def test_device_is_kept_and_full_device_is_one_line(tmp_path):
    null = device(tmp_path, "null")
    write(null)
    assert null.is_char_device()
    with pytest.raises(ResMLPError, match=r"full cannot be written \(No space left on device\)"):
        write(device(tmp_path, "full"))
