"""Trains several systems in the same way on one prepared data set and writes how good and how fast each is.

All see the same data in the same batches for the same budget; optimiser and schedule are each system's own (the table
of `resmlp_mt.experiments.systems`), unless --training-of names one for all. Every one is scored in the same way:
fairseq-generate, sub-words put together by the data's sentencepiece model, sacrebleu on raw references. Interrupted,
the same command goes on where it was; what is done is not done again. See docs/compare.md.

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

from resmlp_mt.common.errors import ResMLPError, require
from resmlp_mt.common.files import check_outputs, write_json, write_text
from resmlp_mt.experiments.compare.contestants import Contestant, choose, own_systems
from resmlp_mt.experiments.compare.figures import draw_comparison
from resmlp_mt.experiments.compare.runs import PATIENCE, Plan, measure_generation, train, translate
from resmlp_mt.experiments.compare.table import describe_comparison, summarise
from resmlp_mt.experiments.measure.machine import MachineWatch, machine_line
from resmlp_mt.experiments.processes import CommandError, Commands, run_jobs
from resmlp_mt.experiments.systems import SIZES, SYSTEMS

MAX_EPOCHS = 200  # of a training until convergence, should it never end by itself
PICTURES = (".svg", ".png")
PLACES = ("data", "work", "output", "own")  # of this machine, and so no settings


def add_run_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds what a comparison and a sweep have in common."""
    parser.add_argument("--data", type=Path, required=True, help="prepared by data_prep, one vocabulary for both sides")
    parser.add_argument("--pair", default="en-de", help="source-target (default: en-de)")
    parser.add_argument("--work", type=Path, required=True, help="folder of all trainings; keeps what is done")
    parser.add_argument("--output", type=Path, required=True, help="JSON file; table and pictures go beside it")
    parser.add_argument("--size", choices=SIZES, default="multi30k", help="of the models (default: multi30k)")
    parser.add_argument("--max-tokens", type=int, default=2048, help="of a batch, padding included (default: 2048)")
    parser.add_argument("--update-freq", type=int, default=1, help="batches of an update (default: 1)")
    parser.add_argument("--average", type=int, default=5, help="of the last checkpoints at most (default: 5)")
    parser.add_argument("--beam", type=int, default=5, help="of the search (default: 5)")
    parser.add_argument("--lenpen", type=float, default=1.0, help="length penalty of the search (default: 1)")
    parser.add_argument("--jobs", type=int, default=1, help="trainings at the same time; speeds then mean little")
    parser.add_argument("--threads", type=int, default=1, help="of each training and search (default: 1)")
    parser.add_argument("--resamples", type=int, default=1000, help="of the bootstrap (default: 1000)")
    parser.add_argument("--cpu", action="store_true", help="leave a GPU alone")
    parser.add_argument(
        "--options", nargs=argparse.REMAINDER, default=[], help="last: further ones for every fairseq-train, as --bf16"
    )


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the options of `resmlp-mt compare`."""
    parser.description, parser.formatter_class = __doc__, argparse.RawDescriptionHelpFormatter
    budget = parser.add_mutually_exclusive_group(required=True)
    budget.add_argument("--updates", type=int, help="of each training")
    budget.add_argument("--epochs", type=int, help="of each training")
    budget.add_argument("--tokens", type=int, help="target tokens of each training, turned into updates")
    budget.add_argument(
        "--minutes", type=float, help="of each training, validations included, as long as a stretch ends"
    )
    budget.add_argument(
        "--until-converged", action="store_true", help="until validation BLEU has stopped rising, see --patience"
    )
    parser.add_argument(
        "--patience",
        type=int,
        help=f"with --until-converged: validations without a better BLEU that end a training (default: {PATIENCE})",
    )
    parser.add_argument(
        "--max-epochs", type=int, help=f"with --until-converged: of each training at most (default: {MAX_EPOCHS})"
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[1], help="one training of each system for each")
    parser.add_argument(
        "--systems", nargs="+", metavar="NAME", help=f"{', '.join(SYSTEMS)}, or own ones; all unless given"
    )
    parser.add_argument("--own", type=Path, help="YAML or JSON file of own systems, see docs/compare.md")
    parser.add_argument("--training-of", choices=SYSTEMS, help="whose optimiser and schedule all systems get")
    parser.add_argument("--baseline", default="transformer", help="whom the others are tested against")
    parser.add_argument(
        "--validate-every", type=int, default=0, help="updates between validations and checkpoints (default: an epoch)"
    )
    parser.add_argument(
        "--speed-rounds", type=int, default=3, help="measurements of generation; 0 for none (default: 3)"
    )
    add_run_arguments(parser)


def plan_of(arguments: argparse.Namespace, **changes: object) -> Plan:
    """What all runs share, from the arguments that a comparison and a sweep have in common."""
    for name in ("max_tokens", "update_freq", "average", "beam", "jobs", "threads"):
        value = getattr(arguments, name)
        require(value >= 1, f"--{name.replace('_', '-')}", "at least 1", value, "change it")
    require(arguments.resamples >= 2, "--resamples", "at least 2", arguments.resamples, "change it")
    require(arguments.pair.count("-") == 1, "--pair", "SOURCE-TARGET", repr(arguments.pair), "as en-de")
    require(arguments.data.is_dir(), "--data", "a folder", arguments.data, "prepare it with `python -m data_prep`")
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
    return Plan(**{**settings, **changes})  # type: ignore[arg-type]


def budget_words(arguments: argparse.Namespace) -> tuple[str, ...]:
    """The words of fairseq-train that end a training where the budget ends."""
    for name in ("updates", "epochs", "tokens", "minutes", "max_epochs"):
        value = getattr(arguments, name)
        require(value is None or value > 0, f"--{name.replace('_', '-')}", "more than 0", value, "change it")
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
    """Validations without a better BLEU that end a training; 0 where the budget alone ends it.

    Raises:
        ResMLPError: when it is not positive, or given without --until-converged.
    """
    if not arguments.until_converged:
        for option, value in (("--patience", arguments.patience), ("--max-epochs", arguments.max_epochs)):
            if value is not None:
                raise ResMLPError(f"{option} requires --until-converged; add it or leave {option} out")
        return 0
    patience = PATIENCE if arguments.patience is None else arguments.patience
    require(patience > 0, "--patience", "more than 0", patience, "change it")
    return patience


def compare(arguments: argparse.Namespace) -> int:
    """Trains, translates, measures and writes; returns the exit status."""
    outputs = {f"--output ({ending})": arguments.output.with_suffix(ending) for ending in (".md", *PICTURES)}
    check_outputs({"--output": arguments.output, **outputs}, {"--own": arguments.own})
    own = own_systems(arguments.own, arguments.size, arguments.training_of) if arguments.own else {}
    contestants = choose(arguments.systems, arguments.size, own, arguments.training_of)
    plan = plan_of(
        arguments,
        budget=budget_words(arguments),
        validate_every=arguments.validate_every,
        patience=patience_of(arguments),
    )
    plan.references()
    commands = Commands()
    watch = MachineWatch(arguments.threads)

    def job(contestant: Contestant, seed: int) -> dict[str, object]:
        trained = train(plan, contestant, seed, commands, alone=arguments.jobs == 1)
        print(f"{contestant.title}, seed {seed}: trained for {trained['updates']} updates", file=sys.stderr)
        return {**trained, **translate(plan, contestant, seed, commands), "seed": seed}

    jobs = {(c.name, seed): partial(job, c, seed) for seed in arguments.seeds for c in contestants}
    found = dict(zip(jobs, run_jobs(jobs.values(), arguments.jobs, commands), strict=True))
    failed = {key: str(run) for key, run in found.items() if isinstance(run, CommandError)}
    whole = [c for c in contestants if not any(name == c.name for name, _ in failed)]
    rounds = [(c, number) for number in range(1, arguments.speed_rounds + 1) for c in whole]
    measure = partial(measure_generation, plan, commands=commands, seed=arguments.seeds[0])
    measured = run_jobs([partial(measure, contestant=c, round_=number) for c, number in rounds], 1, commands)
    for speed in measured:
        if isinstance(speed, CommandError):
            raise speed
    speeds = {c.name: [s for (who, _), s in zip(rounds, measured, strict=True) if who is c] for c in whole}

    results = [summarise(c, [found[c.name, seed] for seed in arguments.seeds], speeds[c.name]) for c in whole]
    report = describe_comparison(results, plan, arguments.baseline)
    settings = {name: str(value) for name, value in vars(arguments).items() if name not in PLACES}
    settings |= {"patience": str(plan.patience), "budget": " ".join(plan.budget)}  # what was not given is filled in
    machine = watch.finish()
    table = f"{machine_line(machine)}\n\n{report['table']}"
    write_json(
        arguments.output,
        {"machine": machine, "settings": settings, "failed": {f"{n}.{s}": e for (n, s), e in failed.items()}, **report},
    )
    write_text(arguments.output.with_suffix(".md"), table)
    if results:
        for ending in PICTURES:
            draw_comparison(arguments.output.with_suffix(ending), results)
    print(table, end="")
    for (name, seed), error in failed.items():
        print(f"resmlp-mt compare: {name}, seed {seed}, failed and is left out: {error}", file=sys.stderr)
    return 1 if failed else 0


def guarded(name: str, work: Callable[[argparse.Namespace], int], arguments: argparse.Namespace) -> int:
    """Runs a script's work; bad input is one line and status 2, an interrupt 130."""
    try:
        return work(arguments)
    except ResMLPError as error:
        print(f"{name}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"{name}: interrupted; the same command goes on where this one was", file=sys.stderr)
        return 130
