"""Gets the files of a corpus: the user's own, from `--from-dir`, or downloaded; verified, and unpacked where needed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data_prep.archives import extract_members
from data_prep.corpora.base import Member, Part, Source
from data_prep.download import download
from data_prep.progress import say
from data_prep.read import COMPRESSIONS
from data_prep.verify import verify_file
from resmlp_mt.errors import ResMLPError

_PUBLISHED_NOWHERE = "unpublished, recorded at first download"


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


def acquire(parts: list[Part], place: Place) -> tuple[list[LocalPart], list[dict[str, Any]]]:
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
    paths = {source: _get(source, place) for source in sources}
    records = []
    for source, path in paths.items():
        digest = verify_file(path, source)
        say("verify", f"{source.name}: {path.stat().st_size:,} bytes, {digest}")
        published = source.origin if source.digest or source.text_digest else _PUBLISHED_NOWHERE
        records.append(
            {
                "file": source.name,
                "urls": list(source.urls),
                "bytes": path.stat().st_size,
                "digest": digest,
                "expected": source.digest or source.text_digest,
                "expected_from": published,
            }
        )
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
        say("acquire", f"{part.name} is left out: {place.from_dir} holds no {missing[0]}")
    return bool(missing)


def _get(source: Source, place: Place) -> Path:
    if source.local is not None:
        return source.local
    if place.from_dir is None:
        return download(source, place.cache, place.mirrors)
    found = _find(source, place.from_dir)
    if found is None:
        names = ", ".join((source.name, *source.other_names))
        raise ResMLPError(f"{place.from_dir} must hold {names}, but does not; add it, or leave out --from-dir")
    return found


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
