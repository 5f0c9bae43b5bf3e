"""Translates files and streams of any length, in order and in bounded memory."""

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
    """The options of a translation job.

    Attributes:
        settings: the search options.
        output: the output format.
        too_long: how to handle lines longer than the model supports, one of `planning.TOO_LONG`.
        constraints: whether a line holds constraints after its text, separated by tabs.
        align: whether to compute alignments even if the output format does not need them.
    """

    settings: SearchSettings
    output: OutputFormat
    too_long: str = "split"
    constraints: bool = False
    align: bool = False

    def describe(self, translator: Translator) -> dict[str, Any]:
        """Everything besides the input that determines the output, under readable names."""
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
        """Translates lines, the first of which has line number `first`."""
        requests = [self.request(line, number) for number, line in enumerate(lines, first)]
        return translator.translate_requests(
            requests, self.settings, self.too_long, self.align or self.output.alignments
        )

    def request(self, line: str, number: int) -> Request:
        """The request for a line."""
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
    """Translates all lines of a reader, window by window.

    Args:
        translator: the translator.
        job: the options.
        reader: of the input lines.
        write: is called with the output of each window.
        after_window: is called with the translations of each window.
        wait: whether to fill a window before translating it; otherwise lines are translated as they arrive.
    """
    while lines := reader.read_window(WINDOW_LINES, wait):
        first = reader.lines - len(lines) + 1
        translations = job.translate(translator, lines, first)
        written = "".join(job.output.write(t, number) for number, t in enumerate(translations, first))
        write(written.encode("utf-8", "replace"))
        after_window(translations)
