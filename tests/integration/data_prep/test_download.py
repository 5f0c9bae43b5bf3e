"""Downloads from a server with dropped connections, redirects, missing and altered files."""

import hashlib

import pytest
from faulty_server import entity_tag

from data_prep.corpora.base import Source
from data_prep.stages import download as download_module
from data_prep.stages.download import download
from resmlp_mt.common.errors import ResMLPError
from resmlp_mt.common.files import write_json

CONTENT = bytes(range(256)) * 4099


def _digest(content=CONTENT):
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch):
    """Retries without waiting."""
    monkeypatch.setattr(download_module, "WAIT_SECONDS", 0.0)


def test_file_is_downloaded_once(server, tmp_path):
    server.files["a.tgz"] = CONTENT
    source = Source("a.tgz", urls=(f"{server.url}/a.tgz",))
    assert download(source, tmp_path).read_bytes() == CONTENT
    download(source, tmp_path)
    assert [path for path, _ in server.requests] == ["a.tgz"]
    assert _digest() in (tmp_path / "a.tgz.download.json").read_text(encoding="utf-8")


def test_dropped_connection_is_resumed(server, tmp_path):
    server.files["a.tgz"] = CONTENT
    server.drop_after["a.tgz"] = 300_000
    source = Source("a.tgz", urls=(f"{server.url}/a.tgz",), digest=_digest())
    assert download(source, tmp_path).read_bytes() == CONTENT
    (_, first), (_, second) = server.requests
    assert first is None
    assert 0 < int(second.removeprefix("bytes=").rstrip("-")) <= 300_000


def test_download_resumes_in_the_next_run(server, tmp_path, monkeypatch):
    monkeypatch.setattr(download_module, "ATTEMPTS", 1)
    server.files["a.tgz"] = CONTENT
    server.drop_after["a.tgz"] = 300_000
    source = Source("a.tgz", urls=(f"{server.url}/a.tgz",), digest=_digest())
    with pytest.raises(ResMLPError, match="1 attempts failed"):
        download(source, tmp_path)
    assert download(source, tmp_path).read_bytes() == CONTENT
    assert server.requests[1][1].startswith("bytes=")


def test_changed_file_is_downloaded_from_the_start(server, tmp_path, monkeypatch):
    monkeypatch.setattr(download_module, "ATTEMPTS", 1)
    server.files["a.tgz"] = CONTENT
    server.drop_after["a.tgz"] = 300_000
    source = Source("a.tgz", urls=(f"{server.url}/a.tgz",))
    with pytest.raises(ResMLPError):
        download(source, tmp_path)
    server.files["a.tgz"] = CONTENT[::-1] + b"more"
    assert download(source, tmp_path).read_bytes() == CONTENT[::-1] + b"more"


def test_complete_partial_file_is_used(server, tmp_path):
    server.files["a.tgz"] = CONTENT
    source = Source("a.tgz", urls=(f"{server.url}/a.tgz",), digest=_digest())
    (tmp_path / "a.tgz.partial").write_bytes(CONTENT)
    write_json(tmp_path / "a.tgz.partial.json", {"validator": entity_tag(CONTENT)})
    assert download(source, tmp_path).read_bytes() == CONTENT


def test_redirect_is_followed(server, tmp_path):
    server.files["new/a.tgz"] = CONTENT
    server.redirects["a.tgz"] = "new/a.tgz"
    source = Source("a.tgz", urls=(f"{server.url}/a.tgz",), digest=_digest())
    assert download(source, tmp_path).read_bytes() == CONTENT


def test_next_url_is_used_after_an_error(server, tmp_path):
    server.files["mirror/a.tgz"] = CONTENT
    source = Source("a.tgz", urls=(f"{server.url}/gone/a.tgz", f"{server.url}/mirror/a.tgz"), digest=_digest())
    assert download(source, tmp_path).read_bytes() == CONTENT
    assert [path for path, _ in server.requests] == ["gone/a.tgz", "mirror/a.tgz"]


def test_user_mirror_comes_first(server, tmp_path):
    server.files["own/a.tgz"] = server.files["official/a.tgz"] = CONTENT
    source = Source("a.tgz", urls=(f"{server.url}/official/a.tgz",), digest=_digest())
    download(source, tmp_path, mirrors=(f"{server.url}/own/",))
    assert [path for path, _ in server.requests] == ["own/a.tgz"]


def test_next_url_is_used_after_a_wrong_digest(server, tmp_path):
    server.files["bad/a.tgz"] = CONTENT[:-1] + b"!"
    server.files["good/a.tgz"] = CONTENT
    source = Source("a.tgz", urls=(f"{server.url}/bad/a.tgz", f"{server.url}/good/a.tgz"), digest=_digest())
    assert download(source, tmp_path).read_bytes() == CONTENT


def test_all_failures_are_named_in_one_line(server, tmp_path):
    server.files["bad/a.tgz"] = b"altered"
    source = Source("a.tgz", urls=(f"{server.url}/gone/a.tgz", f"{server.url}/bad/a.tgz"), digest=_digest())
    with pytest.raises(ResMLPError) as caught:
        download(source, tmp_path)
    message = str(caught.value)
    assert "\n" not in message
    assert "404" in message
    assert _digest() in message
    assert _digest(b"altered").removeprefix("sha256:") in message
    assert "--mirror" in message
    assert "--from-dir" in message
    assert not (tmp_path / "a.tgz").exists()


def test_unreachable_server_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(download_module, "ATTEMPTS", 2)
    source = Source("a.tgz", urls=("http://127.0.0.1:9/a.tgz",))
    with pytest.raises(ResMLPError, match=r"2 attempts failed, the last with: .*127\.0\.0\.1.*"):
        download(source, tmp_path)


def test_altered_download_is_refused(server, tmp_path):
    server.files["a.tgz"] = CONTENT
    source = Source("a.tgz", urls=(f"{server.url}/a.tgz",))
    download(source, tmp_path).write_bytes(CONTENT[:-1])
    with pytest.raises(ResMLPError, match="at its first download, but has sha256"):
        download(source, tmp_path)
