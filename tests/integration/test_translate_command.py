"""`resmlp-mt translate`, `interactive` and `doctor`: line n of the output translates line n of the input."""

import gzip
import io
import json
import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from devices import device
from toy_bundles import raw_lines, sentence, write_bundle

from resmlp_mt.cli import interactive
from resmlp_mt.cli.main import main
from resmlp_mt.common.errors import ResMLPError
from resmlp_mt.translation import jobs, resumable
from resmlp_mt.translation.doctor import check_installation
from resmlp_mt.translation.invariance import check_batch_invariance
from resmlp_mt.translation.search.settings import SearchSettings
from resmlp_mt.translation.translator import Translator
from resmlp_mt.translation.types import Request

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return write_bundle(tmp_path_factory.mktemp("bundle"))


@pytest.fixture(scope="module")
def translator(model):
    return Translator.from_pretrained(model)


def hard_lines(count: int, seed: int = 1) -> list[bytes]:
    """Ordinary and difficult lines: blank, very long, emoji, right-to-left, control characters, invalid UTF-8."""
    generator = random.Random(seed)
    strange = [
        *(b"", b"   ", b"\t", b"\x00", b"a\x00b dog", b"\r", b"one\rtwo", b"dog\r", b"\x1b[31m\x07\x08"),
        *(b"\xff\xfe", b"\xc3", b"\xed\xa0\x80", ("hund " * 300).encode(), b"x" * 2000, "狗。".encode() * 90),
        *("\u2028\u2029\x85".encode(), "\u202eשלום עולם\u202c مرحبا".encode()),
        "läuft \U0001f600\U0001f468\u200d\U0001f469\u200d\U0001f467".encode(),
    ]
    ordinary = [sentence(generator).encode() for _ in range(9)]
    return generator.choices(strange + 3 * ordinary, k=count)


def command(capfd, monkeypatch, *args, stdin=b"") -> tuple[int, bytes, str]:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BufferedReader(io.BytesIO(stdin))))
    status = main([str(arg) for arg in args])
    out, err = capfd.readouterr()
    return status, out.encode("utf-8", "surrogateescape"), err


def test_output_lines_match_input_lines(model, translator, capfd, monkeypatch):
    lines = hard_lines(150)
    status, out, _ = command(capfd, monkeypatch, "translate", model, stdin=b"\n".join(lines) + b"\n")
    assert status == 0
    translations = out.decode().split("\n")
    assert translations.pop() == ""
    assert len(translations) == len(lines)
    texts = [line.decode("utf-8", "replace") for line in lines]
    assert translations == translator.translate(texts)
    assert all(translations[n] == "" for n, text in enumerate(texts) if not text.strip())
    assert translations == [translator.translate([text])[0] for text in texts]


def test_last_line_without_line_feed_and_empty_input(model, capfd, monkeypatch):
    assert command(capfd, monkeypatch, "translate", model, stdin=b"a\n\nb")[1].count(b"\n") == 3
    assert command(capfd, monkeypatch, "translate", model, stdin=b"")[1] == b""


@pytest.mark.parametrize("too_long", ["split", "truncate", "copy"])
def test_too_long_line_is_reported(too_long, model, capfd, monkeypatch):
    text = "a small dog runs. " * 30
    stdin = f"a dog\n{text}\na man\n".encode()
    status, out, err = command(capfd, monkeypatch, "translate", model, "--too-long", too_long, stdin=stdin)
    message = {"split": "split into 30", "truncate": "truncated", "copy": "copied"}[too_long]
    assert status == 0
    assert f"line 2 has 241 sub-words, but the model supports 40: {message}" in err
    lines = out.decode().split("\n")
    assert len(lines) == 4
    assert (lines[1] == text) == (too_long == "copy")


def test_too_long_line_can_be_an_error(model, capfd, monkeypatch):
    stdin = b"a\n" + b"dog " * 300
    status, out, err = command(capfd, monkeypatch, "translate", model, "--too-long", "error", stdin=stdin)
    assert (status, out) == (2, b"")
    assert err.startswith("resmlp-mt translate: line 2 has")
    assert "sub-words, but the model supports 40; shorten it, or choose another --too-long" in err
    assert err.count("\n") == 1


def test_split_line_equals_its_translated_pieces(translator):
    pieces = ["a small dog runs. ", "two men sit. "] * 9
    texts = translator.translate([piece.strip() for piece in pieces])
    assert translator.translate(["".join(pieces)]) == [" ".join(texts)]


def test_tsv_and_jsonl_formats(model, capfd, monkeypatch):
    options = ["--nbest", 2, "--scores", "--alignments"]
    stdin = b"a small dog\n\n" + b"two men sit. " * 12
    _, tsv, _ = command(capfd, monkeypatch, "translate", model, "--format", "tsv", *options, stdin=stdin)
    rows = [line.split("\t") for line in tsv.decode().splitlines()]
    assert [row[:2] for row in rows] == [["1", "1"], ["1", "2"], ["2", "1"], ["3", "1"], ["3", "2"]]
    assert float(rows[0][2]) > float(rows[1][2])
    assert rows[2][4] == ""
    _, content, _ = command(capfd, monkeypatch, "translate", model, "--format", "jsonl", *options, stdin=stdin)
    results = [json.loads(line) for line in content.decode().splitlines()]
    assert [result["line"] for result in results] == [1, 2, 3]
    assert [c["text"] for c in results[0]["candidates"]] == [row[4] for row in rows[:2]]
    for result, source in zip(results, stdin.decode().split("\n"), strict=True):
        assert result["source"] == source
        for candidate in result.get("candidates", []):
            for pair in candidate["alignment"].split():
                left, right = map(int, pair.split("-"))
                assert candidate["source_words"][left] in source
                assert candidate["target_words"][right]


def test_scores_in_plain_text_are_refused(model, capfd, monkeypatch):
    status, _, err = command(capfd, monkeypatch, "translate", model, "--scores", stdin=b"a")
    assert status == 2
    assert "--scores requires --format tsv or jsonl" in err


def test_html_page_draws_lines_and_escapes_text(model, tmp_path, capfd, monkeypatch):
    stdin = b"a <b>dog</b> & cat\n\ntwo men\n"
    command(capfd, monkeypatch, "translate", model, "--html", tmp_path / "page.html", stdin=stdin)
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert page.count("<svg") == 2
    assert "<line" in page
    assert "<b>" not in page
    assert page.rstrip().endswith("</html>")


def test_constraints_occur_in_the_translation(model, capfd, monkeypatch):
    stdin = "a small dog\tmänner sitzen\twiese\ntwo men\n".encode()
    args = ["translate", model, "--constraints", "unordered", "--beam", 8, "--max-len-b", 35]
    _, out, _ = command(capfd, monkeypatch, *args, stdin=stdin)
    first, second, _ = out.decode().split("\n")
    assert "männer sitzen" in first
    assert "wiese" in first
    assert second


def test_invalid_utf8_is_replaced_or_refused(model, capfd, monkeypatch):
    status, out, err = command(capfd, monkeypatch, "translate", model, stdin=b"a\n\xff\nb\n")
    assert (status, out.count(b"\n")) == (0, 3)
    assert "line 2 of the standard input is not UTF-8" in err
    status, _, err = command(capfd, monkeypatch, "translate", model, "--errors", "error", stdin=b"a\n\xff\nb\n")
    assert status == 2
    assert "line 2 of the standard input is not UTF-8" in err


def start(model, *args, **options) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "resmlp_mt.cli.main", "translate", model, *args]
    return subprocess.Popen([str(arg) for arg in command], cwd=ROOT, env=environment, **options)


def test_flush_answers_each_line_at_once(model):
    with start(model, "--flush", stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        for line in (b"a dog\n", b"\n", b"two men\n"):
            process.stdin.write(line)
            process.stdin.flush()
            assert process.stdout.readline().endswith(b"\n")
        process.stdin.close()
        assert process.stdout.read() == b""


KILLED = """
import os, signal, sys
from resmlp_mt.cli.main import main
from resmlp_mt.translation.resumable import ResumableOutput

append = ResumableOutput._append

def append_and_die(self, *args):
    append(self, *args)
    os.kill(os.getpid(), signal.SIGKILL)

ResumableOutput._append = append_and_die
main()
"""


@pytest.mark.parametrize("ending", ["txt", "txt.gz"])
def test_killed_job_resumes_to_the_same_bytes(ending, model, tmp_path):
    lines = hard_lines(300) + [b"a dog", b"", b"two men sit"] * (2 * jobs.WINDOW_LINES)  # type: ignore[attr-defined]  # a constant of another module
    random.Random(2).shuffle(lines)
    source, whole, killed = tmp_path / "in.txt", tmp_path / f"whole.{ending}", tmp_path / f"killed.{ending}"
    source.write_bytes(b"\n".join(lines) + b"\n")
    options = ["--input", source, "--quiet", "--beam", 1, "--max-len-b", 3]
    assert start(model, *options, "--output", whole).wait() == 0
    for _ in range(2):
        args = [sys.executable, "-c", KILLED, "translate", model, *options, "--output", killed, "--resume"]
        process = subprocess.run(list(map(str, args)), cwd=ROOT, env={**os.environ, "OMP_NUM_THREADS": "1"})
        assert process.returncode == -signal.SIGKILL
        assert not killed.exists()
    assert start(model, *options, "--output", killed, "--resume").wait() == 0
    assert killed.read_bytes() == whole.read_bytes()
    text = gzip.decompress(whole.read_bytes()) if ending.endswith("gz") else whole.read_bytes()
    assert text.count(b"\n") == len(lines)
    notes = {f".{path.name}.job.json" for path in (whole, killed)}
    assert {path.name for path in tmp_path.iterdir()} == {"in.txt", whole.name, killed.name, *notes}


def interrupted_job(model, tmp_path, monkeypatch):
    """Leaves a job that was interrupted after its first window."""
    monkeypatch.setattr(jobs, "WINDOW_LINES", 4)
    source, output = tmp_path / "in.txt", tmp_path / "out.txt"
    source.write_text("a dog\n" * 12)
    original = resumable.ResumableOutput.write

    def write_once(self, content, reader):
        if reader.lines > 4:
            raise KeyboardInterrupt
        original(self, content, reader)

    monkeypatch.setattr(resumable.ResumableOutput, "write", write_once)
    assert main(["translate", str(model), "--input", str(source), "--output", str(output)]) == 130
    monkeypatch.setattr(resumable.ResumableOutput, "write", original)
    return source, output


def test_interrupted_job_resumes_only_unchanged(model, tmp_path, monkeypatch, capsys):
    source, output = interrupted_job(model, tmp_path, monkeypatch)
    args = ["translate", str(model), "--input", str(source), "--output", str(output)]
    assert main(args) == 2
    assert "--resume continues it, --overwrite starts again" in capsys.readouterr().err
    assert main([*args, "--resume", "--beam", "2"]) == 2
    assert f"{output} belongs to another job: beam size was 4 and is now 2" in capsys.readouterr().err
    source.write_text("a cat\n" * 12)
    assert main([*args, "--resume"]) == 2
    assert "the input has changed" in capsys.readouterr().err
    source.write_text("a dog\n" * 12)
    assert main([*args, "--resume"]) == 0
    assert len(output.read_text().splitlines()) == 12
    assert main([*args, "--resume"]) == 0
    assert "nothing to resume" in capsys.readouterr().err


def test_finished_job_of_another_model_is_refused(model, tmp_path, capsys):
    other = write_bundle(tmp_path / "other", seed=2)
    source, output = tmp_path / "in.txt", tmp_path / "out.txt"
    source.write_text("a dog\n")
    files = ["--input", str(source), "--output", str(output), "--resume"]
    assert main(["translate", str(model), *files]) == 0
    assert main(["translate", str(other), *files]) == 2
    assert f"{output} belongs to another job: model was " in capsys.readouterr().err


@pytest.mark.parametrize("option", ["--output", "--html"])
def test_output_never_overwrites_an_input(option, model, tmp_path, capsys):
    source = tmp_path / "a.txt"
    source.write_text("a dog\n")
    for path, message in ((source, "--input reads"), (model / "model.safetensors", "MODEL reads")):
        before = path.read_bytes()
        assert main(["translate", str(model), "--input", str(source), option, str(path)]) == 2
        assert f"{option} must not overwrite {path}, which {message}" in capsys.readouterr().err
        assert path.read_bytes() == before
    same = [str(tmp_path / "same"), "--html", str(tmp_path / "same")]
    assert main(["translate", str(model), "--input", str(source), "--output", *same]) == 2
    assert "which --output writes" in capsys.readouterr().err


def test_device_output_is_written_in_place(model, tmp_path, capsys):
    source, null, full = tmp_path / "a.txt", device(tmp_path, "null"), device(tmp_path, "full")
    source.write_text("a dog\n")
    args = ["translate", str(model), "--input", str(source), "--output"]
    assert main([*args, str(full), "--resume"]) == 2
    assert "--resume requires a regular file as --output" in capsys.readouterr().err
    assert main([*args, str(full)]) == 2
    message = f"resmlp-mt translate: {full} cannot be written (No space left on device); make room"
    assert capsys.readouterr().err == f"{message} or choose another path\n"
    assert main([*args, str(null), "--html", str(null)]) == 0
    assert null.is_char_device()


def test_folder_as_output_is_refused(tmp_path, capsys):
    assert main(["translate", str(tmp_path / "no-model"), "--output", str(tmp_path)]) == 2
    assert "--output must be a file, but" in capsys.readouterr().err


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-be", "utf-32", "utf-32-be"])
def test_other_encoding_is_named(encoding, model, capfd, monkeypatch):
    stdin = "\ufeffa dog\n".encode(encoding)
    status, out, err = command(capfd, monkeypatch, "translate", model, stdin=stdin)
    assert (status, out) == (2, b"")
    assert f"begins with the byte-order mark of {encoding[:6].upper()}; convert it with `iconv" in err


def test_sampling_depends_on_line_and_seed_only(translator):
    settings = SearchSettings(sampling=True, max_len_b=12, beam_size=1, seed=5)
    requests = [Request(line, number) for number, line in enumerate(raw_lines(), 1)]
    texts = [t.text for t in translator.translate_requests(requests, settings)]
    assert [t.text for t in translator.translate_requests(requests[::-1], settings)][::-1] == texts
    other = SearchSettings(sampling=True, max_len_b=12, beam_size=1, seed=6)
    assert [t.text for t in translator.translate_requests(requests, other)] != texts


def test_batch_invariance(translator):
    findings = check_batch_invariance(translator, raw_lines())
    assert len(findings) == 2
    assert all(finding.has_passed for finding in findings), findings
    assert "20 translations are the same" in findings[0].message


def test_doctor_reports_outdated_packages(monkeypatch):
    assert all(finding.has_passed for finding in check_installation())
    old = {"torch": "0.0.1", "fairseq": "0.12.2"}
    monkeypatch.setattr("resmlp_mt.translation.doctor._installed", old.get)
    ill = {finding.subject: finding.message for finding in check_installation() if not finding.has_passed}
    assert ill["torch"] == "0.0.1 is too old for everything: pip install 'torch>=2.6'"
    assert "pip uninstall fairseq" in ill["fairseq"]


def test_prompt_commands(translator):
    session = interactive.Session(translator)
    assert session.answer("a small dog") == translator.translate(["a small dog"])[0]
    assert session.answer(":beam 8") == "beam 8"
    assert session.answer(":nbest 3") == "nbest 3, beam 8"
    assert len(session.answer("a small dog").split("\n")) == 3
    session.answer(":prefix drei männer")
    assert all(line.split(maxsplit=1)[1].startswith("drei männer") for line in session.answer("a dog").split("\n"))
    session.answer(":prefix")
    assert session.answer(":align") == "alignment shown"
    assert "-" in session.answer("a small dog").split("\n")[1]
    assert ":nbest N" in session.answer(":help")
    assert session.answer("") == ""
    for wrong, message in (
        (":beam x", "requires a number"),
        (":beam 0", "a whole number from 1 to 10000"),
        (":what", "type :help"),
    ):
        with pytest.raises(ResMLPError, match=message):
            session.answer(wrong)


def test_prompt_survives_an_interrupt(model, monkeypatch, capsys):
    answers = iter(["a dog", "two men", ":beam x", ":quit"])
    monkeypatch.setattr("builtins.input", lambda _prompt: next(answers))
    monkeypatch.setattr(interactive, "_load_history", lambda: None)
    original, calls = Translator.translate_requests, []

    def interrupted_once(self, *args, **options):
        calls.append(1)
        if len(calls) == 1:
            raise KeyboardInterrupt
        return original(self, *args, **options)

    monkeypatch.setattr(Translator, "translate_requests", interrupted_once)
    assert main(["interactive", str(model)]) == 0
    out = capsys.readouterr().out
    assert "stopped" in out
    assert "requires a number" in out


WITHOUT_FAIRSEQ = """
import sys

class NoFairseq:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("fairseq", "omegaconf", "hydra"):
            raise ImportError(name)

sys.meta_path.insert(0, NoFairseq())
from resmlp_mt.cli.main import main
sys.exit(main(sys.argv[1:]))
"""


def test_translate_needs_no_fairseq(model):
    args = [sys.executable, "-c", WITHOUT_FAIRSEQ, "translate", str(model)]
    finished = subprocess.run(args, input=b"a dog\n\n", capture_output=True, cwd=ROOT, check=False)
    assert finished.returncode == 0, finished.stderr
    assert finished.stdout.count(b"\n") == 2
