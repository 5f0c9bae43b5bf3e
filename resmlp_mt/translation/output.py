"""How translations are written: as text, tab-separated, or JSON."""

from __future__ import annotations

import json
from dataclasses import dataclass

from resmlp_mt.common.errors import require, require_choice
from resmlp_mt.translation.types import Candidate, Translation

FORMATS = ("text", "tsv", "jsonl")


@dataclass(frozen=True)
class OutputFormat:
    """What is written of each translation.

    Attributes:
        kind: one of `FORMATS`. Text is one line with the best translation; tsv one line for each candidate: number of
            the line, rank, then score and alignment if asked for, then text; jsonl one object.
        nbest: number of candidates.
        scores: whether scores are written.
        alignments: whether alignments are written.
    """

    kind: str = "text"
    nbest: int = 1
    scores: bool = False
    alignments: bool = False

    def __post_init__(self) -> None:
        require_choice("--format", self.kind, FORMATS)
        if self.kind == "text":
            for name, wanted in (("nbest", self.nbest > 1), ("scores", self.scores), ("alignments", self.alignments)):
                require(not wanted, f"--{name}", "left out of plain text", "asked for", "add --format tsv or jsonl")

    def write(self, translation: Translation, number: int) -> str:
        """The lines of a translation, each ended by a line feed."""
        if self.kind == "text":
            return f"{_one_line(translation.text)}\n"
        if self.kind == "jsonl":
            return json.dumps(self._as_json(translation, number), ensure_ascii=False) + "\n"
        candidates = translation.candidates[: self.nbest] or (Candidate("", 0.0),)
        return "".join(self._row(candidate, number, rank) for rank, candidate in enumerate(candidates, 1))

    def _row(self, candidate: Candidate, number: int, rank: int) -> str:
        columns = [str(number), str(rank)]
        if self.scores:
            columns.append(f"{candidate.score:.6f}")
        if self.alignments:
            columns.append(_pharaoh(candidate))
        return "\t".join([*columns, _one_line(candidate.text).replace("\t", " ")]) + "\n"

    def _as_json(self, translation: Translation, number: int) -> dict[str, object]:
        candidates = [self._candidate(candidate) for candidate in translation.candidates[: self.nbest]]
        result: dict[str, object] = {"line": number, "source": translation.source, "translation": translation.text}
        if self.nbest > 1:
            result["candidates"] = candidates
        elif candidates:
            result |= {name: value for name, value in candidates[0].items() if name != "text"}
        if translation.note:
            result["note"] = translation.note
        return result

    def _candidate(self, candidate: Candidate) -> dict[str, object]:
        result: dict[str, object] = {"text": candidate.text}
        if self.scores:
            result["score"] = round(candidate.score, 6)
        if self.alignments and candidate.alignment:
            result["source_words"] = candidate.alignment.source_words
            result["target_words"] = candidate.alignment.target_words
            result["alignment"] = _pharaoh(candidate)
        return result


def _pharaoh(candidate: Candidate) -> str:
    """Pairs of word numbers, "0-0 1-2", source first."""
    return " ".join(f"{source}-{target}" for source, target in candidate.alignment.links) if candidate.alignment else ""


def _one_line(text: str) -> str:
    return text.replace("\n", " ")
