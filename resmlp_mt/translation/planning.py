"""Planning: turns a line into sources for the search (none, one, or the pieces of a long line) and back."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from resmlp_mt.common.errors import ResMLPError, require_choice
from resmlp_mt.translation.search.beam_search import Hypothesis, Source
from resmlp_mt.translation.text.splitting import join_translations, split_to_fit
from resmlp_mt.translation.text.tokenizer import Tokenizer
from resmlp_mt.translation.types import Alignment, Candidate, Request, Translation

TOO_LONG = ("split", "truncate", "copy", "error")
_WITHOUT_SPACES = ("ja", "km", "lo", "my", "th", "zh")
_MAX_LINES = 1_000_000_000  # more than any job has


@dataclass
class Line:
    """The plan of a line.

    Attributes:
        request: the line.
        pieces: the parts that its text was split into.
        source_indices: for each piece its index in `Planner.sources`; None if the piece is copied.
        note: see `Translation`.
    """

    request: Request
    pieces: list[str]
    source_indices: list[int | None] = field(default_factory=list)
    note: str = ""


class Planner:
    """Turns lines into sources for the search, and hypotheses into translations of the lines.

    Args:
        source, target: tokenizers.
        max_source_len: maximum source length in sub-words, including the end of the sentence.
        too_long: how to handle longer lines, one of `TOO_LONG`.

    Attributes:
        sources: the sources of all lines planned so far.
    """

    def __init__(self, source: Tokenizer, target: Tokenizer, max_source_len: int, too_long: str) -> None:
        require_choice("--too-long", too_long, TOO_LONG)
        self._source, self._target = source, target
        self._max_source_len, self._too_long = max_source_len, too_long
        self.sources: list[Source] = []

    def plan(self, request: Request, tokens: list[int]) -> Line:
        """Plans a line and appends its sources to `sources`.

        Args:
            request: the line.
            tokens: of its text.

        Raises:
            ResMLPError: if the line is too long and `too_long` is "error".
        """
        if len(tokens) == 1:  # only the end of the sentence
            return Line(request, [])
        if len(tokens) <= self._max_source_len:
            return self._add_sources(Line(request, [request.text]), [tokens])
        problem = f"line {request.number} has {len(tokens)} sub-words, but the model supports {self._max_source_len}"
        if self._too_long == "error":
            raise ResMLPError(f"{problem}; shorten it, or choose another --too-long")
        if self._too_long == "copy":
            return Line(request, [request.text], [None], f"{problem}: copied")
        if self._too_long == "truncate":
            cut = [*tokens[: self._max_source_len - 1], tokens[-1]]
            return self._add_sources(Line(request, [request.text], note=f"{problem}: truncated"), [cut])
        pieces = split_to_fit(request.text, self._fits)
        note = f"{problem}: split into {len(pieces)}" + ", without its constraints" * bool(request.constraints)
        return self._add_sources(Line(request, pieces, note=note), self._source.encode(pieces))

    def _fits(self, text: str) -> bool:
        return len(self._source.encode([text])[0]) <= self._max_source_len

    def _add_sources(self, line: Line, encoded: list[list[int]]) -> Line:
        request = line.request
        for number, tokens in enumerate(encoded):
            if len(tokens) == 1 or len(tokens) > self._max_source_len:  # blank, or one character that is too long
                line.source_indices.append(None)
                continue
            line.source_indices.append(len(self.sources))
            prefix = self._target.encode([request.prefix])[0][:-1] if number == 0 and request.prefix else ()
            constraints = request.constraints if len(encoded) == 1 else ()
            constraint_tokens = [of_constraint[:-1] for of_constraint in self._target.encode(constraints)]
            seed = request.number + number * _MAX_LINES  # different for each piece of a line
            self.sources.append(Source(tokens, prefix, [c for c in constraint_tokens if c], seed))
        return line

    def assemble(
        self,
        line: Line,
        hypotheses: Sequence[Sequence[Hypothesis]],
        alignments: Sequence[Sequence[Alignment]] | None,
        length_penalty: float,
    ) -> Translation:
        """Joins the translations of the pieces of a line. Candidate n consists of hypothesis n of every piece.

        Args:
            line: from `plan`.
            hypotheses: of each of `sources`.
            alignments: of each hypothesis, if requested.
            length_penalty: of the search.
        """
        indices = [index for index in line.source_indices if index is not None]
        if not indices:
            copied = (Candidate(line.request.text, 0.0),) if line.source_indices else ()
            return Translation(line.request.text, copied, line.note)
        count = max(len(hypotheses[index]) for index in indices)
        separator = "" if self._target.lang in _WITHOUT_SPACES else " "
        candidates = []
        for rank in range(count):
            ranks = {index: min(rank, len(hypotheses[index]) - 1) for index in indices}
            chosen = {index: hypotheses[index][ranks[index]] for index in indices}
            texts = [
                piece.strip() if index is None else self._target.decode(chosen[index].tokens)
                for piece, index in zip(line.pieces, line.source_indices, strict=True)
            ]
            aligned = None if alignments is None else _join_alignments(alignments[i][ranks[i]] for i in indices)
            text = join_translations(line.pieces, texts, separator)
            candidates.append(Candidate(text, _joint_score(list(chosen.values()), length_penalty), aligned))
        tokens = sum(len(hypotheses[index][0].tokens) for index in indices)
        return Translation(line.request.text, tuple(candidates), line.note, tokens)


def _joint_score(hypotheses: Sequence[Hypothesis], length_penalty: float) -> float:
    if len(hypotheses) == 1:
        return hypotheses[0].score
    scores = [score for hypothesis in hypotheses for score in hypothesis.token_scores]
    return float(sum(scores) / len(scores) ** length_penalty)


def _join_alignments(alignments: Iterable[Alignment]) -> Alignment:
    joined = Alignment([], [], [])
    for alignment in alignments:
        source_start, target_start = len(joined.source_words), len(joined.target_words)
        joined.links.extend((source_start + source, target_start + target) for source, target in alignment.links)
        joined.source_words.extend(alignment.source_words)
        joined.target_words.extend(alignment.target_words)
    return joined
