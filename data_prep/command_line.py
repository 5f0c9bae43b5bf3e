"""`python -m data_prep CORPUS --pair en-de --out DIR`: the command line."""

from __future__ import annotations

import argparse
import os
import shlex
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from data_prep.corpora import CORPORA
from data_prep.corpora.base import Request
from data_prep.pipeline import prepare
from data_prep.report.summary import next_commands, removal_table
from data_prep.settings import INVALID_UTF8, MODEL_TYPES, Settings
from data_prep.stages import cleaning_rules as clean
from data_prep.stages import selection as select
from data_prep.stages.job import Run
from data_prep.workers import available_cores
from resmlp_mt.common.command_line import CommandParser
from resmlp_mt.common.data_manifest import DataManifest
from resmlp_mt.common.errors import ResMLPError
from resmlp_mt.common.files import file_digest
from resmlp_mt.common.progress import log
from resmlp_mt.translation.text.normalization import TOKENIZERS

SKIPPABLE_RULES = (
    *(rule for rule in clean.RULES if rule != clean.INVALID_UTF8),
    select.DUPLICATE,
    select.NEAR_DUPLICATE,
)


def default_cache() -> Path:
    """The folder of downloads: `resmlp_mt` in the user's cache directory."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "resmlp_mt"


def build_parser(prog: str = "python -m data_prep") -> argparse.ArgumentParser:
    """The argument parser; unset settings are absent from its result, so that the corpus's defaults apply."""
    corpora = "\n".join(f"  {corpus.name:<10} {corpus.summary}" for corpus in CORPORA.values())
    parser = CommandParser(
        prog=prog,
        description="Prepares parallel text for fairseq-train: downloads, checks, cleans, tokenises and binarises it.",
        epilog=f"corpora:\n{corpora}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("corpus", choices=CORPORA, metavar="CORPUS", help="one of the corpora below")
    parser.add_argument("--pair", required=True, metavar="SRC-TGT", help="languages, for example en-de")
    parser.add_argument("--out", required=True, type=Path, metavar="DIR", help="output folder of the data set")
    _add_inputs(parser.add_argument_group("input"))
    _add_cleaning(parser.add_argument_group("cleaning"))
    _add_tokenization(parser.add_argument_group("tokenisation"))
    _add_running(parser.add_argument_group("running"))
    return parser


def _add_inputs(group: Any) -> None:
    group.add_argument(
        "--from-dir", type=Path, metavar="DIR", help="folder with the files of the corpus, instead of downloading them"
    )
    group.add_argument(
        "--train",
        action="append",
        default=[],
        metavar="PATH[@WEIGHT]",
        help="files only: PREFIX of PREFIX.SRC and PREFIX.TGT, or a .tsv or .tmx file, compressed or not; @2 uses it "
        "twice, @0.5 uses half of it; repeatable",
    )
    group.add_argument(
        "--valid", action="append", default=[], metavar="PATH", help="files only: validation text; repeatable"
    )
    group.add_argument("--test", action="append", default=[], metavar="PATH", help="files only: test text; repeatable")
    _setting(group, "valid-size", int, "pairs set aside if there is no validation text")
    _setting(group, "test-size", int, "pairs set aside if there is no test text")
    group.add_argument(
        "--mirror", action="append", default=[], metavar="URL", help="try to download from URL/FILE first; repeatable"
    )
    group.add_argument(
        "--overrides",
        type=Path,
        metavar="FILE",
        help="JSON file that corrects URLs, sizes, digests and counts (docs/data.md)",
    )
    group.add_argument(
        "--cache", type=Path, default=default_cache(), metavar="DIR", help="folder for downloads (default: %(default)s)"
    )


def _add_cleaning(group: Any) -> None:
    _setting(group, "max-words", int, "maximum sentence length in words")
    _setting(group, "max-subwords", int, "maximum length of a training sentence in pieces")
    _setting(group, "max-ratio", float, "maximum ratio of the lengths in words")
    _setting(group, "max-word-characters", int, "maximum word length in characters")
    _flag(group, "language-id", "remove pairs in other languages (requires py3langid)")
    group.add_argument(
        "--skip-rule",
        dest="skip_rules",
        action="append",
        default=argparse.SUPPRESS,
        choices=SKIPPABLE_RULES,
        metavar="RULE",
        help=f"do not apply this rule; repeatable. Rules: {', '.join(SKIPPABLE_RULES)}",
    )
    _setting(group, "invalid-utf8", str, "stop at invalid bytes, or remove the pair", INVALID_UTF8)
    _flag(group, "keep-removed", "write removed pairs into DIR/removed")


def _add_tokenization(group: Any) -> None:
    _setting(group, "model-type", str, "sentencepiece algorithm", MODEL_TYPES)
    _setting(group, "vocab-size", int, "vocabulary size; 0 picks one for the number of pairs")
    _flag(group, "joint", "one vocabulary for both languages")
    _flag(group, "byte-fallback", "encode unknown characters as bytes")
    _setting(
        group,
        "character-coverage",
        float,
        "share of characters with their own piece; 0: 0.9999, or 1 without byte fallback",
    )
    _setting(group, "sentencepiece-sample", int, "sentences per language to train sentencepiece on")
    group.add_argument(
        "--sentencepiece-model",
        dest="models",
        action="append",
        default=[],
        type=Path,
        metavar="FILE",
        help="use an existing model; with --no-joint give the option twice, source first",
    )
    _setting(group, "tokenizer", str, "word tokenizer before sentencepiece", TOKENIZERS)
    _flag(group, "normalize-punctuation", "normalise punctuation as Moses does, before sentencepiece")
    _flag(group, "lowercase", "lower-case before sentencepiece; raw references keep their case")
    _setting(group, "bpe-dropout", float, "BPE dropout of the training text; unigram: smoothing of the sampling")
    _setting(group, "dropout-copies", int, "number of differently segmented copies of the training data")


def _add_running(group: Any) -> None:
    _setting(group, "shard-pairs", int, "maximum number of training pairs in a shard")
    _setting(group, "seed", int, "random seed")
    group.add_argument(
        "--workers", type=int, default=available_cores(), metavar="N", help="worker processes (default: %(default)s)"
    )
    group.add_argument(
        "--overwrite", action="store_true", help="delete an existing data set in DIR and start from scratch"
    )


def _setting(group: Any, name: str, kind: type, text: str, choices: tuple[str, ...] | None = None) -> None:
    default = getattr(Settings, name.replace("-", "_"))
    metavar = None if choices else {int: "N", float: "X"}[kind]
    group.add_argument(
        f"--{name}",
        type=kind,
        default=argparse.SUPPRESS,
        choices=choices,
        metavar=metavar,
        help=f"{text} (default: {default})",
    )


def _flag(group: Any, name: str, text: str) -> None:
    default = "on" if getattr(Settings, name.replace("-", "_")) else "off"
    group.add_argument(
        f"--{name}",
        action=argparse.BooleanOptionalAction,
        default=argparse.SUPPRESS,
        help=f"{text} (default: {default})",
    )


def _settings(args: argparse.Namespace) -> Settings:
    if args.corpus != "files" and (args.train or args.valid or args.test):
        raise ResMLPError(
            f"--train, --valid and --test are options of the corpus `files`; leave them out for {args.corpus}"
        )
    src, separator, tgt = args.pair.partition("-")
    if not separator or not src or not tgt:
        raise ResMLPError(f"--pair must be SRC-TGT, for example en-de, but is {args.pair!r}")
    given = {name: value for name, value in vars(args).items() if name in Settings.__dataclass_fields__}
    given["skip_rules"] = tuple(sorted(set(given.get("skip_rules", ()))))
    models = " ".join(file_digest(model) for model in args.models)
    corpus = CORPORA[args.corpus]
    defaults = {**corpus.defaults, **corpus.pair_defaults.get(frozenset({src, tgt}), {})}
    return Settings(**{**defaults, **given, "src": src, "tgt": tgt, "sentencepiece_model": models})


def _weighted(text: str) -> tuple[str, float]:
    path, at, weight = text.rpartition("@")
    try:
        return (path, float(weight)) if at else (text, 1.0)
    except ValueError:
        return text, 1.0


def run(args: argparse.Namespace, command: str) -> DataManifest:
    """Prepares the data set that parsed arguments describe.

    Args:
        args: from `build_parser`.
        command: the command line, for the manifest.

    Returns:
        The manifest.
    """
    settings = _settings(args)
    request = Request(
        src=settings.src,
        tgt=settings.tgt,
        from_dir=args.from_dir,
        train=tuple(_weighted(text) for text in args.train),
        valid=tuple(args.valid),
        test=tuple(args.test),
    )
    return prepare(
        request,
        settings,
        Run(
            out=args.out,
            workers=max(1, args.workers),
            cache=args.cache,
            overwrite=args.overwrite,
            mirrors=tuple(args.mirror),
            models=tuple(args.models),
            overrides=args.overrides,
            command=command,
        ),
    )


def _print_summary(manifest: DataManifest, out: Path) -> None:
    """Prints the summary and the commands that use the data set."""
    try:
        print(removal_table(manifest))
        print(next_commands(manifest, out), flush=True)
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if not isinstance(
            error, BrokenPipeError
        ):  # the reader has closed the pipe (`| head`); the data set is complete
            raise ResMLPError(
                f"standard output cannot be written ({error.strerror}); the data set itself is finished"
            ) from error
    log("done", str(out))


def main(argv: Sequence[str] | None = None, prog: str = "python -m data_prep") -> int:
    """Runs the command.

    Args:
        argv: the arguments; those of this process when None.
        prog: the name of the command in its help.

    Returns:
        The exit status: 0, 2 after bad input, 130 after an interrupt.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    args = build_parser(prog).parse_args(arguments)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        manifest = run(args, shlex.join(["python", "-m", "data_prep", *arguments]))
        _print_summary(manifest, args.out)
        return 0
    except ResMLPError as error:
        print(f"data_prep: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        print(
            f"data_prep: {error.filename or args.out} cannot be read or written ({error.strerror or error}); correct "
            "that and run the same command again",
            file=sys.stderr,
        )
        return 2
    except KeyboardInterrupt:
        print("data_prep: interrupted; run the same command again to continue", file=sys.stderr)
        return 130
