"""Trains a model on a prepared folder, or by a recipe from its corpus to a scored model.

resmlp-mt train DATA picks model, dropout, optimizer and batch by the size of the data and the machine, and prints the
reasons and the expected time. It trains, averages the last checkpoints, bundles and scores. The model is then in
RUN/model, a report on the training in RUN/report.html. The same command again resumes and runs only the missing steps.
Options of fairseq-train after DATA override the picks:

    resmlp-mt prepare files --pair en-de --from-dir TEXT --out DATA
    resmlp-mt train DATA --dry-run
    resmlp-mt train DATA --dropout 0.3 --seed 2
    resmlp-mt translate runs/own.DATA/model < input.en

resmlp-mt train DATA --recipe NAME trains with the settings of a recipe instead. Without DATA a recipe also prepares its
corpus. See docs/recipes.md.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from resmlp_mt.common.errors import ResMLPError
from resmlp_mt.experiments.launch.machines import TOKENS_PER_GPU
from resmlp_mt.experiments.recipes.recipe import CUSTOM, Recipe, load_recipe, recipe_names
from resmlp_mt.experiments.recipes.stages import STAGES, RecipeRun, run_stages
from resmlp_mt.experiments.recipes.training_config import OF_THE_SYSTEM, leave_out
from resmlp_mt.experiments.recommend.recommendation import explain, pair_of, recommend_for
from resmlp_mt.experiments.systems import LAYERS, SIZES, SYSTEMS, model_options, training_options

_RUNS = Path("runs")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the options of `resmlp-mt train`; DATA and the options of fairseq-train are left to `run`."""
    parser.description, parser.formatter_class = __doc__, argparse.RawDescriptionHelpFormatter
    parser.usage = "%(prog)s [options] [DATA] [options of fairseq-train]"
    parser.allow_abbrev = False  # --min-lr is an option of fairseq-train, not --minutes
    parser.add_argument("--dry-run", action="store_true", help="print what would be done and do nothing")
    parser.add_argument(
        "--recipe", choices=recipe_names(), default=CUSTOM, help="settings to train with (default: picked for the data)"
    )
    parser.add_argument("--run", type=Path, metavar="DIR", help="checkpoints and results (default: below runs/)")
    parser.add_argument(
        "--minutes", type=float, help="stop training after this time; the time before an interruption counts"
    )
    parser.add_argument(
        "--epochs", type=int, help="number of passes through the data, instead of training until convergence"
    )
    parser.add_argument(
        "--for",
        dest="device",
        metavar="{gpu,cpu}",
        help="device to pick a model for (default: the one of this machine)",
    )
    parser.add_argument(
        "--tokens-per-gpu",
        type=int,
        default=TOKENS_PER_GPU,
        metavar="N",
        help="maximum number of target tokens that fit into the memory of one GPU (default: %(default)s)",
    )
    group = parser.add_argument_group("recipes with a corpus")
    group.add_argument(
        "--from-dir", type=Path, metavar="DIR", help="folder with the files of the corpus (default: download them)"
    )
    group.add_argument(
        "--data", type=Path, metavar="DIR", help="folder for the prepared data (default: below runs/data)"
    )
    group.add_argument("--pair", metavar="SRC-TGT", help="language pair (default: the recipe's)")
    group.add_argument(
        "--stages", metavar='"STAGE ..."', help=f'stages to run, of "{" ".join(STAGES)}" (default: all that apply)'
    )
    group.add_argument("--system", default="resmlp", metavar="NAME", help=f"system to train: {', '.join(SYSTEMS)}")
    group.add_argument(
        "--layers", type=int, default=6, help=f"number of layers of the large models: {' or '.join(map(str, LAYERS))}"
    )
    group.add_argument("--size", choices=SIZES, help="size of the model; `tiny` tests a recipe in minutes")


def split_data(args: Sequence[str]) -> tuple[Path | None, list[str]]:
    """Splits the arguments unknown to `add_arguments` into DATA, if present, and options of fairseq-train."""
    if args and not args[0].startswith("-"):
        return Path(args[0]), list(args[1:])
    return None, list(args)


def run(args: argparse.Namespace, rest: Sequence[str]) -> int:
    """Runs the stages of the command line; returns the exit status.

    Args:
        args: options declared by `add_arguments`.
        rest: DATA and options of fairseq-train.

    Raises:
        ResMLPError: when options contradict each other, or folders are missing.
    """
    data, options = split_data(rest)
    if args.minutes is not None:
        if args.minutes <= 0:
            raise ResMLPError(f"--minutes must be more than 0, not {args.minutes:g}")
        options += ["--stop-time-hours", str(args.minutes / 60)]
    if args.epochs is not None:
        options = ["--max-epoch", str(args.epochs), *options]
    dry_run = args.dry_run or os.environ.get("DRY_RUN", "0") != "0"
    is_prepared = args.recipe == CUSTOM or data is not None
    stages = (args.stages or " ".join(STAGES[1:] if is_prepared else STAGES)).split()
    chosen = _custom_run(args, data) if args.recipe == CUSTOM else _recipe_run(args, data)
    chosen = replace(chosen, options=tuple(options), tokens_per_gpu=args.tokens_per_gpu, dry_run=dry_run)
    return run_stages(chosen, stages)


def _custom_run(args: argparse.Namespace, data: Path | None) -> RecipeRun:
    """A training with the settings that are picked for the folder."""
    if args.system != "resmlp" or args.layers != LAYERS[0] or args.size or args.from_dir or args.data:
        raise ResMLPError("--system, --layers, --size, --from-dir and --data require a --recipe with a corpus")
    if data is None:
        raise ResMLPError(
            f"DATA must be a folder prepared by `resmlp-mt prepare`; name it, or a recipe with --recipe "
            f"({', '.join(name for name in recipe_names() if name != CUSTOM)})"
        )
    data = data.absolute()
    picked = recommend_for(data, args.device)
    print("== Picks", flush=True)
    print("\n".join(explain(data, picked)), flush=True)
    if args.minutes is not None:
        print(f"ends after {args.minutes:g} minutes of training, if not sooner (--minutes)", flush=True)
    recipe = load_recipe(CUSTOM)
    batch = {"dataset.max_tokens": str(picked.batch), "optimization.update_freq": ["1"]}
    recipe = replace(recipe, config={**recipe.config, **picked.settings, **batch})
    source, _, target = (args.pair or pair_of(data)).partition("-")
    default = _RUNS / recipe.run.format(data=data.name)
    return RecipeRun(recipe, (source, target), data, (args.run or default).absolute())


def _recipe_run(args: argparse.Namespace, own_data: Path | None) -> RecipeRun:
    """A training with the settings of a recipe, on its corpus or on a folder that the user prepared."""
    recipe = load_recipe(args.recipe)
    if own_data and args.data:
        raise ResMLPError("DATA and --data name two prepared folders; leave one of them out")
    if own_data and not (own_data / "manifest.json").is_file():
        raise ResMLPError(f"DATA must be a folder prepared by `resmlp-mt prepare`, but {own_data} has no manifest.json")
    _check_text(recipe, args.from_dir, needed=own_data is None)
    pair = args.pair or (pair_of(own_data) if own_data else recipe.pair)
    source, _, target = pair.partition("-")
    if not source or not target:
        raise ResMLPError(f"--pair must be SRC-TGT, for instance en-de, not {pair!r}")
    if args.system not in SYSTEMS:
        raise ResMLPError(f"SYSTEM must be one of {', '.join(SYSTEMS)}, not {args.system!r}")
    layers = f"-{args.layers}" if args.layers != LAYERS[0] else ""
    system = f"{args.system}{layers}{f'-{args.size}' if args.size else ''}"
    data = own_data or args.data or _RUNS / recipe.data.format(pair=pair)
    default = _RUNS / (
        f"{recipe.name}.{own_data.name}.{system}" if own_data else recipe.run.format(pair=pair, system=system)
    )
    recipe = _with_system(recipe, args.system, args.size, args.layers, until_converged=args.epochs is None)
    run_folder = (args.run or default).absolute()
    from_dir = args.from_dir and args.from_dir.absolute()
    return RecipeRun(recipe, (source, target), data.absolute(), run_folder, from_dir, args.system)


def _check_text(recipe: Recipe, from_dir: Path | None, needed: bool) -> None:
    if needed and recipe.text and from_dir is None:
        raise ResMLPError(f"--from-dir is required by the recipe {recipe.name}: {recipe.text}")
    if from_dir is not None and not from_dir.is_dir():
        raise ResMLPError(f"--from-dir must be a folder, but {from_dir} is not")


def _with_system(recipe: Recipe, system: str, size: str | None, layers: int, until_converged: bool) -> Recipe:
    """The recipe with the model, optimizer and schedule of a system at a size."""
    config = recipe.config if until_converged else recipe.short_config
    if system == "resmlp" and size is None and layers == LAYERS[0]:
        return replace(recipe, config=config)
    if not recipe.size:
        raise ResMLPError(f"the recipe {recipe.name} trains one model only; leave out --system, --layers and --size")
    size = size or recipe.size
    model = model_options(system, size, layers, until_converged=until_converged)
    options = (*model, *training_options(system, size, until_converged=until_converged))
    return replace(recipe, config=leave_out(config, OF_THE_SYSTEM), system_options=options)
