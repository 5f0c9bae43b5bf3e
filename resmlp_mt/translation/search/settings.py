"""What a search is asked to do."""

from __future__ import annotations

from dataclasses import dataclass

from resmlp_mt.common.errors import require, require_choice, require_flag, require_number, require_whole_number

CONSTRAINT_ORDERS = ("ordered", "unordered")
_LONGEST = 1_000_000  # in sub-words; no model comes near it

# The least and the greatest value of each setting that is a number, beyond which a search overflows or makes no sense.
_WHOLE_NUMBERS: dict[str, tuple[int, int]] = {
    "beam_size": (1, 10_000),  # `Translator` has a lower limit, by the memory of a batch
    "nbest": (1, 10_000),
    "min_len": (0, _LONGEST),
    "max_len_b": (0, _LONGEST),
    "no_repeat_ngram": (0, _LONGEST),
    "sampling_topk": (0, _LONGEST),
    "diverse_groups": (0, 10_000),
    "seed": (0, 2**63 - 1),
}
_NUMBERS: dict[str, tuple[float, float]] = {
    "length_penalty": (-10.0, 10.0),
    "unknown_penalty": (-1e9, 1e9),
    "max_len_a": (0.0, 1000.0),
    "temperature": (0.001, 1000.0),
    "sampling_topp": (0.0, 1.0),
    "diverse_strength": (0.0, 1000.0),
    "sibling_penalty": (0.0, 1000.0),
}


@dataclass(frozen=True)
class SearchSettings:
    """The options of a search; those that fairseq has mean the same there.

    Attributes:
        beam_size: hypotheses kept for each sentence while searching.
        nbest: hypotheses given back for each sentence, at most beam_size.
        length_penalty: scores are divided by length ** length_penalty; above 1 favours long, 0 does not normalise.
        unknown_penalty: subtracted from the log-probability of the unknown word.
        min_len: fewest target sub-words before the end of the sentence.
        max_len_a, max_len_b: most target sub-words, max_len_a * source sub-words + max_len_b. Unlike fairseq, which
            takes the longest source of a batch, every sentence has the limit of its own length.
        no_repeat_ngram: no sequence of this many sub-words occurs twice; 0 allows all.
        temperature: divides the logits.
        sampling: draw from the model's distribution instead of searching for the best.
        sampling_topk: draw from the so many most probable tokens; 0 for all.
        sampling_topp: draw from the fewest tokens that together have this probability; 0 for all.
        seed: of the sampling. Every sentence has a stream of its own, so that it does not depend on its batch.
        diverse_groups: groups of beams that are pushed apart (Vijayakumar et al. 2016); 0 for none.
        diverse_strength: penalty for a token that an earlier group has chosen in the same step.
        sibling_penalty: penalty for each better continuation of the same beam (Li and Jurafsky 2016); 0 for none.
        constraint_order: whether the words that must occur do so in the order given.

    Raises:
        ResMLPError: when a value is of another type, outside its range, or does not fit the others.
    """

    beam_size: int = 4
    nbest: int = 1
    length_penalty: float = 1.0
    unknown_penalty: float = 0.0
    min_len: int = 1
    max_len_a: float = 0.0
    max_len_b: int = 200
    no_repeat_ngram: int = 0
    temperature: float = 1.0
    sampling: bool = False
    sampling_topk: int = 0
    sampling_topp: float = 0.0
    seed: int = 1
    diverse_groups: int = 0
    diverse_strength: float = 0.5
    sibling_penalty: float = 0.0
    constraint_order: str = "unordered"

    def __post_init__(self) -> None:
        for name, (least, most) in _WHOLE_NUMBERS.items():
            require_whole_number(name, getattr(self, name), least, most)
        for name, (low, high) in _NUMBERS.items():
            require_number(name, getattr(self, name), low, high)
        require_flag("sampling", self.sampling)
        require_choice("constraint_order", self.constraint_order, CONSTRAINT_ORDERS)
        require(
            self.nbest <= self.beam_size, "nbest", f"at most beam_size {self.beam_size}", self.nbest, "raise beam_size"
        )
        if not self.sampling:
            for name in ("sampling_topk", "sampling_topp"):
                require(
                    getattr(self, name) == 0, name, "0 without sampling", getattr(self, name), "ask for sampling too"
                )
        chosen = [name for name in ("sampling", "diverse_groups", "sibling_penalty") if getattr(self, name)]
        require(len(chosen) <= 1, "the kind of search", "one", " and ".join(chosen), "leave one out")
        if self.diverse_groups:
            require(
                self.beam_size % self.diverse_groups == 0,
                "beam_size",
                f"divisible by diverse_groups {self.diverse_groups}",
                self.beam_size,
                "change one of the two",
            )
