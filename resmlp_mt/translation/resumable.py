"""Output of a translation job: a file that an interrupted job can resume, or a stream."""

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

_START_AGAIN = "start again with --overwrite instead of --resume"
_OLD_RECORD_KEYS = {"job", "lines", "consumed", "output_bytes"}  # of version 0.1.1


def record_path(path: Path) -> Path:
    """The path of an output's job record: a hidden file next to the output."""
    target = files.destination(path)
    return target.with_name(f".{target.name}.job.json")


@dataclass(frozen=True)
class JobRecord:
    """The progress of a job, written after each window and kept when the job is finished.

    Attributes:
        settings: everything besides the input that determines the output.
        lines: number of lines done.
        consumed: sha256 of these lines.
        output_bytes: size of the output so far.
    """

    settings: Mapping[str, Any]
    lines: int
    consumed: str
    output_bytes: int


class Output(Protocol):
    """An output of translations."""

    def is_finished(self, reader: LineReader, /) -> bool:
        """Whether the same job has already finished the output."""

    def open(self, reader: LineReader, resume: bool, overwrite: bool, /) -> int:
        """Starts or resumes the output; returns the number of lines done."""

    def write(self, content: bytes, reader: LineReader, /) -> None:
        """Writes a window. The reader has just read its last line."""

    def finish(self) -> None:
        """Completes the output."""

    def close(self) -> None:
        """Closes the output, complete or not."""


class StreamOutput:
    """A device, named pipe or similar, which cannot be resumed."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: BinaryIO | None = None

    def is_finished(self, _reader: LineReader) -> bool:
        """Returns False: a stream is never finished in advance."""
        return False

    def open(self, _reader: LineReader, _resume: bool, _overwrite: bool) -> int:
        """Opens the stream.

        Raises:
            ResMLPError: if it is not writable.
        """
        try:
            self._file = files.open_stream(self._path)
        except OSError as error:
            raise files.unwritable(self._path, error) from error
        return 0

    def write(self, content: bytes, _reader: LineReader) -> None:
        """Writes a window.

        Raises:
            ResMLPError: if that fails.
        """
        assert self._file is not None, "opened before"
        try:
            self._file.write(_compressed(content, self._path))
            self._file.flush()
        except OSError as error:
            raise files.unwritable(self._path, error) from error

    def finish(self) -> None:
        """Does nothing; everything is written already."""

    def close(self) -> None:
        """Closes the stream."""
        if self._file is not None:
            with suppress(OSError):  # errors of writing have been reported
                self._file.close()


class ResumableOutput:
    """A file that is written under a temporary name, next to a job record, and gets its name when it is complete.

    The temporary file is locked while a job writes it. The record is kept after the job, so that a later --resume can
    tell whether the file belongs to it.

    Args:
        path: of the output, compressed if it ends in .gz; links are followed.
        settings: everything besides the input that determines the output, under readable names.
    """

    def __init__(self, path: Path, settings: Mapping[str, Any]) -> None:
        self.path = files.destination(path)
        self._settings = json.loads(json.dumps(settings))
        self._partial = files.partial_name(self.path)
        self._record_path = record_path(path)
        self._file: BinaryIO | None = None
        self._is_empty = False  # whether this job has started from the beginning and written nothing yet

    def is_finished(self, reader: LineReader) -> bool:
        """Whether this job has already finished the output. Reads the whole input to compare it.

        Raises:
            ResMLPError: if the output belongs to another job or input, or has changed since.
        """
        if self._partial.exists() or not self.path.exists():
            return False
        record = self._read_record()
        if record is None:
            raise ResMLPError(f"{self.path} exists but has no job record, so it may be outdated; {_START_AGAIN}")
        self._check_same_settings(record)
        if not self._skip_done_lines(reader, record) or reader.read_window(1):
            raise ResMLPError(f"{self.path} was made from a different input; {_START_AGAIN}")
        if self.path.stat().st_size != record.output_bytes:
            raise ResMLPError(f"{self.path} has changed since it was written; {_START_AGAIN}")
        return True

    def open(self, reader: LineReader, resume: bool, overwrite: bool) -> int:
        """Opens the file.

        Args:
            reader: of the input; lines that are done are skipped.
            resume: whether to continue an interrupted job.
            overwrite: whether to start again, whatever an interrupted job has left.

        Returns:
            Number of lines done.

        Raises:
            ResMLPError: if the file is not writable, another job is writing it, or an interrupted job that left it is
                neither resumed nor overwritten, or cannot be resumed.
        """
        self._check_old_record(overwrite)
        try:
            self._file = self._open_locked()
            record = None if overwrite else self._read_record()
            is_unfinished = os.fstat(self._file.fileno()).st_size > 0 if record is None else record.lines > 0
            if is_unfinished and not overwrite:
                return self._resume(self._file, record, reader, resume)
            self._record_path.unlink(missing_ok=True)
            self._file.truncate(0)
            self._is_empty = True
            self._write_record(reader)
        except OSError as error:
            raise files.unwritable(self.path, error) from error
        return 0

    def _open_locked(self) -> BinaryIO:
        """Opens the temporary file, creating it if needed, and locks it for this job."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        while True:
            if not self._partial.exists():
                self._record_path.unlink(missing_ok=True)  # of a finished job, whose output is replaced
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
            file.close()  # another job has just finished and renamed it

    def _resume(self, file: BinaryIO, record: JobRecord | None, reader: LineReader, resume: bool) -> int:
        if not resume:
            raise ResMLPError(
                f"{self._partial} holds an unfinished job of {self.path}; --resume continues it, --overwrite starts "
                "again"
            )
        if record is None:
            raise ResMLPError(f"{self._partial} exists but has no job record; {_START_AGAIN}")
        self._check_same_settings(record)
        if not self._skip_done_lines(reader, record):
            raise ResMLPError(f"the input has changed since the job of {self.path} started; {_START_AGAIN}")
        if os.fstat(file.fileno()).st_size < record.output_bytes:
            raise ResMLPError(f"{self._partial} is shorter than its job record says; {_START_AGAIN}")
        file.seek(record.output_bytes)
        file.truncate()
        return record.lines

    def _check_same_settings(self, record: JobRecord) -> None:
        names = dict.fromkeys([*record.settings, *self._settings])
        pairs = [(name, record.settings.get(name), self._settings.get(name)) for name in names]
        changes = [f"{name} was {old} and is now {new}" for name, old, new in pairs if old != new]
        if changes:
            raise ResMLPError(
                f"{self.path} belongs to another job: {', '.join(changes)}; use the same options, or {_START_AGAIN}"
            )

    def _skip_done_lines(self, reader: LineReader, record: JobRecord) -> bool:
        """Reads the lines that are done; returns whether they equal those of the record."""
        while reader.lines < record.lines and reader.read_window(min(WINDOW_LINES, record.lines - reader.lines)):
            pass
        return reader.lines == record.lines and reader.consumed.hexdigest() == record.consumed

    def _read_record(self) -> JobRecord | None:
        if not self._record_path.is_file():
            return None
        try:
            record = JobRecord(**json.loads(self._record_path.read_text(encoding="utf-8")))
            return JobRecord(dict(record.settings), int(record.lines), str(record.consumed), int(record.output_bytes))
        except (ValueError, TypeError) as error:
            raise ResMLPError(f"the job record {self._record_path} is damaged; remove it") from error

    def _check_old_record(self, overwrite: bool) -> None:
        """Refuses to resume a job of version 0.1.1, whose record lacks the settings; removes it on --overwrite."""
        old = self.path.with_name(self.path.name + ".progress")
        if not _is_old_record(old):
            return
        if not overwrite:
            raise ResMLPError(f"{old} belongs to an interrupted job of version 0.1.1 or older; {_START_AGAIN}")
        old.unlink(missing_ok=True)

    def write(self, content: bytes, reader: LineReader) -> None:
        """Writes a window, and then the job record.

        Raises:
            ResMLPError: if the disk is full; earlier windows are kept.
        """
        try:
            self._append(content, reader)
        except OSError as error:
            raise files.unwritable(self.path, error, "make room, then give --resume") from error

    def _append(self, content: bytes, reader: LineReader) -> None:
        assert self._file is not None, "opened before"
        self._file.write(_compressed(content, self.path))
        self._file.flush()
        os.fsync(self._file.fileno())
        self._write_record(reader)
        self._is_empty = False

    def _write_record(self, reader: LineReader) -> None:
        assert self._file is not None, "opened before"
        record = JobRecord(self._settings, reader.lines, reader.consumed.hexdigest(), self._file.tell())
        files.write_json(self._record_path, asdict(record))

    def finish(self) -> None:
        """Renames the temporary file to its final name.

        Raises:
            ResMLPError: if that fails.
        """
        assert self._file is not None, "opened before"
        try:
            self._partial.replace(self.path)
        except OSError as error:
            raise files.unwritable(self.path, error) from error
        self._file.close()
        self._file = None

    def close(self) -> None:
        """Closes the file. An unfinished one is kept so that it can be resumed, unless it is empty."""
        if self._file is None:
            return
        if self._is_empty:
            self._partial.unlink(missing_ok=True)
            self._record_path.unlink(missing_ok=True)
        self._file.close()
        self._file = None


def _is_old_record(path: Path) -> bool:
    try:
        return set(json.loads(path.read_text(encoding="utf-8"))) == _OLD_RECORD_KEYS
    except (OSError, ValueError, TypeError):
        return False


def _compressed(content: bytes, path: Path) -> bytes:
    # One gzip member per window, so that a file can be resumed after any; without time stamps, so that files are equal.
    return gzip.compress(content, mtime=0) if path.suffix == ".gz" else content
