"""Data manifest: the writer and all readers share one schema."""

import json

import pytest

from resmlp_mt.common.data_folder import training_folders
from resmlp_mt.common.data_manifest import MANIFEST, DataManifest, read_manifest, write_manifest
from resmlp_mt.common.errors import ResMLPError
from resmlp_mt.common.files import file_digest


def test_round_trip(tmp_path):
    manifest = DataManifest(
        command="python -m data_prep files",
        settings={"src": "en", "tgt": "de"},
        train_data=[".", "shard2"],
        vocabulary={"models": ["spm.model"], "pieces": [101]},
        splits={"train": {"pairs": 37}, "valid": {"pairs": 5, "name": "valid"}},
        files={"dict.en.txt": {"bytes": 3, "digest": "sha256:0"}},
    )
    write_manifest(tmp_path, manifest)
    loaded = read_manifest(tmp_path)
    assert loaded == manifest
    assert loaded.languages == ("en", "de")
    assert training_folders(tmp_path, loaded) == [tmp_path, tmp_path / "shard2"]
    assert (loaded.digest_of("dict.en.txt"), loaded.digest_of("dict.de.txt")) == ("sha256:0", None)
    assert loaded.summary(tmp_path) == {
        "manifest": file_digest(tmp_path / MANIFEST),
        "settings": {"src": "en", "tgt": "de"},
        "pairs": {"train": 37, "valid": 5},
        "sources": [],
    }


def test_file_has_all_fields_in_order(tmp_path):
    write_manifest(tmp_path, DataManifest())
    assert list(json.loads((tmp_path / MANIFEST).read_text())) == [
        *("format", "command", "settings", "train_data", "vocabulary", "splits", "removed", "parts", "sources"),
        *("versions", "files"),
    ]


def test_folder_without_manifest_is_training_folder(tmp_path):
    assert read_manifest(tmp_path) is None
    assert training_folders(tmp_path, None) == [tmp_path]


def test_missing_keys_get_defaults_unknown_keys_are_ignored(tmp_path):
    (tmp_path / MANIFEST).write_text('{"settings": {"corpus": "toy"}, "other": 1}')
    assert read_manifest(tmp_path) == DataManifest(settings={"corpus": "toy"})


@pytest.mark.parametrize("content", ["", "{", "[1]", "7"])
def test_damaged_manifest_is_one_line(tmp_path, content):
    (tmp_path / MANIFEST).write_text(content)
    with pytest.raises(ResMLPError, match=r"the manifest .*manifest\.json cannot be read .*; prepare the data again"):
        read_manifest(tmp_path)


def test_other_format_is_refused(tmp_path):
    (tmp_path / MANIFEST).write_text('{"format": 2}')
    with pytest.raises(ResMLPError, match="has format 2, but this version of resmlp-mt reads format 1; install"):
        read_manifest(tmp_path)
