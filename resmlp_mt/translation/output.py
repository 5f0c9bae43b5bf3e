"""Output formats of translations: text, tab-separated values, JSON lines."""

from __future__ import annotations

import json
from dataclasses import dataclass

from resmlp_mt.common.errors import ResMLPError, require_choice
from resmlp_mt.translation.types import Candidate, Translation

FORMATS = ("text", "tsv", "jsonl")


@dataclass(frozen=True)
class OutputFormat:
    """The output format.

    Attributes:
        kind: one of `FORMATS`. "text": one line with the best translation. "tsv": one line for each candidate with line
            number, rank, score and alignment if requested, text. "jsonl": one JSON object per line.
        nbest: number of candidates to write.
        scores: whether to write scores.
        alignments: whether to write alignments.

    Raises:
        ResMLPError: if `kind` is unknown, or "text" with anything but the best translation.
    """

    kind: str = "text"
    nbest: int = 1
    scores: bool = False
    alignments: bool = False

    def __post_init__(self) -> None:
        require_choice("--format", self.kind, FORMATS)
        if self.kind == "text":
            for name, given in (("nbest", self.nbest > 1), ("scores", self.scores), ("alignments", self.alignments)):
                if given:
                    raise ResMLPError(f"--{name} requires --format tsv or jsonl; add one of them, or leave it out")

    def write(self, translation: Translation, number: int) -> str:
        """Formats a translation; each of its lines ends with a line feed."""
        if self.kind == "text":
            return f"{_one_line(translation.text)}\n"
        if self.kind == "jsonl":
            return json.dumps(self._as_json(translation, number), ensure_ascii=False) + "\n"
        candidates = translation.candidates[: self.nbest] or (Candidate("", 0.0),)
        return "".join(self._row(candidate, number, rank) for rank, candidate in enumerate(candidates, 1))

    def _row(self, candidate: Candidate, number: int, rank: int) -> str:
        fields = [str(number), str(rank)]
        if self.scores:
            fields.append(f"{candidate.score:.6f}")
        if self.alignments:
            fields.append(_pharaoh(candidate))
        return "\t".join([*fields, _one_line(candidate.text).replace("\t", " ")]) + "\n"

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
    """The alignment in Pharaoh format: pairs of word indices, source first, such as "0-0 1-2"."""
    return " ".join(f"{source}-{target}" for source, target in candidate.alignment.links) if candidate.alignment else ""


def _one_line(text: str) -> str:
    return text.replace("\n", " ")
