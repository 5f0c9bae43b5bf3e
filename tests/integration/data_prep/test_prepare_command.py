"""Bad input gives one error line and exit status 2; the next run, with repaired input, finishes."""

import gzip
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from toy_corpora import contents, make_pairs, write_pairs

from data_prep.command_line import main


def _break_length(corpus):
    write_pairs(corpus, "train", make_pairs(100))
    (corpus / "train.de").write_bytes(b"eins\n" * 99)


def _break_bytes(corpus):
    (corpus / "train.en").write_bytes(bytes(range(256)) * 99)


def _break_line(corpus):
    (corpus / "train.en").write_bytes(b"a" * 10_000_000)


def _break_compression(corpus):
    packed = gzip.compress((corpus / "train.en").read_bytes())
    (corpus / "train.en.gz").write_bytes(packed[:-99])
    (corpus / "train.en").unlink()


def _break_by_emptying(corpus):
    write_pairs(corpus, "train", [("same", "same")] * 99)


def _break_valid(corpus):
    with (corpus / "valid.de").open("ab") as file:
        file.write(b"\xff\n")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (_break_length, "have different numbers of lines, 99 and 100"),
        (_break_bytes, "is not UTF-8: line 2 holds the byte 0x80"),
        (_break_line, "line 1 is longer than 1,000,000 bytes"),
        (_break_compression, "damaged or truncated"),
        (_break_by_emptying, "every one was removed"),
        (_break_valid, "valid.de is not UTF-8: line 24 holds the byte 0xff"),
    ],
)
@pytest.mark.parametrize("workers", ["1", "2"])
def test_damaged_input_is_one_line_and_can_be_repaired(prepare, corpus, capsys, damage, message, workers):
    whole = contents(prepare(name="whole"))
    kept = {path: path.read_bytes() for path in corpus.iterdir()}
    damage(corpus)
    out = prepare("--workers", workers, status=2)
    lines = [line for line in capsys.readouterr().err.splitlines() if not line.startswith("[")]
    assert len(lines) == 1
    assert message in lines[0]
    assert not (out / "manifest.json").exists()
    assert not list(out.rglob("*.partial"))
    for path in corpus.iterdir():
        path.unlink()
    for path, content in kept.items():
        path.write_bytes(content)
    assert contents(prepare("--workers", workers)) == whole


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--pair", "en"], "--pair must be SRC-TGT, for example en-de, but is 'en'"),
        (["--pair", "en-en"], "--pair must name two different languages"),
        (["--pair", "en-de"], "requires --train or --from-dir"),
        (["--pair", "en-de", "--train", "missing"], "missing.en is missing"),
        (["--pair", "en-de", "--train", "missing.tsv"], "missing.tsv"),
        (["--pair", "en-de", "--train", "x", "--bpe-dropout", "2"], "--bpe-dropout must be from 0 to 1, but is 2.0"),
        (["--pair", "en-de", "--train", "x", "--dropout-copies", "2"], "--dropout-copies 2 requires --bpe-dropout"),
        (["--pair", "en-de", "--train", "x", "--sentencepiece-model", "gone.model"], "gone.model"),
        (
            ["--pair", "en-de", "--train", "x", "--overrides", "gone.json"],
            "gone.json cannot be read as JSON",
        ),
        (["--pair", "en-de", "--from-dir", "nowhere"], "nowhere/train.en is missing"),
    ],
)
def test_invalid_arguments_are_one_line(tmp_path, monkeypatch, capsys, args, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "x.en").write_text("a\n", encoding="utf-8")
    (tmp_path / "x.de").write_text("b\n", encoding="utf-8")
    assert main(["files", *args, "--out", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert message in error


def test_own_text_is_refused_for_a_known_corpus(tmp_path, capsys):
    assert main(["demo", "--pair", "en-de", "--out", str(tmp_path / "out"), "--train", "x"]) == 2
    assert "are options of the corpus `files`; leave them out for demo" in capsys.readouterr().err


@pytest.mark.parametrize(("count", "joint"), [(2, "--joint"), (1, "--no-joint")])
def test_wrong_number_of_models_is_refused(prepare, model, capsys, count, joint):
    prepare(*(["--sentencepiece-model", str(model)] * count), joint, use_model=False, status=2)
    assert "--sentencepiece-model is given" in capsys.readouterr().err


def test_invalid_model_is_refused(prepare, corpus, capsys):
    prepare("--sentencepiece-model", str(corpus / "train.en"), use_model=False, status=2)
    assert "cannot be read as a sentencepiece model" in capsys.readouterr().err


@pytest.mark.parametrize("kilobytes", [2, 20, 60, 200])
def test_failed_write_is_one_line(corpus, tmp_path, kilobytes):
    """A limit on the size of files stands in for a full disk: writes fail in Python and in sentencepiece."""

    def limit():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (kilobytes << 10, kilobytes << 10))

    args = ["files", "--pair", "en-de", "--from-dir", str(corpus), "--out", str(tmp_path / "out")]
    args += ["--vocab-size", "350"]
    command = [sys.executable, "-m", "data_prep", *args]
    finished = subprocess.run(
        command, capture_output=True, text=True, preexec_fn=limit, env={**os.environ, "OMP_NUM_THREADS": "1"}
    )
    lines = [line for line in finished.stderr.splitlines() if not line.startswith("[")]
    assert finished.returncode == 2
    assert len(lines) == 1
    assert not (tmp_path / "out" / "manifest.json").exists()
    assert main(args) == 0


def test_full_stdout_is_one_line(prepare, monkeypatch, capsys):
    out = prepare()
    capsys.readouterr()
    with Path("/dev/full").open("w") as full:
        monkeypatch.setattr(sys, "stdout", full)
        prepare(status=2)
    lines = [line for line in capsys.readouterr().err.splitlines() if not line.startswith("[")]
    assert len(lines) == 1
    assert "standard output cannot be written (No space left on device)" in lines[0]
    assert (out / "manifest.json").exists()


def test_help_names_every_corpus_and_default(capsys):
    with pytest.raises(SystemExit):
        main(["--help"])
    text = capsys.readouterr().out
    for name in ("wmt14", "iwslt14", "multi30k", "tatoeba", "files", "demo", "--bpe-dropout", "(default: 250)"):
        assert name in text
