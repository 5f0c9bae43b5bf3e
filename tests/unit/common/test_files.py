"""Atomic file writes: a file is complete or absent."""

import os
import stat
import threading
from pathlib import Path

import pytest
from devices import device

from resmlp_mt.common.errors import ResMLPError
from resmlp_mt.common.files import check_outputs, whole_file, write_text


def test_path_below_file_is_one_line(tmp_path):
    (tmp_path / "file").write_text("kept")
    with pytest.raises(ResMLPError, match=r"file/new\.txt cannot be written"):
        write_text(tmp_path / "file" / "new.txt", "text")
    assert (tmp_path / "file").read_text() == "kept"


def test_failed_write_keeps_old_file(tmp_path):
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


@pytest.fixture
def umask():
    """A umask that differs from the usual one."""
    before = os.umask(0o027)
    yield 0o027
    os.umask(before)


@pytest.mark.usefixtures("umask")
def test_permissions_follow_umask(tmp_path):
    path = tmp_path / "file"
    with whole_file(path) as partial:
        partial.unlink()  # like safetensors, which renames another file to this name
        partial.touch(mode=0o600)
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


def test_symlink_is_kept_and_target_replaced(tmp_path):
    (tmp_path / "folder").mkdir()
    target, link, chain = tmp_path / "folder" / "target.txt", tmp_path / "link.txt", tmp_path / "chain.txt"
    link.symlink_to("folder/target.txt")
    chain.symlink_to(link)
    write_text(chain, "new")
    assert chain.is_symlink()
    assert link.is_symlink()
    assert target.read_text() == "new"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["chain.txt", "folder", "link.txt"]


def test_device_and_pipe_are_written_in_place(tmp_path):
    pipe, received = tmp_path / "pipe", []
    os.mkfifo(pipe)
    reader = threading.Thread(target=lambda: received.append(pipe.read_bytes()))
    reader.start()
    write_text(pipe, "text")
    reader.join()
    assert received == [b"text"]
    assert pipe.is_fifo()
    null = device(tmp_path, "null")
    write_text(null, "text")
    assert null.is_char_device()


def test_standard_output_by_path_appends(capfd):
    print("before")
    write_text(Path("/dev/stdout"), "between\n")
    write_text(Path("/dev/fd/1"), "between\n")
    print("after")
    assert capfd.readouterr().out == "before\nbetween\nbetween\nafter\n"


def test_full_device_is_one_line(tmp_path):
    with pytest.raises(ResMLPError, match=r"full cannot be written \(No space left on device\)"):
        write_text(device(tmp_path, "full"), "text")


def test_output_must_not_overwrite_input_or_other_output(tmp_path):
    source, hard, soft, other = (tmp_path / name for name in ("in.txt", "hard.txt", "soft.txt", "other.txt"))
    source.write_text("text")
    hard.hardlink_to(source)
    soft.symlink_to(source)
    for path in (source, hard, soft, tmp_path / "new" / ".." / "in.txt"):
        with pytest.raises(
            ResMLPError, match=r"--output must not overwrite .*, which --input reads; name another file"
        ):
            check_outputs({"--output": path}, {"--input": source})
    with pytest.raises(ResMLPError, match="--html must not overwrite .*other.txt, which --output writes"):
        check_outputs({"--output": other, "--html": other}, {"--input": source})
    partial = tmp_path / "other.txt.partial"
    with pytest.raises(ResMLPError, match="--output must not overwrite .*other.txt.partial, which --input reads"):
        check_outputs({"--output": other}, {"--input": partial})
    with pytest.raises(ResMLPError, match="--json must not overwrite .*, which MODEL reads"):
        check_outputs({"--json": source}, {"MODEL": [other, source]})
    check_outputs({"--output": other, "--html": None, "--json": tmp_path / "new" / "a"}, {"--input": source, "D": None})
    check_outputs({"--output": Path("/dev/null"), "--html": Path("/dev/null")}, {"--input": Path("/dev/null")})


def test_unwritable_output_is_reported_before_work(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("text")
    (tmp_path / "loop").symlink_to("loop")
    for path, message in (
        (tmp_path, "is a folder"),
        (tmp_path / "file" / "a" / "b", "is a file"),
        (tmp_path / "loop", "back to itself"),
    ):
        with pytest.raises(ResMLPError, match=f"--output .* {message}"):
            check_outputs({"--output": path}, {})
    monkeypatch.setattr(os, "access", lambda file, _mode: Path(file) != tmp_path)
    with pytest.raises(ResMLPError, match="the folder .* is write-protected"):
        check_outputs({"--output": tmp_path / "a" / "b"}, {})
    monkeypatch.setattr(os, "access", lambda file, _mode: Path(file).name != "file")
    with pytest.raises(ResMLPError, match="file is write-protected"):
        check_outputs({"--output": tmp_path / "file"}, {})
