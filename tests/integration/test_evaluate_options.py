"""Options of `evaluate`: each takes effect, or is refused before translation starts."""

import json
import os
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from toy_bundles import data_folder, raw_lines, write_bundle

from resmlp_mt.cli import decoding
from resmlp_mt.cli.main import main
from resmlp_mt.common.files import lines_digest
from resmlp_mt.common.indexed_data import IndexedText
from resmlp_mt.translation.bundle.format import CARD, read_config
from resmlp_mt.translation.bundle.packaging import read_segmenter
from resmlp_mt.translation.evaluation.leaks import _candidates, find_leaks
from resmlp_mt.translation.search.settings import SearchSettings
from resmlp_mt.translation.text.dictionary import SPECIAL_TOKEN_NAMES, read_dictionary
from resmlp_mt.translation.translator import Translator

QUICK = ("--resamples", 2, "--trials", 2)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return write_bundle(tmp_path_factory.mktemp("bundle"))


def evaluate(model: Path, *options: object) -> int:
    return main(list(map(str, ["evaluate", model, *QUICK, *options])))


def write_test_set(folder: Path, sources: list[str]) -> list[object]:
    """Writes a test set of a few lines and returns its options."""
    references = raw_lines("tgt")[: len(sources)]
    for name, lines in (("s.txt", sources), ("r.txt", references)):
        (folder / name).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return ["--source", folder / "s.txt", "--reference", folder / "r.txt"]


def test_too_long_applies_to_evaluate(model, tmp_path, capsys):
    long = "ein kleiner hund läuft über die wiese und drei männer sitzen im café " * 4
    files = write_test_set(tmp_path, ["ein hund", long])
    assert evaluate(model, *files, "--too-long", "error") == 2
    assert "line 2 has" in capsys.readouterr().err
    assert evaluate(model, *files, "--too-long", "copy", "--translations", tmp_path / "out.txt") == 0
    assert (tmp_path / "out.txt").read_text(encoding="utf-8").splitlines()[1] == long
    assert "1 lines are longer than the model and were copied" in capsys.readouterr().out
    assert evaluate(model, *files, "--too-long", "error", "--baseline", model) == 2


def test_constraints_follow_the_source_after_tabs(model, tmp_path):
    files = write_test_set(tmp_path, ["ein hund\twiese\tmänner", "drei männer"])
    out, report = tmp_path / "out.txt", tmp_path / "report.json"
    assert evaluate(model, *files, "--constraints", "ordered", "--translations", out, "--json", report) == 0
    first = out.read_text(encoding="utf-8").splitlines()[0]
    assert -1 < first.find("wiese") < first.find("männer")
    content = json.loads(report.read_text())
    assert content["constraints"] is True
    plain = Translator.from_pretrained(model).source.encode(["ein hund"])[0]
    assert content["by_length"][0]["sentences"] == 2
    assert len(plain) - 1 <= 10  # with its constraints, the source would be in another bucket


@pytest.mark.parametrize(("given", "missing"), [("--source", "--reference"), ("--reference", "--source")])
def test_source_without_reference_is_refused(model, tmp_path, capsys, given, missing):
    (tmp_path / "x.txt").write_text("ein hund\n")
    assert evaluate(model, "--data", data_folder(), given, tmp_path / "x.txt") == 2
    assert f"{given} requires {missing}" in capsys.readouterr().err


def test_baseline_search_options(model, tmp_path):
    decoding_of_other = SearchSettings(beam_size=3, length_penalty=0.6, max_len_b=15)
    other = write_bundle(tmp_path, decoding=decoding_of_other, seed=2)
    files, report = write_test_set(tmp_path, raw_lines()[:5]), tmp_path / "report.json"
    assert evaluate(model, *files, "--beam", 1, "--baseline", other, "--json", report) == 0
    content = json.loads(report.read_text())
    baseline = content["baseline"]
    assert baseline["path"] == str(other)
    assert baseline["digests"] == read_config(other).digests
    assert baseline["settings"]["beam_size"] == 1
    assert baseline["settings"]["length_penalty"] == 0.6
    expected = Translator.from_pretrained(other).translate(raw_lines()[:5], beam_size=1)
    assert content["hashes"]["baseline"] == lines_digest(expected)
    assert content["settings"]["length_penalty"] == 1.0
    (tmp_path / "o.txt").write_text("".join(f"{line}\n" for line in expected), encoding="utf-8")
    assert evaluate(model, *files, "--baseline", tmp_path / "o.txt", "--json", report) == 0
    assert set(json.loads(report.read_text())["baseline"]) == {"path", "digest"}


def test_ensemble_is_reported_without_model_card(model, tmp_path, capsys):
    other = write_bundle(tmp_path, seed=2)
    files, report = write_test_set(tmp_path, raw_lines()[:3]), tmp_path / "report.json"
    assert evaluate(model, *files, "--ensemble", other, "--json", report) == 0
    models = json.loads(report.read_text())["models"]
    assert [entry["path"] for entry in models] == [str(model), str(other)]
    assert [entry["digests"] for entry in models] == [read_config(path).digests for path in (model, other)]
    card = (model / CARD).read_text()
    assert evaluate(model, *files, "--ensemble", other, "--update-card") == 2
    assert "--update-card cannot be combined with --ensemble" in capsys.readouterr().err
    assert (model / CARD).read_text() == card


def test_without_resamples_there_are_no_intervals(model, tmp_path, capsys):
    files, report = write_test_set(tmp_path, raw_lines()[:3]), tmp_path / "report.json"
    options = ["--resamples", 0, "--trials", 0, "--baseline", tmp_path / "r.txt", "--tokenised", "--json", report]
    assert evaluate(model, *files, *options, "--figure", tmp_path / "out.svg") == 0
    assert "±" not in (out := capsys.readouterr().out)
    assert "p =" not in out
    content = json.loads(report.read_text())
    assert {score["interval"] for score in content["scores"]} == {None}
    assert {row["p_bootstrap"] for row in content["comparisons"]} == {None}
    for number in (1, -5):
        assert evaluate(model, *files, "--resamples", number) == 2
        assert f"--resamples must be 0 or at least 2, but is {number}" in capsys.readouterr().err


def test_files_are_written_before_the_report_is_printed(model, tmp_path, monkeypatch):
    reading, writing = os.pipe()
    os.close(reading)
    report, out = tmp_path / "report.json", tmp_path / "out.txt"
    files = write_test_set(tmp_path, raw_lines()[:3])
    with os.fdopen(writing, "w", buffering=1) as closed_pipe:
        monkeypatch.setattr(sys, "stdout", closed_pipe)
        assert evaluate(model, *files, "--json", report, "--translations", out) == 0
    assert json.loads(report.read_text())["sentences"] == 3
    assert len(out.read_text(encoding="utf-8").splitlines()) == 3


def test_scores_are_printed_despite_unwritable_file(model, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("resmlp_mt.common.files.check_outputs", lambda _outputs, _inputs: None)
    (tmp_path / "folder").mkdir()
    assert evaluate(model, *write_test_set(tmp_path, raw_lines()[:3]), "--json", tmp_path / "folder") == 2
    output = capsys.readouterr()
    assert "BLEU" in output.out
    assert "folder cannot be written" in output.err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--json", "MODEL/config.json"], "--json must not overwrite"),
        (["--translations", "DIR/s.txt"], "which --source reads"),
        (["--translations", "DIR/r.txt"], "which --reference reads"),
        (["--baseline", "DIR/r.txt", "--figure", "DIR/out.svg", "--json", "DIR/out.svg"], "must not overwrite"),
        (["--figure", "DIR/out.jpg"], "the file name extension of --figure must be one of .svg"),
        (["--json", "DIR"], "--json must be a file"),
        (["--data", "DATA", "--json", "DATA/raw/test.src"], "which --data reads"),
    ],
)
def test_outputs_are_checked_first(model, tmp_path, capsys, monkeypatch, options, message):
    monkeypatch.setattr(decoding, "load_translator", lambda _args: pytest.fail("the work has begun"))
    data = shutil.copytree(data_folder(), tmp_path / "data")
    paths = {"MODEL": model, "DIR": tmp_path, "DATA": data}
    for name, path in paths.items():
        options = [option.replace(name, str(path)) if option.startswith(name) else option for option in options]
    assert evaluate(model, *write_test_set(tmp_path, raw_lines()[:2]), *options) == 2
    assert message in capsys.readouterr().err


def leaks(sources: list[str]) -> list[int]:
    data = data_folder()
    segmenter = read_segmenter(data, "src", read_dictionary(data / "dict.src.txt"), None)
    return find_leaks(sources, segmenter, data, None, ("src", "tgt"))["lines"]


def test_leaks_ignore_case_and_punctuation(monkeypatch):
    train = (data_folder() / "raw" / "train.src").read_text(encoding="utf-8").splitlines()
    long = max(train, key=len)
    assert leaks(["neu: " + long, long, long.upper(), f"„{long}“ ...", long.replace(" ", ", ")]) == [2, 3, 4, 5]
    monkeypatch.setattr("resmlp_mt.translation.evaluation.leaks._BLOCK_SENTENCES", 7)
    assert leaks([line.title() for line in train]) == list(range(1, len(train) + 1))


def test_leak_candidates_by_letters():
    symbols = [*SPECIAL_TOKEN_NAMES, "\u2581A", "b", "<0x62>", "."]
    sentences = [[4, 5, 2], [4, 4, 2], [4, 7, 5, 7, 2], [4, 6, 2], [3, 4, 5, 2], [2]]
    text = IndexedText(np.array([len(s) for s in sentences], np.int32), np.concatenate(sentences).astype(np.uint16))
    assert list(_candidates(text, symbols, {"ab": 1})) == [sentences[0], sentences[2], sentences[3]]
