"""Gets the files of a corpus: the user's own, from `--from-dir`, or downloaded; verified, and unpacked where needed."""

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
class Place:
    """Where files are looked for and put.

    Attributes:
        from_dir: the folder of `--from-dir`; nothing is downloaded when it is given.
        cache: the folder of downloads, shared by all data sets.
        unpacked: the folder for members of archives.
        mirrors: base addresses that are tried before a source's own.
    """

    from_dir: Path | None
    cache: Path
    unpacked: Path
    mirrors: tuple[str, ...] = ()


@dataclass(frozen=True)
class LocalPart:
    """A part whose texts are on this machine.

    Attributes:
        part: the part.
        texts: the paths for its `read`.
    """

    part: Part
    texts: tuple[Path, ...]


def acquire(parts: list[Part], place: Place) -> tuple[list[LocalPart], list[SourceRecord]]:
    """Gets and verifies every file of the parts.

    Args:
        parts: what the corpus consists of.
        place: where to look.

    Returns:
        The parts with their texts, and for the manifest one record of each file.

    Raises:
        ResMLPError: names the file that is missing, altered or cannot be downloaded.
    """
    present = [part for part in parts if not _may_be_left_out(part, place)]
    sources = dict.fromkeys(member.source for part in present for member in part.members)
    paths: dict[Source, Path] = {}
    records = []
    for source in sources:
        used, paths[source] = _get(source, place)
        records.append(_verified(used, paths[source]))
    texts = _texts(present, paths, place)
    return [LocalPart(part, tuple(texts[member] for member in part.members)) for part in present], records


def _texts(parts: list[Part], paths: dict[Source, Path], place: Place) -> dict[Member, Path]:
    """Where the text of every member is, after unpacking what lies in archives."""
    members = dict.fromkeys(member for part in parts for member in part.members)
    texts = {member: paths[member.source] for member in members if member.inside is None}
    for source in dict.fromkeys(member.source for member in members if member.inside is not None):
        inside = [member.inside for member in members if member.source == source and member.inside]
        unpacked = extract_members(paths[source], inside, place.unpacked)
        texts.update({Member(source, name): path for name, path in unpacked.items()})
    return texts


def _may_be_left_out(part: Part, place: Place) -> bool:
    """Whether an optional part is missing from `--from-dir`."""
    if not part.optional or place.from_dir is None:
        return False
    missing = [member.source.name for member in part.members if _find(member.source, place.from_dir) is None]
    if missing:
        log("acquire", f"{part.name} is left out: {place.from_dir} holds no {missing[0]}")
    return bool(missing)


def _verified(source: Source, path: Path) -> SourceRecord:
    """Verifies a file and describes it for the manifest."""
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


def _get(source: Source, place: Place) -> tuple[Source, Path]:
    """Finds or downloads a source, or else its replacement."""
    if source.local is not None:
        return source, source.local
    if place.from_dir is not None:
        return _from_dir(source, place.from_dir)
    try:
        return source, download(source, place.cache, place.mirrors)
    except ResMLPError:
        if source.replacement is None:
            raise
        log("download", f"{source.name} cannot be had; trying {source.replacement.name}")
        return source.replacement, download(source.replacement, place.cache, place.mirrors)


def _from_dir(source: Source, folder: Path) -> tuple[Source, Path]:
    candidates = [source, *([source.replacement] if source.replacement else [])]
    for candidate in candidates:
        found = _find(candidate, folder)
        if found is not None:
            return candidate, found
    names = " or ".join(name for candidate in candidates for name in (candidate.name, *candidate.other_names))
    raise ResMLPError(f"{folder} must hold {names}, but does not; add it, or leave out --from-dir")


def _find(source: Source, folder: Path) -> Path | None:
    """The file in the folder, under any of its names and, where only its text matters, in any compression."""
    for name in (source.name, *source.other_names):
        candidates = [name]
        if source.text_digest:
            stem = name.removesuffix(Path(name).suffix) if Path(name).suffix in COMPRESSIONS else name
            candidates += [stem + compression for compression in COMPRESSIONS]
        for candidate in candidates:
            if (folder / candidate).is_file():
                return folder / candidate
    return None
