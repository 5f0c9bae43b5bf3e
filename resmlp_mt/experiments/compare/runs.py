"""One run of a comparison: trains one system with one seed, averages, translates, scores. Finished steps are kept."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from resmlp_mt.common.data_manifest import read_manifest
from resmlp_mt.common.errors import ResMLPError
from resmlp_mt.common.files import write_json
from resmlp_mt.common.safe_checkpoint import read_checkpoint
from resmlp_mt.common.tensor_files import write_checkpoint
from resmlp_mt.experiments.compare.contestants import Contestant
from resmlp_mt.experiments.processes import ROOT, Commands, Finished
from resmlp_mt.experiments.recipes.training_config import read_config, same_options
from resmlp_mt.experiments.training_log import read_log
from resmlp_mt.translation.bundle.checkpoint_import import average_checkpoints
from resmlp_mt.translation.bundle.packaging import read_segmenter
from resmlp_mt.translation.evaluation.evaluation import refuse_segmented
from resmlp_mt.translation.evaluation.scores import (
    LOWER_CASED_BLEU,
    all_scores,
    as_json,
    check_counts,
    lower_cased_score,
)
from resmlp_mt.translation.text.dictionary import read_dictionary
from resmlp_mt.translation.text.lines import read_lines

# Validation as in the recipes: greedy search with a length limit, since early models rarely end a sentence.
_RECIPE = read_config("multi30k")
PATIENCE = int(_RECIPE["checkpoint.patience"])
VALIDATION_SEARCH = _RECIPE["task.eval_bleu_args"]
_TRANSLATED = re.compile(r"Translated ([\d,]+) sentences \(([\d,]+) tokens\) in ([\d.]+)s")


@dataclass(frozen=True)
class Plan:
    """The settings that all runs share.

    Attributes:
        data: folder prepared by `data_prep`.
        pair: source and target language.
        work: folder of all runs.
        budget: options of `fairseq-train` that end a training.
        options: further options of `fairseq-train` for every system.
        max_tokens: tokens per batch, including padding.
        update_freq: batches per update.
        validate_every: updates between validations and checkpoints; 0 for every epoch.
        patience: validations without a better BLEU that end a training; 0 validates the loss only.
        average: maximum number of last checkpoints to average.
        beam, length_penalty: settings of the search.
        threads: threads of each command.
        split: the split to translate and score.
        resamples: bootstrap resamples.
        on_cpu: do not use a GPU.
    """

    data: Path
    pair: tuple[str, str]
    work: Path
    budget: tuple[str, ...]
    options: tuple[str, ...] = ()
    max_tokens: int = 2048
    update_freq: int = 1
    validate_every: int = 0
    patience: int = 0
    average: int = 5
    beam: int = 5
    length_penalty: float = 1.0
    threads: int = 1
    split: str = "test"
    resamples: int = 1000
    on_cpu: bool = False

    def languages(self, task: str = "translation") -> tuple[str, ...]:
        """The arguments common to all fairseq commands."""
        cpu = ("--cpu",) if self.on_cpu else ()
        return ("--user-dir", str(ROOT / "resmlp_mt"), "--task", task, *_sides(self.pair), *cpu)

    def training(self, contestant: Contestant, seed: int) -> tuple[str, ...]:
        """The arguments of `fairseq-train`, except the folder for checkpoints."""
        every: tuple[object, ...]
        if self.validate_every:
            every = ("--save-interval-updates", self.validate_every, "--keep-interval-updates", self.average)
            every = (*every, "--no-epoch-checkpoints", "--validate-interval", 1_000_000)
        else:
            every = ("--keep-last-epochs", self.average)
        task = "translation"
        validation: tuple[object, ...] = ()
        if self.patience:
            task = "resmlp_translation"
            validation = (
                *("--eval-bleu", "--eval-bleu-args", VALIDATION_SEARCH, "--best-checkpoint-metric", "bleu"),
                *("--maximize-best-checkpoint-metric", "--patience", self.patience),
            )
        args = (
            *(str(self.data), *self.languages(task), *validation, "--criterion", "resmlp_label_smoothed_cross_entropy"),
            *("--label-smoothing", 0.1, "--max-tokens", self.max_tokens, "--update-freq", self.update_freq),
            *("--num-workers", 0, "--no-progress-bar"),
            *("--log-format", "json", "--log-interval", 10, "--skip-invalid-size-inputs-valid-test"),
            *(*every, *contestant.options, *self.options, *self.budget, "--seed", seed),
        )
        return tuple(map(str, args))

    def references(self) -> list[str]:
        """The raw references of the split.

        Raises:
            ResMLPError: when the file is missing or its text is tokenized.
        """
        path = self.data / "raw" / f"{self.split}.{self.pair[1]}"
        if not path.is_file():
            raise ResMLPError(f"there are no raw references in {path}; prepare the data with `resmlp-mt prepare`")
        lines = read_lines(path)
        refuse_segmented(str(path), lines)
        return lines


def _sides(pair: tuple[str, str]) -> tuple[str, ...]:
    return ("--source-lang", pair[0], "--target-lang", pair[1])


def load(path: Path) -> dict[str, Any]:
    """Reads a JSON object."""
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return content


def run_folder(plan: Plan, contestant: Contestant, seed: int) -> Path:
    """The folder of a run."""
    return plan.work / contestant.name / f"seed{seed}"


def train(plan: Plan, contestant: Contestant, seed: int, commands: Commands, alone: bool) -> dict[str, Any]:
    """Trains one system, or resumes its training, and writes `averaged.pt` and `trained.json`.

    Args:
        plan: plan of the comparison.
        contestant: the system to train.
        seed: seed of the training.
        commands: runs the commands.
        alone: whether no other training runs at the same time; recorded beside the speed.

    Raises:
        ResMLPError: when the folder holds a training with other settings.
        CommandError: when the training fails.
    """
    folder = run_folder(plan, contestant, seed)
    finished = folder / "trained.json"
    args = list(plan.training(contestant, seed))
    claim(folder, args)
    if finished.exists():
        return _completed(load(finished), folder)
    done = commands.run(folder / "train.log", plan.threads, "fairseq-train", *args, "--save-dir", folder)
    log = (folder / "train.log").read_text(encoding="utf-8", errors="replace")
    training = read_log(log)
    _average(folder, plan.average)
    result = {
        "parameters": training.parameters,
        "parameters_without_embeddings": training.parameters - _vocabulary_parameters(plan, folder / "averaged.pt"),
        "updates": training.updates,
        "epochs": training.epochs,
        "converged": training.converged,
        "target_tokens": training.target_tokens,
        "training_seconds": training.seconds,
        "tokens_per_second": training.tokens_per_second,
        "peak_mib": training.peak_gpu_mib or done.peak_mib,
        "measured_alone": alone,
        "pairs_left_out": training.left_out,
        "validations": training.validations,
    }
    write_json(finished, result)
    for checkpoint in folder.glob("checkpoint*.pt"):
        checkpoint.unlink()
    return result


def _completed(result: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Adds the fields that results of earlier versions lack."""
    if "epochs" in result:
        return result
    training = read_log((folder / "train.log").read_text(encoding="utf-8", errors="replace"))
    return {**result, "epochs": training.epochs, "converged": training.converged}


def claim(folder: Path, options: list[str]) -> None:
    """Records the options of a training in its folder, or checks them against the record.

    Raises:
        ResMLPError: when the folder belongs to a training with other options.
    """
    settings = folder / "settings.json"
    if not settings.exists():
        write_json(settings, {"fairseq-train": options})
    recorded = load(settings)["fairseq-train"]
    if not same_options(recorded, options):
        differing = " ".join(sorted(set(recorded) ^ set(options)))
        raise ResMLPError(
            f"{folder} holds a training with other settings ({differing}); remove the folder, or choose another --work"
        )


def _average(folder: Path, count: int) -> None:
    """Averages at most `count` of the last checkpoints, the final one included."""
    by_update = {}
    for path in folder.glob("checkpoint*.pt"):
        if path.name != "checkpoint_best.pt":
            by_update[read_checkpoint(path)["optimizer_history"][-1]["num_updates"]] = path
    content = average_checkpoints([by_update[update] for update in sorted(by_update)[-count:]])
    write_checkpoint(folder / "averaged.pt", content)


def _vocabulary_parameters(plan: Plan, checkpoint: Path) -> int:
    """Parameters in tables with one row per vocabulary entry: embeddings and output projections; shared ones once."""
    sizes = {len(read_dictionary(plan.data / f"dict.{lang}.txt")) for lang in plan.pair}
    distinct: list[Tensor] = []
    for value in read_checkpoint(checkpoint)["model"].values():
        is_table = value.is_floating_point() and value.dim() and value.size(0) in sizes
        # A checkpoint of a training on a GPU holds equal copies of a shared table.
        if is_table and not any(torch.equal(value, other) for other in distinct):
            distinct.append(value)
    return sum(value.numel() for value in distinct)


def translate(plan: Plan, contestant: Contestant, seed: int, commands: Commands) -> dict[str, Any]:
    """Translates the split with fairseq-generate, scores it against the raw references, and writes a JSON file.

    Raises:
        ResMLPError: when the numbers of translations and references differ.
        CommandError: when translating fails.
    """
    folder = run_folder(plan, contestant, seed)
    finished = folder / f"{plan.split}.beam{plan.beam}.lenpen{plan.length_penalty}.json"
    done = load(finished) if finished.exists() else {}
    if any(score["metric"] == LOWER_CASED_BLEU for score in done.get("scores", ())):
        return done
    # Earlier versions kept the translations without this score.
    hypotheses = done.get("translations") or raw_translations(plan, generate(plan, folder, commands).output)
    references = plan.references()
    check_counts(translations=hypotheses, references=references)
    scores = [
        score for score in all_scores(hypotheses, references, plan.pair[1], plan.resamples) if score.metric != "TER"
    ]
    scores.append(lower_cased_score(hypotheses, references, plan.pair[1], plan.resamples))
    result = {"scores": as_json(scores), "translations": hypotheses}
    write_json(finished, result)
    return result


def generate(plan: Plan, folder: Path, commands: Commands) -> Finished:
    """Runs fairseq-generate on the split with a run's averaged checkpoint."""
    args = (
        *("fairseq-generate", plan.data, *plan.languages(), "--path", folder / "averaged.pt"),
        *("--gen-subset", plan.split, "--beam", plan.beam, "--lenpen", plan.length_penalty, "--batch-size", 64),
        *("--no-progress-bar", "--num-workers", 0),
    )
    return commands.run(folder / "generate.log", plan.threads, *args)


def raw_translations(plan: Plan, output: str) -> list[str]:
    """Joins the sub-words in the output of fairseq-generate into raw text, in the order of the split.

    Raises:
        ResMLPError: when sentences are missing or repeated.
    """
    symbols = read_dictionary(plan.data / f"dict.{plan.pair[1]}.txt")
    token_of = {symbol: token for token, symbol in enumerate(symbols)}
    tokenizer = read_segmenter(plan.data, plan.pair[1], symbols, read_manifest(plan.data))
    hypotheses = re.findall(r"^H-(\d+)\t[^\t\n]*\t(.*)$", output, flags=re.MULTILINE)
    texts = {
        int(n): tokenizer.decode([token_of[piece] for piece in text.split(" ") if piece]) for n, text in hypotheses
    }
    complete = len(hypotheses) == len(texts) == max(texts, default=-1) + 1
    if not complete:
        count = max(texts, default=-1) + 1
        raise ResMLPError(
            f"fairseq-generate wrote {len(hypotheses)} translations of {count} sentences; remove the folder of the run"
        )
    return [texts[number] for number in range(len(texts))]


def measure_generation(plan: Plan, contestant: Contestant, seed: int, round_: int, commands: Commands) -> float:
    """Measures the target tokens per second of fairseq-generate; nothing else may run. The result of a round is kept.

    Raises:
        CommandError: when translating fails.
    """
    folder = run_folder(plan, contestant, seed)
    finished = folder / f"{plan.split}.beam{plan.beam}.speed{round_}.threads{plan.threads}.json"
    if not finished.exists():
        match = _TRANSLATED.search(generate(plan, folder, commands).output)
        assert match is not None, "fairseq-generate always logs its time"
        tokens, seconds = int(match[2].replace(",", "")), float(match[3])
        write_json(finished, {"tokens": tokens, "seconds": seconds})
    measured = load(finished)
    return float(measured["tokens"]) / max(float(measured["seconds"]), 0.05)  # fairseq rounds to a tenth of a second
