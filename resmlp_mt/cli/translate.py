"""`resmlp-mt translate`: line n of the output is the translation of line n of the input."""

from __future__ import annotations

import argparse
import os
import stat
import sys
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
    parser.add_argument("--input", type=Path, help="text, one sentence a line, .gz too (default: standard input)")
    parser.add_argument("--output", type=Path, help="where to write, .gz too (default: standard output)")
    parser.add_argument("--resume", action="store_true", help="go on with an interrupted job of --input and --output")
    parser.add_argument("--overwrite", action="store_true", help="delete what an interrupted job of --output has left")
    parser.add_argument("--flush", action="store_true", help="answer each line at once, without waiting for more")
    parser.add_argument(
        "--errors", choices=ERRORS, default="replace", help="bytes that are not UTF-8 (default: replace)"
    )
    parser.add_argument("--format", choices=FORMATS, default="text", help="of the output (default: text)")
    parser.add_argument("--nbest", type=int, default=1, help="translations of each line (default: 1)")
    parser.add_argument("--scores", action="store_true", help="write log-probabilities")
    parser.add_argument("--alignments", action="store_true", help="write which words belong together")
    parser.add_argument("--html", type=Path, help="also write a page with the alignments drawn")
    parser.add_argument("--quiet", action="store_true", help="no progress and no remarks on single lines")
    decoding.add_search_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Translates as the options say."""
    _check(args)
    output = OutputFormat(args.format, args.nbest, args.scores, args.alignments)
    translator = decoding.load_translator(args, line_by_line=args.flush)
    settings = decoding.search_settings(args, translator.config.decoding, args.nbest)
    job = Job(settings, output, args.too_long, bool(args.constraints), align=args.html is not None)
    with ExitStack() as open_files:
        stream = open_files.enter_context(open_input(args.input))
        progress = Progress(args.input, shown=not args.quiet and sys.stderr.isatty())
        say = progress.ignore if args.quiet else progress.log
        reader = LineReader(stream, str(args.input or "the standard input"), args.errors, say)
        page = _open_page(args.html, translator, open_files)

        def after_window(translations: list[Translation]) -> None:
            first = reader.lines - len(translations) + 1
            for number, translation in enumerate(translations, first):
                if translation.note:
                    say(translation.note)
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
            raise ResMLPError(f"--{one} and --{other} exclude each other; leave one out")
    in_place = args.output is not None and files.is_stream(args.output)
    if args.resume and in_place:
        raise ResMLPError(f"--resume requires a regular file as --output, but {args.output} is none; name a file")
    output = args.output if args.output is None or in_place else [args.output, record_path(args.output)]
    inputs = {"--input": args.input, **decoding.model_inputs(args)}
    files.check_outputs({"--output": output, "--html": args.html}, inputs)
    if args.output is None and args.input is not None and _is_standard_output(args.input):
        raise ResMLPError(
            f"--input must be another file than the standard output, but both are {args.input}; name another"
        )


def _is_standard_output(path: Path) -> bool:
    try:
        written = os.fstat(sys.stdout.fileno())
        return stat.S_ISREG(written.st_mode) and os.path.samestat(written, path.stat())
    except (OSError, ValueError):  # no such input, or a standard output that is no file
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
        raise  # the reader has gone, which is no fault
    except OSError as error:
        raise ResMLPError(f"the standard output must be writable, but is not ({error.strerror}); make room") from error


def _translate_to_file(args, translator, job, reader, after_window, progress: Progress) -> None:
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
