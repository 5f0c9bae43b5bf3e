"""Toy data and checkpoints of the end-to-end tests, made once by the real commands."""

from pathlib import Path

import pytest
from fairseq_commands import preprocess, train, write_toy_corpus


@pytest.fixture(scope="session")
def toy_text(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("toy") / "text"
    write_toy_corpus(folder)
    return folder


@pytest.fixture(scope="session")
def toy_data(toy_text) -> Path:
    return preprocess(toy_text, toy_text.parent / "data")


@pytest.fixture(scope="session")
def toy_run(toy_data) -> tuple[Path, list[dict[str, str]]]:
    """A folder with the final checkpoints of two training runs, and the log of the first."""
    folder = toy_data.parent / "run"
    lines = train(toy_data, folder, "--max-update", 400, "--validate-interval", 1000, "--save-interval", 1000)
    train(
        toy_data,
        folder / "other",
        "--max-update",
        150,
        "--validate-interval",
        1000,
        "--save-interval",
        1000,
        "--seed",
        2,
    )
    return folder, lines


@pytest.fixture(scope="session")
def toy_checkpoint(toy_run) -> Path:
    return toy_run[0] / "checkpoint_best.pt"
