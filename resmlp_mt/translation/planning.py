"""What becomes of a line: nothing, one sentence, or the pieces of a line that is longer than the model."""

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
_LINES = 1_000_000_000  # more than any job has


@dataclass
class Line:
    """A line on its way.

    Attributes:
        request: the line.
        pieces: of its text.
        places: of each piece among all sources to be searched; None where the piece is copied.
        note: see `Translation`.
    """

    request: Request
    pieces: list[str]
    places: list[int | None] = field(default_factory=list)
    note: str = ""


class Planner:
    """Makes sources for a search out of lines, and lines out of its hypotheses.

    Args:
        source, target: segmenters.
        max_source_len: longest source in sub-words, end of sentence included.
        too_long: what to do with longer lines, one of `TOO_LONG`.

    Attributes:
        sources: to be searched, of all lines planned so far.
    """

    def __init__(self, source: Tokenizer, target: Tokenizer, max_source_len: int, too_long: str) -> None:
        require_choice("--too-long", too_long, TOO_LONG)
        self._source, self._target = source, target
        self._max_source_len, self._too_long = max_source_len, too_long
        self.sources: list[Source] = []

    def plan(self, request: Request, tokens: list[int]) -> Line:
        """Decides what to search for a line, and puts it behind `sources`.

        Args:
            request: the line.
            tokens: of its text.

        Raises:
            ResMLPError: when the line is too long and that is an error.
        """
        if len(tokens) == 1:  # nothing but the end of the sentence
            return Line(request, [])
        if len(tokens) <= self._max_source_len:
            return self._place(Line(request, [request.text]), [tokens])
        said = f"line {request.number} has {len(tokens)} sub-words, {self._max_source_len} is the most"
        if self._too_long == "error":
            raise ResMLPError(f"a line must be as short as the model, but {said}; choose another --too-long")
        if self._too_long == "copy":
            return Line(request, [request.text], [None], f"{said}: copied")
        if self._too_long == "truncate":
            cut = [*tokens[: self._max_source_len - 1], tokens[-1]]
            return self._place(Line(request, [request.text], note=f"{said}: truncated"), [cut])
        pieces = split_to_fit(request.text, self._fits)
        note = f"{said}: split into {len(pieces)}" + ", without its constraints" * bool(request.constraints)
        return self._place(Line(request, pieces, note=note), self._source.encode(pieces))

    def _fits(self, text: str) -> bool:
        return len(self._source.encode([text])[0]) <= self._max_source_len

    def _place(self, line: Line, encoded: list[list[int]]) -> Line:
        request = line.request
        for number, tokens in enumerate(encoded):
            if len(tokens) == 1 or len(tokens) > self._max_source_len:  # white space, or one endless character
                line.places.append(None)
                continue
            line.places.append(len(self.sources))
            prefix = self._target.encode([request.prefix])[0][:-1] if number == 0 and request.prefix else ()
            constraints = request.constraints if len(encoded) == 1 else ()
            tokens_of_constraints = [of_constraint[:-1] for of_constraint in self._target.encode(constraints)]
            seed = request.number + number * _LINES  # pieces of one line must not draw the same
            self.sources.append(Source(tokens, prefix, [c for c in tokens_of_constraints if c], seed))
        return line

    def assemble(
        self,
        line: Line,
        found: Sequence[Sequence[Hypothesis]],
        alignments: Sequence[Sequence[Alignment]] | None,
        length_penalty: float,
    ) -> Translation:
        """Puts the pieces of a line together: its n-th candidate is made of the n-th of every piece.

        Args:
            line: from `plan`.
            found: the hypotheses of each of `sources`.
            alignments: of the same, if wanted.
            length_penalty: of the search.
        """
        places = [place for place in line.places if place is not None]
        if not places:
            copied = (Candidate(line.request.text, 0.0),) if line.places else ()
            return Translation(line.request.text, copied, line.note)
        count = max(len(found[place]) for place in places)
        between = "" if self._target.lang in _WITHOUT_SPACES else " "
        candidates = []
        for rank in range(count):
            ranks = {place: min(rank, len(found[place]) - 1) for place in places}
            chosen = [found[place][ranks[place]] for place in places]
            texts = [
                piece.strip() if place is None else self._target.decode(found[place][ranks[place]].tokens)
                for piece, place in zip(line.pieces, line.places, strict=True)
            ]
            aligned = None if alignments is None else _join_alignments(alignments[p][ranks[p]] for p in places)
            text = join_translations(line.pieces, texts, between)
            candidates.append(Candidate(text, _joint_score(chosen, length_penalty), aligned))
        tokens = sum(len(found[place][0].tokens) for place in places)
        return Translation(line.request.text, tuple(candidates), line.note, tokens)


def _joint_score(hypotheses: Sequence[Hypothesis], length_penalty: float) -> float:
    if len(hypotheses) == 1:
        return hypotheses[0].score
    scores = [score for hypothesis in hypotheses for score in hypothesis.token_scores]
    return sum(scores) / len(scores) ** length_penalty


def _join_alignments(alignments: Iterable[Alignment]) -> Alignment:
    joined = Alignment([], [], [])
    for alignment in alignments:
        shift = len(joined.source_words), len(joined.target_words)
        joined.links.extend((source + shift[0], target + shift[1]) for source, target in alignment.links)
        joined.source_words.extend(alignment.source_words)
        joined.target_words.extend(alignment.target_words)
    return joined
