"""Output of a long job: a file that an interrupted job goes on with and no other job may take, or a stream."""

from __future__ import annotations

import fcntl
import gzip
import json
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO, Protocol

from resmlp_mt.common import files
from resmlp_mt.common.errors import ResMLPError
from resmlp_mt.translation.text.lines import WINDOW_LINES, LineReader

_ANEW = "start anew with --overwrite in place of --resume"
_OLD_NOTE = {"job", "lines", "consumed", "output_bytes"}


def note_path(path: Path) -> Path:
    """Where the note of an output's job lies: hidden, beside the file, as long as the file is there."""
    target = files.destination(path)
    return target.with_name(f".{target.name}.job.json")


@dataclass(frozen=True)
class Note:
    """What is noted of a job after each window; it stays when the job is finished.

    Attributes:
        settings: all that decides over the output besides the input.
        lines: number of lines that are done.
        consumed: sha256 of these lines.
        output_bytes: length of the output so far.
    """

    settings: Mapping[str, Any]
    lines: int
    consumed: str
    output_bytes: int


class Output(Protocol):
    """Where translations are written."""

    def is_finished(self, reader: LineReader) -> bool:
        """Whether the same job has already written all of it."""

    def open(self, reader: LineReader, resume: bool, overwrite: bool) -> int:
        """Begins, or goes on; returns the number of lines that are done."""

    def write(self, content: bytes, reader: LineReader) -> None:
        """Writes a window, whose last line the reader has just read."""

    def finish(self) -> None:
        """Ends an output that is complete."""

    def close(self) -> None:
        """Ends an output, complete or not."""


class StreamOutput:
    """A device, a named pipe or the like, which keeps nothing that could be resumed."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: BinaryIO | None = None

    def is_finished(self, reader: LineReader) -> bool:
        """It never is."""
        return False

    def open(self, reader: LineReader, resume: bool, overwrite: bool) -> int:
        """Opens the stream.

        Raises:
            ResMLPError: when it cannot be written.
        """
        try:
            self._file = files.open_stream(self._path)
        except OSError as error:
            raise files.unwritable(self._path, error) from error
        return 0

    def write(self, content: bytes, reader: LineReader) -> None:
        """Writes a window.

        Raises:
            ResMLPError: when that fails.
        """
        assert self._file is not None, "opened before"
        try:
            self._file.write(_packed(content, self._path))
            self._file.flush()
        except OSError as error:
            raise files.unwritable(self._path, error) from error

    def finish(self) -> None:
        """Does nothing: all has been written."""

    def close(self) -> None:
        """Closes the stream."""
        if self._file is not None:
            with suppress(OSError):  # what could not be written has been reported
                self._file.close()


class ResumableOutput:
    """A file that grows under a temporary name beside a note of how far it has come, and is whole at the end.

    The temporary file is locked while a job writes it. The job is finished when the temporary file has got the final
    name; the note stays, so that a later --resume can tell whether that file is its own.

    Args:
        path: of the output, packed if it ends in .gz; a link is followed.
        settings: all that decides over the output besides the input, by names for readers.
    """

    def __init__(self, path: Path, settings: Mapping[str, Any]) -> None:
        self.path = files.destination(path)
        self._settings = json.loads(json.dumps(settings))
        self._partial = files.partial_name(self.path)
        self._note = note_path(path)
        self._file: BinaryIO | None = None
        self._is_empty = False  # whether this job was begun anew and has not written anything yet

    def is_finished(self, reader: LineReader) -> bool:
        """Whether this job has already written the output, which needs a look at all of the input.

        Raises:
            ResMLPError: when the output is there, but of another job or input, or changed since.
        """
        if self._partial.exists() or not self.path.exists():
            return False
        note = self._read_note()
        if note is None:
            raise ResMLPError(f"{self.path} is there, but nothing is noted of its job, so it may be stale; {_ANEW}")
        self._require_same_settings(note)
        if not self._skip_done(reader, note) or reader.read_window(1):
            raise ResMLPError(f"{self.path} was made from another input than the one given; {_ANEW}")
        if self.path.stat().st_size != note.output_bytes:
            raise ResMLPError(f"{self.path} has changed since it was written; {_ANEW}")
        return True

    def open(self, reader: LineReader, resume: bool, overwrite: bool) -> int:
        """Opens the file.

        Args:
            reader: of the input; its lines that are done are skipped.
            resume: go on with an interrupted job.
            overwrite: start anew, whatever an interrupted job has left.

        Returns:
            Number of lines that are done.

        Raises:
            ResMLPError: when the file cannot be written, another job writes it, or there is an interrupted job that
                must not be deleted or cannot be gone on with.
        """
        self._settle_old_note(overwrite)
        try:
            self._file = self._open_locked()
            note = None if overwrite else self._read_note()
            left = os.fstat(self._file.fileno()).st_size > 0 if note is None else note.lines > 0
            if left and not overwrite:
                return self._go_on(self._file, note, reader, resume)
            self._note.unlink(missing_ok=True)
            self._file.truncate(0)
            self._is_empty = True
            self._write_note(reader)
        except OSError as error:
            raise files.unwritable(self.path, error) from error
        return 0

    def _open_locked(self) -> BinaryIO:
        """Opens the temporary file, and makes it where there is none, for this job alone."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        while True:
            if not self._partial.exists():
                self._note.unlink(missing_ok=True)  # of a finished job, whose file this one replaces
            self._partial.touch()
            file = self._partial.open("r+b")
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                file.close()
                raise ResMLPError(f"another job is writing {self.path}; wait for it, or name another output") from error
            except OSError:  # a file system without locks
                return file
            with suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(file.fileno()), self._partial.stat()):
                    return file
            file.close()  # the job that had it has just finished and renamed it

    def _go_on(self, file: BinaryIO, note: Note | None, reader: LineReader, resume: bool) -> int:
        if not resume:
            raise ResMLPError(
                f"an unfinished job of {self.path} lies in {self._partial}; --resume goes on with it, --overwrite "
                "starts anew"
            )
        if note is None:
            raise ResMLPError(f"{self._partial} is there, but nothing is noted of its job; {_ANEW}")
        self._require_same_settings(note)
        if not self._skip_done(reader, note):
            raise ResMLPError(f"the input has changed since the job of {self.path} was begun; {_ANEW}")
        if os.fstat(file.fileno()).st_size < note.output_bytes:
            raise ResMLPError(f"{self._partial} is shorter than was noted of it; {_ANEW}")
        file.seek(note.output_bytes)
        file.truncate()
        return note.lines

    def _require_same_settings(self, note: Note) -> None:
        names = dict.fromkeys([*note.settings, *self._settings])
        pairs = [(name, note.settings.get(name), self._settings.get(name)) for name in names]
        changes = [f"{name} was {old} and is now {new}" for name, old, new in pairs if old != new]
        if changes:
            raise ResMLPError(f"{self.path} is of another job: {', '.join(changes)}; give the same, or {_ANEW}")

    def _skip_done(self, reader: LineReader, note: Note) -> bool:
        """Reads the lines that are done; returns whether they are those of the note."""
        while reader.lines < note.lines and reader.read_window(min(WINDOW_LINES, note.lines - reader.lines)):
            pass
        return reader.lines == note.lines and reader.consumed.hexdigest() == note.consumed

    def _read_note(self) -> Note | None:
        if not self._note.is_file():
            return None
        try:
            note = Note(**json.loads(self._note.read_text(encoding="utf-8")))
            return Note(dict(note.settings), int(note.lines), str(note.consumed), int(note.output_bytes))
        except (ValueError, TypeError) as error:
            raise ResMLPError(f"{self._note} must be the note of a job, but is damaged; remove it") from error

    def _settle_old_note(self, overwrite: bool) -> None:
        """Refuses to go on with what version 0.1.1 left: its notes do not say with which settings."""
        old = self.path.with_name(self.path.name + ".progress")
        if not _is_old_note(old):
            return
        if not overwrite:
            raise ResMLPError(f"{old} is of an interrupted job of version 0.1.1 or older; {_ANEW}")
        old.unlink(missing_ok=True)

    def write(self, content: bytes, reader: LineReader) -> None:
        """Writes a window, and then notes that it is done.

        Raises:
            ResMLPError: when the disk is full; what was written before stays.
        """
        try:
            self._append(content, reader)
        except OSError as error:
            raise files.unwritable(self.path, error, "make room, then give --resume") from error

    def _append(self, content: bytes, reader: LineReader) -> None:
        assert self._file is not None, "opened before"
        self._file.write(_packed(content, self.path))
        self._file.flush()
        os.fsync(self._file.fileno())
        self._write_note(reader)
        self._is_empty = False

    def _write_note(self, reader: LineReader) -> None:
        assert self._file is not None, "opened before"
        note = Note(self._settings, reader.lines, reader.consumed.hexdigest(), self._file.tell())
        files.write_json(self._note, asdict(note))

    def finish(self) -> None:
        """Gives the file its name.

        Raises:
            ResMLPError: when that is not possible.
        """
        assert self._file is not None, "opened before"
        try:
            self._partial.replace(self.path)
        except OSError as error:
            raise files.unwritable(self.path, error) from error
        self._file.close()
        self._file = None

    def close(self) -> None:
        """Leaves an unfinished file to be resumed; an empty one is removed."""
        if self._file is None:
            return
        if self._is_empty:
            self._partial.unlink(missing_ok=True)
            self._note.unlink(missing_ok=True)
        self._file.close()
        self._file = None


def _is_old_note(path: Path) -> bool:
    try:
        return set(json.loads(path.read_text(encoding="utf-8"))) == _OLD_NOTE
    except (OSError, ValueError, TypeError):
        return False


def _packed(content: bytes, path: Path) -> bytes:
    # One gzip member a window: a resumed file is cut between two, and no time stamp makes it differ.
    return gzip.compress(content, mtime=0) if path.suffix == ".gz" else content
