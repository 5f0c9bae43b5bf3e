"""What a search is asked to do."""

from __future__ import annotations

from dataclasses import dataclass

from resmlp_mt.errors import require, require_choice

CONSTRAINT_ORDERS = ("ordered", "unordered")


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
        for name in ("beam_size", "nbest"):
            _require_at_least(name, getattr(self, name), 1)
        for name in ("min_len", "max_len_a", "max_len_b", "no_repeat_ngram", "sampling_topk", "diverse_groups", "seed"):
            _require_at_least(name, getattr(self, name), 0)
        require(
            self.nbest <= self.beam_size, "nbest", f"at most beam_size {self.beam_size}", self.nbest, "raise beam_size"
        )
        require(self.temperature > 0, "temperature", "above 0", self.temperature, "change it")
        require(0 <= self.sampling_topp <= 1, "sampling_topp", "from 0 to 1", self.sampling_topp, "give a probability")
        require_choice("constraint_order", self.constraint_order, CONSTRAINT_ORDERS)
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


def _require_at_least(name: str, value: float, least: int) -> None:
    require(value >= least, name, f"at least {least}", value, "change it")
