"""Every corpus from its archives on a local server to a data set, and bad archives."""

import gzip
import io
import json
import tarfile
from typing import Any

import pytest
from toy_archives import digest, iwslt14_archive, lines, pack_tar, pack_zip, wmt14_files
from toy_corpora import make_pairs

from data_prep.command_line import main
from data_prep.corpora import CORPORA
from data_prep.corpora.base import Request
from data_prep.formats import archives
from data_prep.formats.archives import extract_members
from data_prep.stages import download
from resmlp_mt.common.errors import ResMLPError

PAIRS = make_pairs(211)
REVERSED = [(german, english) for english, german in PAIRS]


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch):
    """Retries without waiting."""
    monkeypatch.setattr(download, "WAIT_SECONDS", 0.0)


@pytest.fixture
def run(tmp_path, server):
    """Runs the command with the local server as mirror and overrides for the small files."""

    def prepare(corpus, pair, counts, *options, status=0):
        parts = CORPORA[corpus].parts(Request(*pair.split("-")))
        sources = {source.name for part in parts for source in part.sources()}
        # The official URLs are removed: these tests stay on this machine.
        known: dict[str, dict[str, Any]] = {
            name: {"urls": [], "size": None, "digest": None, "text_digest": None} for name in sources
        }
        known |= {name: {**known[name], "digest": digest(server.files[name])} for name in sources & set(server.files)}
        overrides = tmp_path / "overrides.json"
        overrides.write_text(json.dumps({"sources": known, "expected_pairs": counts}), encoding="utf-8")
        args = [corpus, "--pair", pair, "--out", str(tmp_path / "out"), "--cache", str(tmp_path / "cache")]
        args += ["--mirror", server.url, "--overrides", str(overrides), "--workers", "1"]
        assert main([*args, "--vocab-size", "350", *options]) == status
        return tmp_path / "out"

    return prepare


def _manifest(out):
    return json.loads((out / "manifest.json").read_text(encoding="utf-8"))


def _raw(out, split, lang):
    return (out / "raw" / f"{split}.{lang}").read_text(encoding="utf-8").splitlines()


@pytest.fixture
def wmt14(server):
    """WMT14 English-French on the server; returns the numbers of pairs."""
    files, counts = wmt14_files(PAIRS[:180], PAIRS[180:191], PAIRS[191:])
    server.files.update(files)
    return counts


def test_wmt14(run, wmt14):
    out = run("wmt14", "en-fr", wmt14)
    manifest = _manifest(out)
    assert manifest["splits"]["train"]["pairs"] == manifest["removed"]["read"] == 180
    assert {part["name"]: part["selected"] for part in manifest["parts"] if part["split"] == "train"} == {
        name: count for name, count in wmt14.items() if not name.startswith("newstest")
    }
    assert _raw(out, "valid", "en") == [english for english, _ in PAIRS[180:191]]
    assert _raw(out, "test", "fr") == [french for _, french in PAIRS[191:]]
    assert all(record["digest"] == record["expected"] for record in manifest["sources"])


def test_wmt14_reversed_direction(run, wmt14):
    out = run("wmt14", "fr-en", wmt14, "--tokenizer", "moses")
    assert (out / "train.fr-en.fr.bin").is_file()
    assert _raw(out, "test", "en") == [english for english, _ in PAIRS[191:]]


def test_dropped_connection_is_retried(run, wmt14, server):
    server.drop_after["training-parallel-europarl-v7.tgz"] = 100
    run("wmt14", "en-fr", wmt14)
    assert [path for path, _ in server.requests].count("training-parallel-europarl-v7.tgz") == 2


def test_zip_replaces_a_missing_archive(run, wmt14, server):
    del server.files["training-parallel-europarl-v7.tgz"]
    texts = {f"training/europarl-v7.fr-en.{lang}": lines(PAIRS[:20], side) for side, lang in enumerate(("en", "fr"))}
    server.files["training-parallel-europarl-v7.zip"] = pack_zip(texts)
    out = run("wmt14", "en-fr", wmt14)
    assert "training-parallel-europarl-v7.zip" in {record["file"] for record in _manifest(out)["sources"]}
    assert _manifest(out)["splits"]["train"]["pairs"] == 180


def test_wrong_number_of_pairs_is_refused(run, wmt14, capsys):
    run("wmt14", "en-fr", {**wmt14, "europarl-v7": 21}, status=2)
    message = capsys.readouterr().err.splitlines()[-1]
    assert "europarl-v7 should have 21 pairs (--overrides), but" in message
    assert "hold 20; they are truncated or altered" in message


def test_downloads_are_reused_without_network(run, wmt14, server, tmp_path):
    run("wmt14", "en-fr", wmt14)
    server.files.clear()
    args = ["wmt14", "--pair", "en-fr", "--out", str(tmp_path / "again"), "--from-dir", str(tmp_path / "cache")]
    args += ["--overrides", str(tmp_path / "overrides.json"), "--vocab-size", "350", "--workers", "1"]
    assert main(args) == 0


def test_iwslt14_splits_equal_fairseq(run, server):
    uneven = [("sehr " * 5 + "lang", "short")]
    server.files["iwslt14-de-en.tgz"] = iwslt14_archive(REVERSED[:100] + uneven + REVERSED[100:150], REVERSED[150:])
    out = run("iwslt14", "de-en", {"ted-tests": 61}, "--lowercase")
    talks = REVERSED[:150]
    assert _raw(out, "valid", "de") == [german for german, _ in talks[22::23]]
    in_sets = [pair for number in range(5) for pair in REVERSED[150:][number::5]]
    assert _raw(out, "test", "en") == [english for _, english in in_sets]
    assert _manifest(out)["splits"]["train"]["pairs"] == 150 - len(talks[22::23])


def test_tatoeba_any_pair_is_split(run, server):
    texts = {f"Tatoeba.eo-tlh.{lang}": lines(PAIRS, side) for side, lang in enumerate(("eo", "tlh"))}
    server.files["tatoeba-v2023-04-12-eo-tlh.txt.zip"] = pack_zip({"README": b"", **texts})
    splits = _manifest(run("tatoeba", "tlh-eo", {}))["splits"]
    assert splits["test"]["pairs"] + splits["valid"]["pairs"] + splits["train"]["pairs"] == 211


def test_multi30k_text_digest_and_test_sets(run, server, tmp_path, capsys):
    names = {"train": PAIRS[:100], "val": PAIRS[100:110], "test_2016_flickr": PAIRS[110:120]}
    names |= {
        "test_2017_flickr": PAIRS[120:131],
        "test_2018_flickr": PAIRS[131:142],
        "test_2017_mscoco": PAIRS[142:150],
    }
    for name, pairs in names.items():
        for side, lang in enumerate(("en", "de")):
            server.files[f"{name}.{lang}.gz"] = gzip.compress(lines(pairs, side))
    out = run("multi30k", "en-de", {name: len(pairs) for name, pairs in names.items()})
    splits = _manifest(out)["splits"]
    assert {split: record.get("name") for split, record in splits.items() if split != "train"} == {
        "valid": "val",
        "test": "test_2016_flickr",
        "test1": "test_2017_flickr",
        "test2": "test_2018_flickr",
        "test3": "test_2017_mscoco",
    }
    args = ["multi30k", "--pair", "en-de", "--out", str(tmp_path / "real"), "--from-dir", str(tmp_path / "cache")]
    assert main(args) == 2
    assert "should have text with sha256:460a15fb" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("corpus", "pair"), [("wmt14", "de-fr"), ("iwslt14", "en-fr"), ("multi30k", "de-fr"), ("demo", "en-fr")]
)
def test_unsupported_pair_is_refused(corpus, pair, tmp_path, capsys):
    assert main([corpus, "--pair", pair, "--out", str(tmp_path / "out")]) == 2
    assert f"for {corpus}, but is {pair}" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_published_numbers_have_an_origin():
    for corpus, pair in (("wmt14", "en-de"), ("wmt14", "en-fr"), ("iwslt14", "de-en"), ("multi30k", "en-cs")):
        for part in CORPORA[corpus].parts(Request(*pair.split("-"))):
            assert part.expected_pairs is None or part.origin
            for member in part.members:
                source = member.source
                assert source.urls
                assert not (source.size or source.digest or source.text_digest) or source.origin


def _link(name):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        info = tarfile.TarInfo(name)
        info.type, info.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(info)
    return buffer.getvalue()


TEXT = b"a line of text\n" * 99


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (
            "a.tgz",
            pack_tar({"../../escaped": b"x", "text": TEXT}),
            "not safe to extract: it holds '.*escaped'",
        ),
        (
            "a.zip",
            pack_zip({"/etc/escaped": b"x", "text": TEXT}),
            "not safe to extract: it holds '.*escaped'",
        ),
        ("a.tgz", pack_tar({"other": TEXT}), "does not hold text; download it again"),
        ("a.tgz", _link("text"), "is a link or a folder instead of a plain file"),
        ("a.tgz", pack_tar({"text": TEXT * 99})[:-40], "the archive .* is damaged"),
        ("a.tgz", b"<html>404</html>", "the archive .* is damaged"),
        ("a.zip", b"<html>404</html>", "the archive .* is damaged"),
        ("a.zip", pack_zip({"text": bytes(3_000_000)}), "is more than 200 times as large"),
        ("a.tgz", pack_tar({"text": bytes(3_000_000)}), "is more than 200 times as large"),
    ],
    ids=["tar escape", "zip escape", "other", "link", "cut", "tar of a page", "zip of a page", "zip bomb", "tar bomb"],
)
def test_bad_archive_is_refused_and_leaves_nothing(tmp_path, monkeypatch, name, content, message):
    monkeypatch.setattr("data_prep.formats.text_files.ALWAYS_ALLOWED_BYTES", 1 << 20)
    archive = tmp_path / name
    archive.write_bytes(content)
    with pytest.raises(ResMLPError, match=message) as caught:
        extract_members(archive, ["text"], tmp_path / "unpacked")
    assert "\n" not in str(caught.value)
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and path != archive]


def test_members_are_extracted_once(tmp_path, monkeypatch):
    archive = tmp_path / "a.tgz"
    archive.write_bytes(pack_tar({"./folder/text": TEXT, "folder/more": b"y"}))
    (path,) = extract_members(archive, ["folder/text"], tmp_path / "unpacked").values()
    assert path.read_bytes() == TEXT
    monkeypatch.setattr(archives, "_tar_members", None)
    assert extract_members(archive, ["folder/text"], tmp_path / "unpacked") == {"folder/text": path}
