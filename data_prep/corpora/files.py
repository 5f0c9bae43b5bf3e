"""The user's own files: two parallel texts, TSV or TMX, plain or compressed; several corpora with weights."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial
from pathlib import Path

from data_prep.corpora.base import Corpus, Member, Part, Request, Source, test_split
from data_prep.formats.text_files import COMPRESSIONS, Pair, read_line_pairs
from data_prep.formats.tsv_tmx import read_tmx, read_tsv
from resmlp_mt.common.errors import ResMLPError


def _parts(request: Request) -> list[Part]:
    train, valid, test = request.train, request.valid, request.test
    if request.from_dir is not None and not train:
        train = ((str(request.from_dir / "train"), 1.0),)
        valid = valid or _present(request, "valid")
        test = test or _present(request, "test")
    if not train:
        raise ResMLPError(
            "the corpus `files` requires --train or --from-dir; give --train PREFIX for PREFIX.SRC and PREFIX.TGT, "
            "--train FILE.tsv or FILE.tmx, or --from-dir DIR"
        )
    parts = [
        *(_part(path, "train", request, weight) for path, weight in train),
        *(_part(path, "valid" if number == 0 else f"valid{number}", request) for number, path in enumerate(valid)),
        *(_part(path, test_split(number), request) for number, path in enumerate(test)),
    ]
    names = [part.name for part in parts]
    if len(set(names)) == len(names):
        return parts
    return [replace(part, name=f"{number}: {part.name}") for number, part in enumerate(parts, 1)]


def _present(request: Request, split: str) -> tuple[str, ...]:
    assert request.from_dir is not None
    prefix = request.from_dir / split
    return (str(prefix),) if _find(prefix, request.src) else ()


def _part(path: str, split: str, request: Request, weight: float = 1.0) -> Part:
    texts, read = _texts(Path(path), request)
    members = tuple(Member(Source(text.name, local=text)) for text in texts)
    # Many corpora are called "train" and differ only in their folder.
    return Part("/".join(Path(path).parts[-2:]), split, members, read, weight=weight)


def _texts(path: Path, request: Request) -> tuple[tuple[Path, ...], Callable[..., Iterable[Pair]]]:
    form = "".join(suffix for suffix in path.suffixes[-2:] if suffix not in COMPRESSIONS)
    if form.endswith(".tsv"):
        return (path,), read_tsv
    if form.endswith(".tmx"):
        return (path,), partial(read_tmx, src_lang=request.src, tgt_lang=request.tgt)
    found = [_find(path, lang) for lang in (request.src, request.tgt)]
    for lang, text in zip((request.src, request.tgt), found, strict=True):
        if text is None:
            raise ResMLPError(
                f"{path}.{lang} is missing, also with {', '.join(COMPRESSIONS[1:])}; give the common prefix of two "
                "texts, PREFIX of PREFIX.SRC and PREFIX.TGT, or a .tsv or .tmx file"
            )
    return tuple(text for text in found if text), read_line_pairs


def _find(prefix: Path, lang: str) -> Path | None:
    candidates = (prefix.with_name(f"{prefix.name}.{lang}{compression}") for compression in COMPRESSIONS)
    return next((candidate for candidate in candidates if candidate.is_file()), None)


CORPUS = Corpus(
    name="files", summary="your own files: Moses pairs, TSV or TMX; plain, gz, xz, bz2 or zst", parts=_parts
)
