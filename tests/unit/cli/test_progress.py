"""Progress of a translation on a terminal."""

import pytest

from resmlp_mt.cli.progress import Progress
from resmlp_mt.translation.types import Translation


@pytest.fixture
def written(capsys):
    """What the terminal shows."""
    return lambda: capsys.readouterr().err


def translations(count, tokens=3):
    return [Translation("a", tokens=tokens)] * count


def test_the_counts_are_left_behind(written, tmp_path):
    (tmp_path / "text").write_bytes(bytes(1000))
    progress = Progress(tmp_path / "text", shown=True)
    progress.advance(translations(5), 100)
    progress.advance(translations(1200), 1000)
    progress.finish()
    last = written().rstrip("\n").rsplit("\r", 1)[-1]
    assert last.startswith("1,205 lines, ")
    assert "sentences/s" in last
    assert "tokens/s, 00:00 left" in last


def test_a_resumed_job_counts_the_lines_of_the_first_run(written, tmp_path):
    (tmp_path / "text").write_bytes(bytes(1000))
    progress = Progress(tmp_path / "text", shown=True)
    progress.start_at(500, 400)
    progress.advance(translations(5), 410)
    progress.finish()
    assert "505 lines" in written().rsplit("\r", 1)[-1]


@pytest.mark.parametrize("name", ["text.gz", None])
def test_an_input_of_unknown_size_has_no_remaining_time(written, tmp_path, name):
    path = None if name is None else tmp_path / name
    if path:
        path.write_bytes(bytes(10))
    progress = Progress(path, shown=True)
    progress.advance(translations(5), 100)
    progress.finish()
    shown = written()
    assert "5 lines" in shown
    assert "left" not in shown


def test_messages_are_whole_lines_beside_the_bar(written):
    progress = Progress(None, shown=True)
    progress.log("line 3 is empty")
    progress.finish()
    assert "resmlp-mt translate: line 3 is empty\n" in written().replace("\r", "\n")


def test_without_a_terminal_only_messages_are_printed(written):
    progress = Progress(None, shown=False)
    progress.advance(translations(5), 100)
    progress.log("line 3 is empty")
    progress.finish()
    assert written() == "resmlp-mt translate: line 3 is empty\n"
