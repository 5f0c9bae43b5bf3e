"""The stages of a recipe: prepare the data, train, then average, bundle and score."""

from __future__ import annotations

import gzip
import shlex
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from resmlp_mt.common.errors import ResMLPError
from resmlp_mt.experiments.launch.command import launch
from resmlp_mt.experiments.launch.job import Job
from resmlp_mt.experiments.launch.machines import TOKENS_PER_GPU
from resmlp_mt.experiments.recipes.recipe import BEAM, Recipe
from resmlp_mt.experiments.recipes.training_config import OF_THE_LAUNCHER, batch_of, leave_out, train_options

STAGES = ("data", "train", "finish")
_SHOWN_SENTENCES = 5


@dataclass(frozen=True)
class RecipeRun:
    """One run of a recipe.

    Attributes:
        recipe: the recipe, with the settings of the system to train.
        pair: source and target language.
        data: prepared folder.
        run: folder for checkpoints, logs and results.
        from_dir: folder with the files of the corpus; None to download them.
        system: a name of `systems.SYSTEMS`.
        tokens_per_gpu: maximum number of target tokens that fit into the memory of one GPU.
        options: options of `fairseq-train` that override the recipe's.
        dry_run: print the commands and do nothing.
    """

    recipe: Recipe
    pair: tuple[str, str]
    data: Path
    run: Path
    from_dir: Path | None = None
    system: str = "resmlp"
    tokens_per_gpu: int = TOKENS_PER_GPU
    options: Sequence[str] = field(default_factory=tuple)
    dry_run: bool = False

    def command(self, *args: object) -> int:
        """Runs a command, or prints it in a dry run; returns its exit status."""
        command = [str(arg) for arg in args]
        if self.dry_run:
            print(shlex.join(command), flush=True)
            return 0
        return subprocess.run(command).returncode


def prepare(run: RecipeRun) -> int:
    """Prepares the corpus; returns the exit status."""
    print("== Data", flush=True)
    recipe, source, target = run.recipe, *run.pair
    options: list[object] = [item for name, value in recipe.prepare.items() for item in (f"--{name}", value)]
    if recipe.sets:
        assert run.from_dir is not None, "a recipe of several sets requires --from-dir"
        valid = Path(f"{run.data}.text") / "valid"
        if not run.dry_run:
            _join_validation_sets(recipe, run.from_dir, valid, run.pair)
        options += ["--valid", valid]
        for folder in (run.from_dir / name for name in recipe.sets):
            options += ["--train", folder / "train", "--test", folder / "test"]
    elif run.from_dir is not None:
        options += ["--from-dir", run.from_dir]
    return run.command(
        *("python", "-m", "data_prep", recipe.corpus, "--pair", f"{source}-{target}", "--out", run.data), *options
    )


def _join_validation_sets(recipe: Recipe, folder: Path, valid: Path, pair: tuple[str, str]) -> None:
    """Joins the validation sets, so that the best checkpoint is the best for all sets together."""
    valid.parent.mkdir(parents=True, exist_ok=True)
    for lang in pair:
        with valid.with_name(f"{valid.name}.{lang}").open("wb") as joined:
            for name in recipe.sets:
                with gzip.open(folder / name / f"valid.{lang}.gz") as part:
                    shutil.copyfileobj(part, joined)


def training_job(run: RecipeRun) -> Job:
    """The training of a recipe, for the launcher."""
    config = {
        **leave_out(run.recipe.config, OF_THE_LAUNCHER),
        "task.source_lang": run.pair[0],
        "task.target_lang": run.pair[1],
        "common.tensorboard_logdir": str(run.run / "tensorboard"),
    }
    options = ["--user-dir", "resmlp_mt", *train_options(config), *run.recipe.system_options, *run.options]
    return Job(run.data, run.run, batch_of(run.recipe.config), run.tokens_per_gpu, options)


def train(run: RecipeRun) -> int:
    """Trains, or resumes; returns the exit status."""
    print("== Training", flush=True)
    return launch(training_job(run), run.dry_run)


def finish(run: RecipeRun) -> int:
    """Averages the last checkpoints, bundles, translates and scores every raw test set, and draws the training.

    A ResMLP is bundled; other systems are translated by fairseq-generate (`score_fairseq`).

    Returns:
        The exit status.
    """
    print("== Scoring", flush=True)
    status = _average(run) or _bundle(run)
    if status:
        return status
    target = run.pair[1]
    splits = ["test"]
    if not run.dry_run:
        splits = sorted(path.name.removesuffix(f".{target}") for path in (run.data / "raw").glob(f"test*.{target}"))
    for split in splits:
        if status := _score(run, split):
            return status
        if not run.dry_run:
            print(flush=True)
    if run.dry_run or (run.run / "run.json").is_file():
        status = run.command("resmlp-mt", "report", run.run, "--out", run.run / "report.html")
    if run.dry_run or status:
        return status
    if "test" in splits:
        print_examples(run)
    if run.system != "resmlp":
        return 0
    status = _show_interactive(run) if run.recipe.interactive else 0
    print_next_commands(run)
    return status


def _average(run: RecipeRun) -> int:
    averaged = run.run / "averaged.pt"
    count = run.recipe.average
    if not run.dry_run:
        checkpoints = [*run.run.glob("checkpoint[0-9]*.pt"), *run.run.glob("checkpoint_[0-9]*.pt")]
        if not checkpoints:  # the training ended before its first numbered checkpoint
            return run.command("resmlp-mt", "average", run.run / "checkpoint_last.pt", "--out", averaged)
        count = min(count, len(checkpoints))
    return run.command("resmlp-mt", "average", run.run, "--last", count, "--out", averaged)


def _bundle(run: RecipeRun) -> int:
    if run.system != "resmlp":
        return 0
    model = run.run / "model"
    if not run.dry_run:
        shutil.rmtree(model, ignore_errors=True)
    search = ("--beam", BEAM, "--lenpen", run.recipe.lenpen)
    return run.command("resmlp-mt", "bundle", run.run / "averaged.pt", "--data", run.data, "--out", model, *search)


def _score(run: RecipeRun, split: str) -> int:
    outputs = run.run / f"{split}.{run.pair[1]}", run.run / f"{split}.json"
    to = ("--split", split, "--translations", outputs[0], "--json", outputs[1])
    further = ["--tokenised"] if run.recipe.tokenised else []
    if run.system == "resmlp":
        figure = ("--figure", run.run / f"{split}.png", "--update-card")
        return run.command("resmlp-mt", "evaluate", run.run / "model", "--data", run.data, *to, *figure, *further)
    return run.command(
        *("python", "-m", "resmlp_mt.experiments.score_fairseq", run.run / "averaged.pt", "--data", run.data),
        *("--pair", "-".join(run.pair), "--lenpen", run.recipe.lenpen, *to, *further),
    )


def print_examples(run: RecipeRun) -> None:
    """Prints the first test sentences with their references and translations."""
    source, target = run.pair
    paths = (run.data / "raw" / f"test.{source}", run.data / "raw" / f"test.{target}", run.run / f"test.{target}")
    texts = [path.read_text(encoding="utf-8").split("\n")[:_SHOWN_SENTENCES] for path in paths]
    for sentence in zip(*texts, strict=False):
        if not any(sentence):  # after the last line
            break
        for name, text in zip(("source", "reference", "output"), sentence, strict=True):
            print(f"{name:<10} {text}")
        print(flush=True)


def _fairseq_interactive(run: RecipeRun) -> list[str]:
    source, target = run.pair
    command = (
        *("fairseq-interactive", run.data, "--user-dir", "resmlp_mt", "--path", run.run / "averaged.pt"),
        *("--source-lang", source, "--target-lang", target, "--bpe", "sentencepiece"),
        *("--sentencepiece-model", run.data / "spm.model", "--beam", BEAM),
    )
    return [str(arg) for arg in command]


def _show_interactive(run: RecipeRun) -> int:
    print("The same model in fairseq's own interactive command, on raw lines:", flush=True)
    lines = (run.data / "raw" / f"test.{run.pair[0]}").read_text(encoding="utf-8").split("\n")[:3]
    text = "".join(f"{line}\n" for line in lines)
    command = _fairseq_interactive(run)
    done = subprocess.run(command, input=text, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    print("\n".join(line for line in done.stdout.split("\n") if line.startswith(("S-", "D-"))))
    return done.returncode


def print_next_commands(run: RecipeRun) -> None:
    """Prints how to translate with the trained model."""
    ours = [shutil.which("resmlp-mt") or "resmlp-mt", "interactive", str(run.run / "model")]
    name, *args = _fairseq_interactive(run)
    theirs = [shutil.which(name) or name, *args]
    print("Translate interactively, with the bundle or with fairseq's own command:\n")
    print(f"  {shlex.join(ours)}")
    if (run.data / "spm.model").is_file():  # one vocabulary for both languages
        print(f"  {shlex.join(theirs)}")


def run_stages(run: RecipeRun, stages: Sequence[str]) -> int:
    """Runs stages in their order until one fails; returns its exit status, or 0.

    Raises:
        ResMLPError: for a stage that does not exist.
    """
    for stage in stages:
        if stage not in STAGES:
            raise ResMLPError(f"there is no stage {stage!r}; the stages are {', '.join(STAGES)}")
    for name, work in zip(STAGES, (prepare, train, finish), strict=True):
        if name in stages and not (name == "data" and not run.recipe.corpus) and (status := work(run)):
            return status
    return 0
