"""Small corpora, a sentencepiece model for them, and a server that fails on demand."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from faulty_server import Server
from toy_corpora import make_pairs, write_pairs

from data_prep.command_line import main


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """A folder with train, valid and test of 610, 23 and 29 pairs without overlap."""
    pairs = make_pairs(662)
    folder = tmp_path / "corpus"
    write_pairs(folder, "train", pairs[:610])
    write_pairs(folder, "valid", pairs[610:633])
    write_pairs(folder, "test", pairs[633:])
    return folder


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sentencepiece model for these corpora."""
    folder = tmp_path_factory.mktemp("model")
    write_pairs(folder / "corpus", "train", make_pairs(662))
    args = ["files", "--pair", "en-de", "--from-dir", str(folder / "corpus"), "--out", str(folder / "out")]
    assert main([*args, "--vocab-size", "101", "--no-byte-fallback"]) == 0
    return folder / "out" / "spm.model"


@pytest.fixture
def prepare(corpus: Path, model: Path, tmp_path: Path) -> Callable[..., Path]:
    """Prepares the small corpus in this process with the trained model and further options; returns the data set."""

    def run(*options: str, name: str = "out", status: int = 0, use_model: bool = True) -> Path:
        out = tmp_path / name
        args = ["files", "--pair", "en-de", "--out", str(out), "--workers", "1"]
        if "--train" not in options:
            args += ["--from-dir", str(corpus)]
        if use_model:
            args += ["--sentencepiece-model", str(model)]
        assert main([*args, *options]) == status
        return out

    return run


@pytest.fixture
def server() -> Iterator[Server]:
    """A running server without files."""
    running = Server()
    thread = threading.Thread(target=running.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    yield running
    running.shutdown()
    thread.join()
    running.server_close()
