"""The options of a search."""

from __future__ import annotations

from dataclasses import dataclass

from resmlp_mt.common.errors import ResMLPError, require_choice, require_flag, require_number, require_whole_number

CONSTRAINT_ORDERS = ("ordered", "unordered")
_MAX_LEN = 1_000_000  # in sub-words; no model supports more

# The minimum and maximum of each numeric option. Values outside overflow or make no sense.
_INTEGER_RANGES: dict[str, tuple[int, int]] = {
    "beam_size": (1, 10_000),  # `Translator` has a lower limit, which depends on the memory of a batch
    "nbest": (1, 10_000),
    "min_len": (0, _MAX_LEN),
    "max_len_b": (0, _MAX_LEN),
    "no_repeat_ngram": (0, _MAX_LEN),
    "sampling_topk": (0, _MAX_LEN),
    "diverse_groups": (0, 10_000),
    "seed": (0, 2**63 - 1),
}
_FLOAT_RANGES: dict[str, tuple[float, float]] = {
    "length_penalty": (-10.0, 10.0),
    "unknown_penalty": (-1e9, 1e9),
    "max_len_a": (0.0, 1000.0),
    "temperature": (0.001, 1000.0),
    "sampling_topp": (0.0, 1.0),
    "diverse_strength": (0.0, 1000.0),
    "sibling_penalty": (0.0, 1000.0),
}
_KINDS = ("sampling", "diverse_groups", "sibling_penalty")


@dataclass(frozen=True)
class SearchSettings:
    """The options of a search. Those that fairseq also has mean the same there.

    Attributes:
        beam_size: hypotheses kept for each sentence during the search.
        nbest: hypotheses returned for each sentence, at most beam_size.
        length_penalty: scores are divided by length ** length_penalty; above 1 favours long translations, 0 does not
            normalise.
        unknown_penalty: subtracted from the log-probability of the unknown token.
        min_len: minimum number of target sub-words before the end of the sentence.
        max_len_a, max_len_b: the maximum number of target sub-words is max_len_a * source sub-words + max_len_b. Unlike
            fairseq, which uses the longest source of a batch, every sentence has the limit of its own length.
        no_repeat_ngram: n-grams of this size occur at most once; 0 allows repetition.
        temperature: divides the logits.
        sampling: sample from the model's distribution instead of searching for the best translation.
        sampling_topk: sample from the k most probable tokens; 0 for all.
        sampling_topp: sample from the fewest most probable tokens whose probabilities sum to p; 0 for all.
        seed: for sampling. Every sentence has its own random number generator, so its samples do not depend on its
            batch.
        diverse_groups: number of groups of a diverse beam search (Vijayakumar et al. 2016); 0 for none.
        diverse_strength: penalty for a token that an earlier group chose in the same step.
        sibling_penalty: the n-th best continuation of the same beam pays this n times (Li and Jurafsky 2016); 0 for
            none.
        constraint_order: whether constraints must occur in the order given.

    Raises:
        ResMLPError: if a value has another type, is out of range, or contradicts another one.
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
        for name, (least, most) in _INTEGER_RANGES.items():
            require_whole_number(name, getattr(self, name), least, most)
        for name, (low, high) in _FLOAT_RANGES.items():
            require_number(name, getattr(self, name), low, high)
        require_flag("sampling", self.sampling)
        require_choice("constraint_order", self.constraint_order, CONSTRAINT_ORDERS)
        self._check_combination()

    @property
    def kinds(self) -> list[str]:
        """The options given that replace plain beam search by another kind of search; at most one."""
        return [name for name in _KINDS if getattr(self, name)]

    def _check_combination(self) -> None:
        if self.nbest > self.beam_size:
            raise ResMLPError(
                f"nbest {self.nbest} is greater than beam_size {self.beam_size}; raise beam_size or lower nbest"
            )
        for name in ("sampling_topk", "sampling_topp"):
            if getattr(self, name) and not self.sampling:
                raise ResMLPError(f"{name} requires sampling; turn sampling on, or leave {name} out")
        if len(self.kinds) > 1:
            raise ResMLPError(f"{' and '.join(self.kinds)} cannot be combined; choose one")
        if self.diverse_groups and self.beam_size % self.diverse_groups:
            raise ResMLPError(
                f"beam_size {self.beam_size} is not divisible by diverse_groups {self.diverse_groups}; change one"
            )
