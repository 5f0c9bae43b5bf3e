"""An interrupted run leaves no partial files, and the next run finishes with the same result."""

import errno
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from toy_corpora import contents, make_pairs, write_pairs

from data_prep.command_line import main
from data_prep.stages import cleaning
from resmlp_mt.common import files


@pytest.fixture
def small_blocks(monkeypatch):
    """Blocks of 250 pairs, so that there are several to stop between."""
    monkeypatch.setattr(cleaning, "CHUNK_PAIRS", 50)
    monkeypatch.setattr(cleaning, "BLOCK_PAIRS", 250)


def _count_files(prepare, monkeypatch):
    """The number of files that a complete run writes, and its result."""
    targets = []
    replace = Path.replace

    def counting(path, target):
        targets.append(target)
        return replace(path, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", counting)
        out = prepare("--shard-pairs", "400", name="whole")
    return len(targets), contents(out)


def _fail_at(patch, number, error):
    """Raises the error when file `number` is renamed to its final name."""
    replace = Path.replace
    left = [number]

    def failing(path, target):
        left[0] -= 1
        if left[0] < 0:
            raise error
        return replace(path, target)

    patch.setattr(Path, "replace", failing)


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize(
    ("error", "status", "message"),
    [
        (KeyboardInterrupt(), 130, "interrupted; run the same command again to continue"),
        (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), 2, "No space left on device"),
    ],
    ids=["interrupt", "disk full"],
)
def test_stop_at_any_file_leaves_no_partial_file(prepare, monkeypatch, capsys, error, status, message):
    count, whole = _count_files(prepare, monkeypatch)
    assert count > 30
    for number in range(0, count, 2):
        with monkeypatch.context() as patch:
            _fail_at(patch, number, error)
            out = prepare("--shard-pairs", "400", name=f"stopped{number}", status=status)
        lines = [line for line in capsys.readouterr().err.splitlines() if not line.startswith("[")]
        assert len(lines) == 1
        assert message in lines[0]
        assert not list(out.rglob("*.partial"))
        assert not (out / "manifest.json").exists()
        prepare("--shard-pairs", "400", name=f"stopped{number}")
        assert contents(out) == whole


@pytest.mark.usefixtures("small_blocks")
def test_repeatedly_stopped_run_makes_progress(prepare, monkeypatch):
    _, whole = _count_files(prepare, monkeypatch)
    status, runs = 130, 0
    while status != 0:
        with monkeypatch.context() as patch:
            _fail_at(patch, 7, KeyboardInterrupt())
            try:
                out = prepare("--shard-pairs", "400")
                status = 0
            except AssertionError:
                runs += 1
        assert runs < 20
    assert runs > 3
    assert contents(out) == whole


def test_partial_files_of_a_killed_run_are_removed(prepare, monkeypatch):
    with monkeypatch.context() as patch:
        _fail_at(patch, 20, KeyboardInterrupt())
        out = prepare(status=130)
    (out / f"train.en-de.en.bin{files.PARTIAL_SUFFIX}").write_bytes(b"half")
    prepare()
    assert not list(out.rglob("*.partial"))


def test_changed_input_restarts_an_interrupted_run(prepare, corpus, monkeypatch):
    with monkeypatch.context() as patch:
        _fail_at(patch, 20, KeyboardInterrupt())
        prepare(status=130)
    write_pairs(corpus, "train", make_pairs(300, seed=9))
    out = prepare()
    assert contents(out) == contents(prepare(name="fresh"))


def test_work_folder_is_removed_at_the_end(prepare):
    assert not (prepare() / ".work").exists()


def test_concurrent_runs_are_refused(prepare, capsys):
    import fcntl

    with pytest.MonkeyPatch.context() as patch:
        _fail_at(patch, 20, KeyboardInterrupt())
        out = prepare(status=130)
    with (out / ".work" / "lock").open("wb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        prepare(status=2)
    assert "another run is preparing" in capsys.readouterr().err


@pytest.fixture(scope="module")
def large_corpus(tmp_path_factory):
    """Training text that takes some seconds."""
    folder = tmp_path_factory.mktemp("large")
    write_pairs(folder, "train", make_pairs(20_000))
    return folder


_SIGN_OF = {"clean": ".work/clean/*.partial", "vocabulary": ".work/sample", "binarise": "train.*.bin.partial"}


@pytest.mark.parametrize("step", _SIGN_OF)
def test_interrupt_of_the_process_group_is_one_line(large_corpus, tmp_path, step):
    args = ["files", "--pair", "en-de", "--from-dir", str(large_corpus), "--out", str(tmp_path / "out")]
    command = [sys.executable, "-m", "data_prep", *args, "--workers", "2", "--vocab-size", "401"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        _wait_for(tmp_path / "out", _SIGN_OF[step], process)
        os.killpg(process.pid, signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    lines = [line for line in errors.splitlines() if not line.startswith("[")]
    assert process.returncode == 130
    assert lines == ["data_prep: interrupted; run the same command again to continue"]
    assert not list((tmp_path / "out").rglob("*.partial"))
    assert main([*args, "--workers", "1", "--vocab-size", "401"]) == 0


def _wait_for(folder, pattern, process):
    while process.poll() is None:
        if list(folder.glob(pattern)):
            return
        time.sleep(0.002)
    raise AssertionError("the run ended before the step")
