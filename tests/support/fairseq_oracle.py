"""fairseq's generator with the same model as ours, to compare searches."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from fairseq.data import Dictionary
from fairseq.models import ARCH_MODEL_REGISTRY, MODEL_DATACLASS_REGISTRY
from fairseq.tasks.fairseq_task import FairseqTask
from toy import shake

from resmlp_mt import register_with_fairseq
from resmlp_mt.translation.engine.step_model import TranslationModel
from resmlp_mt.translation.search.beam_search import Hypothesis, Source
from resmlp_mt.translation.search.settings import SearchSettings


@dataclass
class ToyTask:
    """The attributes of a task that model building requires."""

    source_dictionary: Dictionary
    target_dictionary: Dictionary
    cfg: Namespace = field(default_factory=lambda: Namespace(left_pad_target=False))


def make_dictionary(size: int) -> Dictionary:
    """A dictionary of `size` tokens, the special ones included."""
    dictionary = Dictionary()
    for number in range(size - len(dictionary)):
        dictionary.add_symbol(f"w{number}")
    return dictionary


def make_fairseq_model(
    vocab_size: int = 31, seed: int = 1, arch: str = "resmlp_tiny", **changes: Any
) -> tuple[Any, ToyTask]:
    """A fairseq model with random parameters, and its task."""
    register_with_fairseq()
    dictionary = make_dictionary(vocab_size)
    task = ToyTask(dictionary, dictionary)
    torch.manual_seed(seed)
    cfg = MODEL_DATACLASS_REGISTRY[arch]()
    for name, value in changes.items():
        setattr(cfg, name, value)
    model = ARCH_MODEL_REGISTRY[arch].build_model(cfg, task).eval()
    return shake(model, seed + 1), task


def ours(model: Any) -> TranslationModel:
    """The model behind our step interface."""
    return TranslationModel(model.encoder.core, model.decoder.core)


def fairseq_search(
    models: Sequence[Any], task: ToyTask, settings: SearchSettings, sources: list[Source]
) -> list[list[Hypothesis]]:
    """Translates with fairseq's generator, all sentences in one batch."""
    options = Namespace(
        beam=settings.beam_size,
        lenpen=settings.length_penalty,
        unkpen=settings.unknown_penalty,
        min_len=settings.min_len,
        max_len_a=settings.max_len_a,
        max_len_b=settings.max_len_b,
        temperature=settings.temperature,
        no_repeat_ngram_size=settings.no_repeat_ngram,
        sampling=settings.sampling,
        sampling_topk=settings.sampling_topk or -1,
        sampling_topp=settings.sampling_topp or -1.0,
        diverse_beam_groups=settings.diverse_groups or -1,
        diverse_beam_strength=settings.diverse_strength,
        diversity_rate=settings.sibling_penalty or -1,
    )
    constraints = None
    if any(source.constraints for source in sources):
        from fairseq.token_generation_constraints import pack_constraints

        options.constraints = settings.constraint_order
        constraints = pack_constraints([[torch.tensor(c) for c in source.constraints] for source in sources])
    generator = FairseqTask.build_generator(task, models, options)
    width = max(len(source.tokens) for source in sources)
    tokens = torch.full((len(sources), width), 1)
    for row, source in zip(tokens, sources, strict=True):
        row[width - len(source.tokens) :] = torch.tensor(source.tokens)
    prefixes = None
    if any(source.prefix for source in sources):
        longest = max(len(source.prefix) for source in sources)
        prefixes = torch.tensor([[*source.prefix, *[1] * (longest - len(source.prefix))] for source in sources])
    lengths = torch.tensor([len(source.tokens) for source in sources])
    sample = {"net_input": {"src_tokens": tokens, "src_lengths": lengths}}
    hypotheses = generator.generate(models, sample, prefix_tokens=prefixes, constraints=constraints)
    return [
        [
            Hypothesis(h["tokens"].tolist(), float(h["score"]), h["positional_scores"].tolist())
            for h in of_sentence[: settings.nbest]
        ]
        for of_sentence in hypotheses
    ]


def with_all(settings: SearchSettings) -> SearchSettings:
    """The same search, returning all hypotheses."""
    return replace(settings, nbest=settings.beam_size)
