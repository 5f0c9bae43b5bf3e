"""Progress bar of a translation on a terminal."""

import pytest

from resmlp_mt.cli.progress import Progress
from resmlp_mt.translation.types import Translation


@pytest.fixture
def terminal_output(capsys):
    """Returns the text on the terminal when called."""
    return lambda: capsys.readouterr().err


def translations(count, tokens=3):
    return [Translation("a", tokens=tokens)] * count


def test_final_line_shows_counts(terminal_output, tmp_path):
    (tmp_path / "text").write_bytes(bytes(1000))
    progress = Progress(tmp_path / "text", shown=True)
    progress.advance(translations(5), 100)
    progress.advance(translations(1200), 1000)
    progress.finish()
    last = terminal_output().rstrip("\n").rsplit("\r", 1)[-1]
    assert last.startswith("1,205 lines, ")
    assert "sentences/s" in last
    assert "tokens/s, 00:00 left" in last


def test_resumed_job_counts_lines_of_first_run(terminal_output, tmp_path):
    (tmp_path / "text").write_bytes(bytes(1000))
    progress = Progress(tmp_path / "text", shown=True)
    progress.start_at(500, 400)
    progress.advance(translations(5), 410)
    progress.finish()
    assert "505 lines" in terminal_output().rsplit("\r", 1)[-1]


@pytest.mark.parametrize("name", ["text.gz", None])
def test_unknown_input_size_shows_no_remaining_time(terminal_output, tmp_path, name):
    path = None if name is None else tmp_path / name
    if path:
        path.write_bytes(bytes(10))
    progress = Progress(path, shown=True)
    progress.advance(translations(5), 100)
    progress.finish()
    output = terminal_output()
    assert "5 lines" in output
    assert "left" not in output


def test_message_is_a_separate_line(terminal_output):
    progress = Progress(None, shown=True)
    progress.log("line 3 is empty")
    progress.finish()
    assert "resmlp-mt translate: line 3 is empty\n" in terminal_output().replace("\r", "\n")


def test_no_terminal_prints_only_messages(terminal_output):
    progress = Progress(None, shown=False)
    progress.advance(translations(5), 100)
    progress.log("line 3 is empty")
    progress.finish()
    assert terminal_output() == "resmlp-mt translate: line 3 is empty\n"
