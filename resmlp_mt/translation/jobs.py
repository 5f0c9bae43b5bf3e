"""Translating files and pipes of any length: in order, in bounded memory, and resumable."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import BinaryIO

from resmlp_mt import files
from resmlp_mt.errors import ResMLPError, require
from resmlp_mt.translation.lines import LineReader
from resmlp_mt.translation.output import OutputFormat
from resmlp_mt.translation.records import Request, Translation
from resmlp_mt.translation.search_settings import SearchSettings
from resmlp_mt.translation.translator import Translator

WINDOW_LINES = 512  # enough for batches of like length; little is lost when a job is killed
_PROGRESS_SUFFIX = ".progress"


@dataclass(frozen=True)
class Job:
    """How lines are translated.

    Attributes:
        settings: of the search.
        output: what is written.
        too_long: see `planning.TOO_LONG`.
        constraints: whether lines hold, behind tabs, words that must occur.
        align: whether alignments are wanted, be it for another use than the output.
    """

    settings: SearchSettings
    output: OutputFormat
    too_long: str = "split"
    constraints: bool = False
    align: bool = False

    def digest(self, translator: Translator) -> str:
        """What identifies the job but for its input."""
        content = [asdict(self), translator.identity]
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()

    def translate(self, translator: Translator, lines: list[str], first: int) -> list[Translation]:
        """Translates lines, the first of which has the number `first`."""
        requests = [self.request(line, number) for number, line in enumerate(lines, first)]
        return translator.translate_requests(
            requests, self.settings, self.too_long, self.align or self.output.alignments
        )

    def request(self, line: str, number: int) -> Request:
        """What is asked of the translator for a line."""
        if not self.constraints:
            return Request(line, number)
        text, *constraints = line.split("\t")
        return Request(text, number, constraints=tuple(constraint for constraint in constraints if constraint.strip()))


def translate_stream(
    translator: Translator,
    job: Job,
    reader: LineReader,
    write: Callable[[bytes], object],
    after_window: Callable[[list[Translation]], None],
    wait: bool = True,
) -> None:
    """Translates all lines of a reader in windows.

    Args:
        translator: with its models.
        job: how.
        reader: of the lines.
        write: gets the bytes of each window.
        after_window: gets what each window has become.
        wait: fill a window before it is translated; otherwise lines are answered as they come.
    """
    while lines := reader.read_window(WINDOW_LINES, wait):
        first = reader.lines - len(lines) + 1
        translations = job.translate(translator, lines, first)
        written = "".join(job.output.write(t, number) for number, t in enumerate(translations, first))
        write(written.encode("utf-8", "replace"))
        after_window(translations)


@dataclass(frozen=True)
class Progress:
    """How far a job has come: what `OUTPUT.progress` holds."""

    job: str
    lines: int
    consumed: str
    output_bytes: int


class ResumableOutput:
    """An output file that grows under a temporary name beside a note of how far it has come, and is whole at the end.

    Args:
        path: of the output, packed if it ends in .gz.
        job: from `Job.digest`.
    """

    def __init__(self, path: Path, job: str) -> None:
        self.path, self._job = path, job
        self._partial = path.with_name(path.name + files.PARTIAL_SUFFIX)
        self._note = path.with_name(path.name + _PROGRESS_SUFFIX)
        self._file: BinaryIO | None = None

    def is_finished(self) -> bool:
        """Whether the output is there, and no unfinished one beside it."""
        return self.path.is_file() and not self._note.exists()

    def open(self, reader: LineReader, resume: bool) -> int:
        """Opens the file.

        Args:
            reader: of the input; its lines that are done are skipped.
            resume: go on with an interrupted job.

        Returns:
            Number of lines that are done.

        Raises:
            ResMLPError: when the interrupted job is another one or the input has changed.
        """
        progress = self._read_note() if resume else None
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._file = self._partial.open("r+b" if progress else "wb")
        except OSError as error:
            raise ResMLPError(
                f"{self.path} must be writable, but is not ({error.strerror}); name another place"
            ) from error
        if not progress:
            self._note.unlink(missing_ok=True)
            return 0
        require(progress.job == self._job, "a resumed job", "of the same model and options", "another", "start it anew")
        while reader.lines < progress.lines and reader.read_window(min(WINDOW_LINES, progress.lines - reader.lines)):
            pass
        same = reader.lines == progress.lines and reader.consumed.hexdigest() == progress.consumed
        require(same, "a resumed job's input", "what it was", "changed", "start it anew, without --resume")
        whole = self._partial.stat().st_size >= progress.output_bytes
        require(whole, str(self._partial), "as long as was noted", "shorter", "start anew, without --resume")
        self._file.seek(progress.output_bytes)
        self._file.truncate()
        return progress.lines

    def _read_note(self) -> Progress | None:
        if not self._note.is_file():
            return None
        try:
            return Progress(**json.loads(self._note.read_text(encoding="utf-8")))
        except (ValueError, TypeError) as error:
            raise ResMLPError(f"{self._note} must say how far a job has come, but is damaged; start it anew") from error

    def write(self, content: bytes, reader: LineReader) -> None:
        """Writes a window, and then notes that it is done.

        Raises:
            ResMLPError: when the disk is full; what was written before stays.
        """
        try:
            self._append(content, reader)
        except OSError as error:
            raise ResMLPError(
                f"{self.path} must be writable, but is no more ({error.strerror}); make room, then --resume"
            ) from error

    def _append(self, content: bytes, reader: LineReader) -> None:
        assert self._file is not None, "opened before"
        # One gzip member a window: a resumed file is cut between two, and no time stamp makes it differ.
        self._file.write(gzip.compress(content, mtime=0) if self.path.suffix == ".gz" else content)
        self._file.flush()
        os.fsync(self._file.fileno())
        progress = Progress(self._job, reader.lines, reader.consumed.hexdigest(), self._file.tell())
        files.write_json(self._note, asdict(progress))

    def finish(self) -> None:
        """Gives the file its name."""
        assert self._file is not None, "opened before"
        self._file.close()
        self._partial.replace(self.path)
        self._note.unlink(missing_ok=True)

    def close(self) -> None:
        """Leaves an unfinished file to be resumed."""
        if self._file is not None:
            self._file.close()
