"""`resmlp-mt translate`: line n of the output is the translation of line n of the input."""

from __future__ import annotations

import argparse
import os
import stat
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from resmlp_mt.cli import decoding
from resmlp_mt.cli.progress import Progress
from resmlp_mt.common import files
from resmlp_mt.common.errors import ResMLPError
from resmlp_mt.translation.alignment_page import AlignmentPage
from resmlp_mt.translation.jobs import Job, translate_stream
from resmlp_mt.translation.output import FORMATS, OutputFormat
from resmlp_mt.translation.resumable import Output, ResumableOutput, StreamOutput, record_path
from resmlp_mt.translation.text.lines import ERRORS, LineReader, open_input
from resmlp_mt.translation.translator import Translator
from resmlp_mt.translation.types import Translation


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of this subcommand."""
    decoding.add_model_arguments(parser)
    parser.add_argument(
        "--input", type=Path, help="input text, one sentence per line, plain or .gz (default: standard input)"
    )
    parser.add_argument("--output", type=Path, help="output file, plain or .gz (default: standard output)")
    parser.add_argument(
        "--resume", action="store_true", help="resume an interrupted job; requires --input and --output"
    )
    parser.add_argument("--overwrite", action="store_true", help="delete the partial output of an interrupted job")
    parser.add_argument("--flush", action="store_true", help="translate each line as it arrives")
    parser.add_argument(
        "--errors", choices=ERRORS, default="replace", help="how to handle bytes that are not UTF-8 (default: replace)"
    )
    parser.add_argument("--format", choices=FORMATS, default="text", help="output format (default: text)")
    parser.add_argument("--nbest", type=int, default=1, help="number of translations per line (default: 1)")
    parser.add_argument("--scores", action="store_true", help="write the scores of the translations")
    parser.add_argument("--alignments", action="store_true", help="write word alignments")
    parser.add_argument("--html", type=Path, help="also write an HTML page that shows the word alignments")
    parser.add_argument("--quiet", action="store_true", help="do not print progress or messages about individual lines")
    decoding.add_search_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Translates the input; returns the exit status."""
    _check(args)
    output = OutputFormat(args.format, args.nbest, args.scores, args.alignments)
    translator = decoding.load_translator(args, line_by_line=args.flush)
    settings = decoding.search_settings(args, translator.config.decoding, args.nbest)
    job = Job(settings, output, args.too_long, bool(args.constraints), align=args.html is not None)
    with ExitStack() as open_files:
        stream = open_files.enter_context(open_input(args.input))
        progress = Progress(args.input, shown=not args.quiet and sys.stderr.isatty())
        log = progress.ignore if args.quiet else progress.log
        reader = LineReader(stream, str(args.input or "the standard input"), args.errors, log)
        page = _open_page(args.html, translator, open_files)

        def after_window(translations: list[Translation]) -> None:
            first = reader.lines - len(translations) + 1
            for number, translation in enumerate(translations, first):
                if translation.note:
                    log(translation.note)
                if page:
                    page.add(translation, number)
            progress.advance(translations, reader.consumed_bytes)

        if args.output is None:
            translate_stream(translator, job, reader, _write_to_standard_output, after_window, wait=not args.flush)
        else:
            _translate_to_file(args, translator, job, reader, after_window, progress)
        if page:
            page.finish()
        progress.finish()
    return 0


def _check(args: argparse.Namespace) -> None:
    if args.resume and (args.input is None or args.output is None):
        raise ResMLPError("--resume requires --input and --output; give both files")
    for one, other in (("resume", "html"), ("flush", "output"), ("resume", "overwrite")):
        if getattr(args, one) and getattr(args, other):
            raise ResMLPError(f"--{one} and --{other} cannot be combined; leave one out")
    in_place = args.output is not None and files.is_stream(args.output)
    if args.resume and in_place:
        raise ResMLPError(f"--resume requires a regular file as --output, not {args.output}; choose a file")
    output = args.output if args.output is None or in_place else [args.output, record_path(args.output)]
    inputs = {"--input": args.input, **decoding.model_inputs(args)}
    files.check_outputs({"--output": output, "--html": args.html}, inputs)
    if args.output is None and args.input is not None and _is_standard_output(args.input):
        raise ResMLPError(f"--input and the standard output are the same file, {args.input}; choose another file")


def _is_standard_output(path: Path) -> bool:
    try:
        written = os.fstat(sys.stdout.fileno())
        return stat.S_ISREG(written.st_mode) and os.path.samestat(written, path.stat())
    except (OSError, ValueError):  # the input does not exist, or the standard output is not a file
        return False


def _open_page(path: Path | None, translator: Translator, open_files: ExitStack) -> AlignmentPage | None:
    if path is None:
        return None
    partial = open_files.enter_context(files.whole_file(path))
    file = open_files.enter_context(partial.open("w", encoding="utf-8", errors="replace"))
    source, target = translator.config.languages
    return AlignmentPage(file, f"Translations {source} to {target}", (source, target))


def _write_to_standard_output(content: bytes) -> None:
    try:
        sys.stdout.buffer.write(content)
        sys.stdout.buffer.flush()
    except BrokenPipeError:
        raise  # the reader has closed the pipe, which is not an error
    except OSError as error:
        raise ResMLPError(f"cannot write to the standard output ({error.strerror}); free some space") from error


def _translate_to_file(
    args: argparse.Namespace,
    translator: Translator,
    job: Job,
    reader: LineReader,
    after_window: Callable[[list[Translation]], None],
    progress: Progress,
) -> None:
    target: Output = ResumableOutput(args.output, job.describe(translator))
    if files.is_stream(args.output):
        target = StreamOutput(args.output)
    if args.resume and target.is_finished(reader):
        progress.log(f"{args.output} is finished: nothing to resume")
        return
    try:
        done = target.open(reader, args.resume, args.overwrite)
        progress.start_at(done, reader.consumed_bytes)
        translate_stream(translator, job, reader, lambda content: target.write(content, reader), after_window)
        target.finish()
    finally:
        target.close()
