"""Removed pairs, for inspection: some examples of each rule, and all of them with `--keep-removed`."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from resmlp_mt.common.files import open_whole_file

EXAMPLES_PER_RULE = 5


@dataclass(frozen=True)
class RemovedPair:
    """A pair that a rule removed.

    Attributes:
        rule: the rule.
        part: name of the part.
        line: its line number in the part, from 1; 0 if unknown.
        src: source sentence.
        tgt: target sentence.
    """

    rule: str
    part: str
    line: int
    src: str
    tgt: str


class RemovedPairs(AbstractContextManager["RemovedPairs"]):
    """Collects removed pairs; used in a `with` block.

    Args:
        path: file for all of them, one JSON object a line; None to keep only examples.
    """

    def __init__(self, path: Path | None) -> None:
        self.examples: list[RemovedPair] = []
        self._path = path
        self._seen: Counter[str] = Counter()
        self._stack = ExitStack()
        self._file: IO[bytes] | None = None

    def __enter__(self) -> RemovedPairs:
        if self._path is not None:
            self._file = self._stack.enter_context(open_whole_file(self._path))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        return self._stack.__exit__(kind, error, trace)

    def add(self, pair: RemovedPair) -> None:
        """Adds a removed pair."""
        self._seen[pair.rule] += 1
        if self._seen[pair.rule] <= EXAMPLES_PER_RULE:
            self.examples.append(pair)
        if self._file is not None:
            # Escaped, because a pair may have been removed for invalid UTF-8.
            self._file.write(json.dumps(asdict(pair)).encode() + b"\n")

    @staticmethod
    def shortened(examples: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
        """The first few examples of each rule, with invalid UTF-8 escaped."""
        seen: Counter[str] = Counter()
        kept = []
        for example in examples:
            seen[example["rule"]] += 1
            if seen[example["rule"]] <= EXAMPLES_PER_RULE:
                kept.append({name: _printable(value) for name, value in example.items()})
        return kept


def _printable(value: Any) -> Any:
    return value.encode(errors="backslashreplace").decode() if isinstance(value, str) else value


def write_by_rule(sources: Iterable[Path], target: Path) -> None:
    """Writes the removed pairs of each rule to one file.

    Args:
        sources: files of JSON lines from `RemovedPairs`.
        target: the folder for `RULE.tsv`, with the columns part, line, source and target.
    """
    with ExitStack() as stack:
        files: dict[str, IO[bytes]] = {}
        for pair in _stored(sources):
            if pair["rule"] not in files:
                path = target / f"{pair['rule'].replace(' ', '-')}.tsv"
                files[pair["rule"]] = stack.enter_context(open_whole_file(path))
            columns = (pair["part"], str(pair["line"]), pair["src"], pair["tgt"])
            row = "\t".join(_printable(column).replace("\t", " ") for column in columns)
            files[pair["rule"]].write(f"{row}\n".encode())


def _stored(sources: Iterable[Path]) -> Iterator[dict[str, Any]]:
    for source in sources:
        with source.open("rb") as file:
            for line in file:
                yield json.loads(line)
