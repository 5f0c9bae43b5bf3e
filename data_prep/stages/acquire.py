"""Acquires the files of a corpus: local, from `--from-dir` or downloaded; verified, and unpacked where needed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from data_prep.corpora.base import Member, Part, Source
from data_prep.formats.archives import extract_members
from data_prep.formats.text_files import COMPRESSIONS
from data_prep.stages.download import download
from data_prep.stages.verify import verify_file
from resmlp_mt.common.data_manifest import SourceRecord
from resmlp_mt.common.errors import ResMLPError
from resmlp_mt.common.progress import log

_UNPUBLISHED = "unpublished, recorded at first download"


@dataclass(frozen=True)
class Locations:
    """The folders and mirrors of files.

    Attributes:
        from_dir: the folder of `--from-dir`; if it is given, nothing is downloaded.
        cache: the folder of downloads, shared by all data sets.
        unpacked: the folder for members of archives.
        mirrors: base URLs that are tried before a source's own.
    """

    from_dir: Path | None
    cache: Path
    unpacked: Path
    mirrors: tuple[str, ...] = ()


@dataclass(frozen=True)
class LocalPart:
    """A part of a corpus with its texts on this machine.

    Attributes:
        part: the part.
        texts: the paths that its `read` needs.
    """

    part: Part
    texts: tuple[Path, ...]


def acquire(parts: list[Part], locations: Locations) -> tuple[list[LocalPart], list[SourceRecord]]:
    """Acquires and verifies every file of the parts.

    Args:
        parts: parts of the corpus.
        locations: where to look files up and store them.

    Returns:
        The parts with their texts, and one record for each file for the manifest.

    Raises:
        ResMLPError: a file is missing, altered or cannot be downloaded; the message names it.
    """
    present = [part for part in parts if not _is_left_out(part, locations)]
    sources = dict.fromkeys(member.source for part in present for member in part.members)
    paths: dict[Source, Path] = {}
    records = []
    for source in sources:
        used, paths[source] = _get(source, locations)
        records.append(_verified(used, paths[source]))
    texts = _texts(present, paths, locations)
    return [LocalPart(part, tuple(texts[member] for member in part.members)) for part in present], records


def _texts(parts: list[Part], paths: dict[Source, Path], locations: Locations) -> dict[Member, Path]:
    """The path of every member's text, after unpacking the archives."""
    members = dict.fromkeys(member for part in parts for member in part.members)
    texts = {member: paths[member.source] for member in members if member.inside is None}
    for source in dict.fromkeys(member.source for member in members if member.inside is not None):
        inside = [member.inside for member in members if member.source == source and member.inside]
        unpacked = extract_members(paths[source], inside, locations.unpacked)
        texts.update({Member(source, name): path for name, path in unpacked.items()})
    return texts


def _is_left_out(part: Part, locations: Locations) -> bool:
    """Whether a part is optional and missing from `--from-dir`."""
    if not part.optional or locations.from_dir is None:
        return False
    missing = [member.source.name for member in part.members if _find(member.source, locations.from_dir) is None]
    if missing:
        log("acquire", f"{part.name} is left out: {locations.from_dir} does not hold {missing[0]}")
    return bool(missing)


def _verified(source: Source, path: Path) -> SourceRecord:
    """Verifies a file and returns its record for the manifest."""
    digest = verify_file(path, source)
    size = path.stat().st_size
    log("verify", f"{source.name}: {size:,} bytes, {digest}")
    published = source.digest or source.text_digest
    return {
        "file": source.name,
        "urls": list(source.urls),
        "bytes": size,
        "digest": digest,
        "expected": published,
        "expected_from": source.origin if published else _UNPUBLISHED,
    }


def _get(source: Source, locations: Locations) -> tuple[Source, Path]:
    """Finds or downloads a source, otherwise its replacement."""
    if source.local is not None:
        return source, source.local
    if locations.from_dir is not None:
        return _from_dir(source, locations.from_dir)
    try:
        return source, download(source, locations.cache, locations.mirrors)
    except ResMLPError:
        if source.replacement is None:
            raise
        log("download", f"{source.name} is not available; trying {source.replacement.name}")
        return source.replacement, download(source.replacement, locations.cache, locations.mirrors)


def _from_dir(source: Source, folder: Path) -> tuple[Source, Path]:
    candidates = [source, *([source.replacement] if source.replacement else [])]
    for candidate in candidates:
        path = _find(candidate, folder)
        if path is not None:
            return candidate, path
    names = " or ".join(name for candidate in candidates for name in (candidate.name, *candidate.other_names))
    raise ResMLPError(f"{folder} does not hold {names}; add it, or leave out --from-dir")


def _find(source: Source, folder: Path) -> Path | None:
    """The file in the folder, under any of its names and, if only its text is verified, in any compression."""
    for name in (source.name, *source.other_names):
        candidates = [name]
        if source.text_digest:
            stem = name.removesuffix(Path(name).suffix) if Path(name).suffix in COMPRESSIONS else name
            candidates += [stem + compression for compression in COMPRESSIONS]
        for candidate in candidates:
            if (folder / candidate).is_file():
                return folder / candidate
    return None
