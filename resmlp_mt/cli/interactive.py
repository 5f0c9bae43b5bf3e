"""`resmlp-mt interactive`: translates lines typed at a prompt."""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from resmlp_mt.cli import decoding
from resmlp_mt.common.errors import ResMLPError
from resmlp_mt.translation.search.settings import SearchSettings
from resmlp_mt.translation.translator import Translator
from resmlp_mt.translation.types import Request, Translation

Number = TypeVar("Number", int, float)

PROMPT = "> "
_HISTORY_LINES = 1000
HELP = """\
Type a sentence to translate it, or a command:
  :beam N      hypotheses kept while searching
  :nbest N     translations shown
  :lenpen X    above 1 favours long translations
  :prefix TEXT following translations begin with TEXT; without TEXT, remove the prefix
  :align       show or hide the word alignment
  :help        show this help
  :quit        quit (also Ctrl-D); Ctrl-C stops a translation"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of this subcommand."""
    decoding.add_model_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Reads and answers until the end of input."""
    if sys.stdin is None:
        raise ResMLPError("standard input is closed; start the command in a terminal")
    session = Session(decoding.load_translator(args, line_by_line=True))
    _load_history()
    print(f"{' to '.join(session.translator.config.languages)}; :help for help")
    while True:
        try:
            line = input(PROMPT)
        except EOFError:
            print()
            return 0
        except KeyboardInterrupt:
            print()
            continue
        if line.strip() == ":quit":
            return 0
        try:
            print(session.answer(line))
        except KeyboardInterrupt:
            print("stopped")
        except ResMLPError as error:
            print(error)


def _load_history() -> None:
    """Enables line editing and a persistent history, where the system supports them."""
    with contextlib.suppress(ImportError, OSError):
        import atexit
        import readline

        folder = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "resmlp-mt"
        folder.mkdir(parents=True, exist_ok=True)
        history = folder / "history"
        if history.is_file():
            readline.read_history_file(history)
        readline.set_history_length(_HISTORY_LINES)
        atexit.register(_save_history, history)


def _save_history(path: Path) -> None:
    import readline

    with contextlib.suppress(OSError):
        readline.write_history_file(path)


@dataclass
class Session:
    """The state of the prompt.

    Attributes:
        translator: the translator.
        settings: the search options; those of the bundle by default.
        prefix: text that translations must begin with.
        shows_alignment: whether the word alignment is shown.
    """

    translator: Translator
    settings: SearchSettings | None = None
    prefix: str = ""
    shows_alignment: bool = False

    def answer(self, line: str) -> str:
        """Translates a line, or executes a command.

        Raises:
            ResMLPError: if a command is unknown or its value is invalid.
        """
        if line.startswith(":"):
            return self._execute(*line[1:].partition(" ")[::2])
        request = Request(line, prefix=self.prefix)
        (translation,) = self.translator.translate_requests([request], self._settings(), align=self.shows_alignment)
        return self._show(translation)

    def _settings(self) -> SearchSettings:
        return self.settings or self.translator.config.decoding

    def _execute(self, command: str, value: str) -> str:
        settings, value = self._settings(), value.strip()
        match command:
            case "beam":
                beam_size = _number(int, command, value)
                self.settings = replace(settings, beam_size=beam_size, nbest=min(settings.nbest, beam_size))
                return f"beam {beam_size}"
            case "nbest":
                nbest = _number(int, command, value)
                self.settings = replace(settings, nbest=nbest, beam_size=max(settings.beam_size, nbest))
                return f"nbest {nbest}, beam {self.settings.beam_size}"
            case "lenpen":
                self.settings = replace(settings, length_penalty=_number(float, command, value))
                return f"lenpen {self.settings.length_penalty}"
            case "prefix":
                self.prefix = value
                return f"translations begin with {value!r}" if value else "translations have no prefix"
            case "align":
                self.shows_alignment = not self.shows_alignment
                return f"alignment {'shown' if self.shows_alignment else 'hidden'}"
            case "help":
                return HELP
        raise ResMLPError(f":{command} is not a command; type :help for a list")

    def _show(self, translation: Translation) -> str:
        lines = [translation.note] if translation.note else []
        with_scores = len(translation.candidates) > 1
        for candidate in translation.candidates:
            lines.append(f"{candidate.score:8.4f}  {candidate.text}" if with_scores else candidate.text)
            if candidate.alignment:
                words = candidate.alignment
                pairs = [f"{words.source_words[s]}-{words.target_words[t]}" for s, t in words.links]
                lines.append("          " * with_scores + "  ".join(pairs))
        return "\n".join(lines)


def _number(kind: type[Number], command: str, text: str) -> Number:
    try:
        return kind(text)
    except ValueError:
        raise ResMLPError(f":{command} requires a number, not {text!r}; try :{command} 4") from None
