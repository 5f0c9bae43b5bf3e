"""Translating files and pipes of any length: in order and in bounded memory."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from resmlp_mt.translation.output import OutputFormat
from resmlp_mt.translation.search.settings import SearchSettings
from resmlp_mt.translation.text.lines import WINDOW_LINES, LineReader
from resmlp_mt.translation.translator import Translator
from resmlp_mt.translation.types import Request, Translation


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

    def describe(self, translator: Translator) -> dict[str, Any]:
        """All that decides over the output besides the input, by names for readers."""
        identity = {**translator.identity}
        described = {
            "model": " ".join(_short_digest(digests) for digests in identity.pop("models")),
            **asdict(self.settings),
            **{f"output {name}": value for name, value in asdict(self.output).items()},
            "too_long": self.too_long,
            "constraints": self.constraints,
            **{f"batch {name}": value for name, value in identity.pop("limits").items()},
            **identity,
        }
        return {name.replace("_", " "): value for name, value in described.items()}

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


def _short_digest(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


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
