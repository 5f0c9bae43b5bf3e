"""Files of data sets follow links, keep devices, and report a full disk, as all others."""

import pytest
from devices import device

from data_prep.files import write_text
from resmlp_mt.common.errors import ResMLPError


def test_a_link_stays_and_its_target_is_written(tmp_path):
    link, target = tmp_path / "link", tmp_path / "target"
    link.symlink_to(target)
    write_text(link, "text")
    assert link.is_symlink()
    assert target.read_text() == "text"


def test_a_device_stays_and_a_full_one_is_one_line(tmp_path):
    null = device(tmp_path, "null")
    write_text(null, "text")
    assert null.is_char_device()
    with pytest.raises(ResMLPError, match=r"full must be writable, but is not \(No space left on device\)"):
        write_text(device(tmp_path, "full"), "text")
