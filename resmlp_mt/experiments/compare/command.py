r"""Trains several systems in the same way on one prepared data set and compares their quality and speed.

All systems get the same data in the same batches for the same budget. Each system has its own optimizer and schedule
(the table of `resmlp_mt.experiments.systems`), unless --training-of selects one for all. All are scored in the same
way: fairseq-generate, detokenisation by the sentencepiece model of the data, sacrebleu on raw references. After an
interruption the same command resumes; finished steps are not repeated. See docs/compare.md.

    python -m data_prep multi30k --pair en-de --vocab-size 8000 --out data/multi30k
    resmlp-mt compare --data data/multi30k --pair en-de --size multi30k --epochs 10 --seeds 1 2 3 \
        --work runs/compare.en-de --output results/compare.en-de.json
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

from resmlp_mt.common.errors import ResMLPError
from resmlp_mt.common.files import check_outputs, write_json, write_text
from resmlp_mt.experiments.compare.contestants import Contestant, choose, custom_systems
from resmlp_mt.experiments.compare.figures import draw_comparison
from resmlp_mt.experiments.compare.runs import PATIENCE, Plan, measure_generation, train, translate
from resmlp_mt.experiments.compare.table import describe_comparison, summarise
from resmlp_mt.experiments.measure.machine import MachineWatch, machine_line
from resmlp_mt.experiments.processes import CommandError, Commands, run_jobs
from resmlp_mt.experiments.systems import SIZES, SYSTEMS

MAX_EPOCHS = 200  # limit with --until-converged
FIGURES = (".svg", ".png")
PATHS = ("data", "work", "output", "own")  # paths on this machine are not settings


def add_run_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options that a comparison and a sweep share."""
    parser.add_argument("--data", type=Path, required=True, help="prepared by data_prep, one vocabulary for both sides")
    parser.add_argument("--pair", default="en-de", help="source-target (default: en-de)")
    parser.add_argument(
        "--work", type=Path, required=True, help="folder for all trainings; finished steps are kept and not repeated"
    )
    parser.add_argument("--output", type=Path, required=True, help="JSON file; table and figures are written beside it")
    parser.add_argument("--size", choices=SIZES, default="multi30k", help="size of the models (default: multi30k)")
    parser.add_argument(
        "--max-tokens", type=int, default=2048, help="tokens per batch, including padding (default: 2048)"
    )
    parser.add_argument("--update-freq", type=int, default=1, help="batches per update (default: 1)")
    parser.add_argument(
        "--average", type=int, default=5, help="number of last checkpoints to average, at most (default: 5)"
    )
    parser.add_argument("--beam", type=int, default=5, help="beam size (default: 5)")
    parser.add_argument("--lenpen", type=float, default=1.0, help="length penalty (default: 1)")
    parser.add_argument(
        "--jobs", type=int, default=1, help="parallel trainings; above 1 the speeds are not comparable (default: 1)"
    )
    parser.add_argument("--threads", type=int, default=1, help="threads of each training and search (default: 1)")
    parser.add_argument("--resamples", type=int, default=1000, help="bootstrap resamples (default: 1000)")
    parser.add_argument("--cpu", action="store_true", help="do not use a GPU")
    parser.add_argument(
        "--options",
        nargs=argparse.REMAINDER,
        default=[],
        help="further options of every fairseq-train command, such as --bf16; must come last",
    )


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the options of `resmlp-mt compare`."""
    parser.description, parser.formatter_class = __doc__, argparse.RawDescriptionHelpFormatter
    budget = parser.add_mutually_exclusive_group(required=True)
    budget.add_argument("--updates", type=int, help="updates of each training")
    budget.add_argument("--epochs", type=int, help="epochs of each training")
    budget.add_argument("--tokens", type=int, help="target tokens of each training, converted to updates")
    budget.add_argument(
        "--minutes",
        type=float,
        help="minutes of each training, including validations; the training ends with its validation interval",
    )
    budget.add_argument(
        "--until-converged", action="store_true", help="train until validation BLEU stops rising, see --patience"
    )
    parser.add_argument(
        "--patience",
        type=int,
        help=f"with --until-converged: stop after this many validations without a better BLEU (default: {PATIENCE})",
    )
    parser.add_argument(
        "--max-epochs", type=int, help=f"with --until-converged: maximum number of epochs (default: {MAX_EPOCHS})"
    )
    parser.add_argument(
        "--seeds", type=int, nargs="+", default=[1], help="seeds; every system is trained with each (default: 1)"
    )
    parser.add_argument(
        "--systems", nargs="+", metavar="NAME", help=f"{', '.join(SYSTEMS)}, or custom ones (default: all)"
    )
    parser.add_argument("--own", type=Path, help="YAML or JSON file of custom systems, see docs/compare.md")
    parser.add_argument("--training-of", choices=SYSTEMS, help="use the optimizer and schedule of this system for all")
    parser.add_argument(
        "--baseline", default="transformer", help="system that the others are tested against (default: transformer)"
    )
    parser.add_argument(
        "--validate-every", type=int, default=0, help="updates between validations and checkpoints (default: an epoch)"
    )
    parser.add_argument(
        "--speed-rounds",
        type=int,
        default=3,
        help="rounds of measurements of generation speed; 0 for none (default: 3)",
    )
    add_run_arguments(parser)


def plan_of(arguments: argparse.Namespace, **changes: object) -> Plan:
    """Builds the plan of all runs from the options that a comparison and a sweep share."""
    for name in ("max_tokens", "update_freq", "average", "beam", "jobs", "threads"):
        value = getattr(arguments, name)
        if value < 1:
            raise ResMLPError(f"--{name.replace('_', '-')} must be at least 1, not {value}")
    if arguments.resamples < 2:
        raise ResMLPError(f"--resamples must be at least 2, not {arguments.resamples}")
    if arguments.pair.count("-") != 1:
        raise ResMLPError(f"--pair must be SOURCE-TARGET, for instance en-de, not {arguments.pair!r}")
    if not arguments.data.is_dir():
        raise ResMLPError(f"--data must be a folder, but {arguments.data} is not; prepare it with `resmlp-mt prepare`")
    source, target = arguments.pair.split("-")
    settings = {
        "data": arguments.data.resolve(),
        "pair": (source, target),
        "work": arguments.work.resolve(),
        "options": tuple(arguments.options),
        "max_tokens": arguments.max_tokens,
        "update_freq": arguments.update_freq,
        "average": arguments.average,
        "beam": arguments.beam,
        "length_penalty": arguments.lenpen,
        "threads": arguments.threads,
        "resamples": arguments.resamples,
        "on_cpu": arguments.cpu,
    }
    return Plan(**{**settings, **changes})


def budget_options(arguments: argparse.Namespace) -> tuple[str, ...]:
    """The options of `fairseq-train` that limit a training to its budget."""
    for name in ("updates", "epochs", "tokens", "minutes", "max_epochs"):
        value = getattr(arguments, name)
        if value is not None and value <= 0:
            raise ResMLPError(f"--{name.replace('_', '-')} must be more than 0, not {value}")
    if arguments.until_converged:
        return ("--max-epoch", str(arguments.max_epochs or MAX_EPOCHS))
    if arguments.epochs is not None:
        return ("--max-epoch", str(arguments.epochs))
    if arguments.minutes is not None:
        return ("--stop-time-hours", str(arguments.minutes / 60))
    if arguments.updates is not None:
        return ("--max-update", str(arguments.updates))
    from resmlp_mt.fairseq_plugin.token_budget import batches_for_tokens

    batches = batches_for_tokens(arguments.data, arguments.pair, arguments.max_tokens, arguments.tokens)
    return ("--max-update", str(math.ceil(batches / arguments.update_freq)))


def patience_of(arguments: argparse.Namespace) -> int:
    """Validations without a better BLEU that end a training; 0 without --until-converged.

    Raises:
        ResMLPError: when it is not positive, or is set without --until-converged.
    """
    if not arguments.until_converged:
        for option, value in (("--patience", arguments.patience), ("--max-epochs", arguments.max_epochs)):
            if value is not None:
                raise ResMLPError(f"{option} requires --until-converged; add it or leave {option} out")
        return 0
    patience = PATIENCE if arguments.patience is None else arguments.patience
    if patience <= 0:
        raise ResMLPError(f"--patience must be more than 0, not {patience}")
    return patience


def compare(arguments: argparse.Namespace) -> int:
    """Trains, translates and measures all systems, and writes the results; returns the exit status."""
    outputs = {f"--output ({ending})": arguments.output.with_suffix(ending) for ending in (".md", *FIGURES)}
    check_outputs({"--output": arguments.output, **outputs}, {"--own": arguments.own})
    size, training_of, until_converged = arguments.size, arguments.training_of, arguments.until_converged
    custom = custom_systems(arguments.own, size, training_of, until_converged) if arguments.own else {}
    contestants = choose(arguments.systems, size, custom, training_of, until_converged)
    plan = plan_of(
        arguments,
        budget=budget_options(arguments),
        validate_every=arguments.validate_every,
        patience=patience_of(arguments),
    )
    plan.references()
    commands = Commands()
    watch = MachineWatch(arguments.threads, uses_gpu=not arguments.cpu)

    def job(contestant: Contestant, seed: int) -> dict[str, object]:
        trained = train(plan, contestant, seed, commands, alone=arguments.jobs == 1)
        print(f"{contestant.title}, seed {seed}: trained for {trained['updates']} updates", file=sys.stderr)
        return {**trained, **translate(plan, contestant, seed, commands), "seed": seed}

    jobs = {(c.name, seed): partial(job, c, seed) for seed in arguments.seeds for c in contestants}
    runs = dict(zip(jobs, run_jobs(jobs.values(), arguments.jobs, commands), strict=True))
    failed = {key: str(run) for key, run in runs.items() if isinstance(run, CommandError)}
    whole = [c for c in contestants if not any(name == c.name for name, _ in failed)]
    rounds = [(c, number) for number in range(1, arguments.speed_rounds + 1) for c in whole]
    measure = partial(measure_generation, plan, commands=commands, seed=arguments.seeds[0])
    measured = run_jobs([partial(measure, contestant=c, round_=number) for c, number in rounds], 1, commands)
    for speed in measured:
        if isinstance(speed, CommandError):
            raise speed
    speeds = {c.name: [s for (who, _), s in zip(rounds, measured, strict=True) if who is c] for c in whole}

    results = [summarise(c, [runs[c.name, seed] for seed in arguments.seeds], speeds[c.name]) for c in whole]
    report = describe_comparison(results, plan, arguments.baseline)
    settings = {name: str(value) for name, value in vars(arguments).items() if name not in PATHS}
    settings |= {"patience": str(plan.patience), "budget": " ".join(plan.budget)}  # defaults filled in
    machine = watch.finish()
    table = f"{machine_line(machine)}\n\n{report['table']}"
    write_json(
        arguments.output,
        {"machine": machine, "settings": settings, "failed": {f"{n}.{s}": e for (n, s), e in failed.items()}, **report},
    )
    write_text(arguments.output.with_suffix(".md"), table)
    if results:
        for ending in FIGURES:
            draw_comparison(arguments.output.with_suffix(ending), results)
    print(table, end="")
    for (name, seed), error in failed.items():
        print(f"resmlp-mt compare: {name}, seed {seed}, failed and is left out: {error}", file=sys.stderr)
    return 1 if failed else 0


def guarded(name: str, work: Callable[[argparse.Namespace], int], arguments: argparse.Namespace) -> int:
    """Runs a command. A user error prints one line and returns 2; an interruption returns 130."""
    try:
        return work(arguments)
    except ResMLPError as error:
        print(f"{name}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"{name}: interrupted; the same command resumes", file=sys.stderr)
        return 130
