"""Resumable output: no line is lost, no outdated file counts as finished, one job writes at a time."""

import io
import json
import resource

import pytest

from resmlp_mt.common.errors import ResMLPError
from resmlp_mt.translation.resumable import ResumableOutput, record_path
from resmlp_mt.translation.text.lines import LineReader

SETTINGS = {"model": "a", "beam size": 4}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "out.txt"


def reader(text: str = "1\n2\n3\n") -> LineReader:
    return LineReader(io.BufferedReader(io.BytesIO(text.encode())), "the input")


def run(output: ResumableOutput, lines: LineReader, windows: int = 3, **options) -> None:
    """Writes one line a window, and finishes at the end of the input."""
    try:
        output.open(lines, options.get("resume", False), options.get("overwrite", False))
        for _ in range(windows):
            if not (window := lines.read_window(1)):
                break
            output.write(f"{window[0]} done\n".encode(), lines)
        if not lines.read_window(1):
            output.finish()
    finally:
        output.close()


def refusal(output: ResumableOutput, lines: LineReader, **options) -> str:
    with pytest.raises(ResMLPError) as caught:
        run(output, lines, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def stale(output: ResumableOutput, lines: LineReader) -> str:
    with pytest.raises(ResMLPError) as caught:
        output.is_finished(lines)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_job_resumes_only_with_the_same_settings_and_input(path):
    run(ResumableOutput(path, SETTINGS), reader(), windows=1)
    partial = path.with_name("out.txt.partial")
    assert partial.read_text() == "1 done\n"
    assert "--resume continues it, --overwrite starts again" in refusal(ResumableOutput(path, SETTINGS), reader())
    other = ResumableOutput(path, {"model": "b", "beam size": 2})
    assert "model was a and is now b, beam size was 4 and is now 2" in refusal(other, reader(), resume=True)
    assert "the input has changed" in refusal(ResumableOutput(path, SETTINGS), reader("0\n2\n3\n"), resume=True)
    assert partial.read_text() == "1 done\n"
    run(ResumableOutput(path, SETTINGS), reader(), resume=True)
    assert path.read_text() == "1 done\n2 done\n3 done\n"
    assert not partial.exists()


def test_overwrite_restarts(path):
    run(ResumableOutput(path, SETTINGS), reader(), windows=1)
    record_path(path).write_text("damaged")
    assert "is damaged" in refusal(ResumableOutput(path, SETTINGS), reader(), resume=True)
    run(ResumableOutput(path, {"model": "b"}), reader(), overwrite=True)
    assert path.read_text() == "1 done\n2 done\n3 done\n"


@pytest.mark.parametrize(
    ("settings", "text", "message"),
    [
        (SETTINGS | {"beam size": 2}, "1\n2\n3\n", "belongs to another job: beam size was 4 and is now 2"),
        (SETTINGS, "1\n2\n", "from a different input"),
        (SETTINGS, "1\n2\n3\n4\n", "from a different input"),
        (SETTINGS, "1\n2\n0\n", "from a different input"),
    ],
)
def test_output_of_another_job_is_refused(path, settings, text, message):
    run(ResumableOutput(path, SETTINGS), reader())
    assert ResumableOutput(path, SETTINGS).is_finished(reader())
    assert message in stale(ResumableOutput(path, settings), reader(text))


def test_changed_or_unknown_output_is_refused(path):
    run(ResumableOutput(path, SETTINGS), reader())
    path.write_text("edited")
    assert "has changed since it was written" in stale(ResumableOutput(path, SETTINGS), reader())
    record_path(path).unlink()
    assert "has no job record" in stale(ResumableOutput(path, SETTINGS), reader())
    path.unlink()
    assert not ResumableOutput(path, SETTINGS).is_finished(reader())


def test_concurrent_jobs_are_refused(path):
    first = ResumableOutput(path, SETTINGS)
    first.open(reader(), resume=False, overwrite=False)
    for options in ({}, {"overwrite": True}):
        assert "another job is writing" in refusal(ResumableOutput(path, SETTINGS), reader(), **options)
    first.close()
    run(ResumableOutput(path, SETTINGS), reader())


def test_job_without_output_leaves_no_files(path, tmp_path):
    run(ResumableOutput(path, SETTINGS), reader(), windows=0)
    assert list(tmp_path.iterdir()) == []


def test_job_of_version_0_1_1_is_not_resumed(path):
    old = path.with_name("out.txt.progress")
    old.write_text(json.dumps({"job": "a", "lines": 1, "consumed": "b", "output_bytes": 2}))
    path.with_name("out.txt.partial").write_text("1 done\n")
    assert "job of version 0.1.1 or older" in refusal(ResumableOutput(path, SETTINGS), reader(), resume=True)
    run(ResumableOutput(path, SETTINGS), reader(), overwrite=True)
    assert not old.exists()
    old.write_text("a file of the user's")
    run(ResumableOutput(path, SETTINGS), reader())
    assert old.read_text() == "a file of the user's"


def test_partial_file_without_record_is_kept(path):
    partial = path.with_name("out.txt.partial")
    partial.write_text("precious")
    refusal(ResumableOutput(path, SETTINGS), reader())
    refusal(ResumableOutput(path, SETTINGS), reader(), resume=True)
    assert partial.read_text() == "precious"


def test_full_disk_keeps_the_written_lines(path):
    output, lines = ResumableOutput(path, SETTINGS), reader()
    output.open(lines, resume=False, overwrite=False)
    output.write(f"{lines.read_window(1)[0]} done\n".encode(), lines)
    _, most = resource.getrlimit(resource.RLIMIT_FSIZE)
    lines.read_window(1)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, most))
        with pytest.raises(ResMLPError, match="out.txt cannot be written.* make room, then give --resume"):
            output.write(bytes(20_000), lines)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
    output.close()
    run(ResumableOutput(path, SETTINGS), reader(), resume=True)
    assert path.read_text() == "1 done\n2 done\n3 done\n"


def test_symbolic_links_are_followed(path, tmp_path):
    target = tmp_path / "folder" / "target.txt"
    target.parent.mkdir()
    path.symlink_to(target)
    run(ResumableOutput(path, SETTINGS), reader())
    assert path.is_symlink()
    assert target.read_text().count("done") == 3
    assert ResumableOutput(target, SETTINGS).is_finished(reader())
    assert {left.name for left in tmp_path.iterdir()} == {"folder", "out.txt"}
