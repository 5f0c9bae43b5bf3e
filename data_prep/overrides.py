"""Corrections of the corpora's file descriptions, for files that a publisher has moved or repacked."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from data_prep.corpora.base import Member, Part, Source
from resmlp_mt.common.errors import ResMLPError

_SOURCE_FIELDS = ("urls", "size", "digest", "text_digest")


def override_sources(parts: list[Part], path: Path | None) -> list[Part]:
    """Applies the corrections of a file.

    Args:
        parts: parts of the corpus.
        path: JSON: `{"sources": {NAME: {"urls": [...], "size": N, "digest": "sha256:...", "text_digest": ...}},
            "expected_pairs": {PART: N}}`; null removes a value, absent values are kept. None for no corrections.

    Returns:
        The corrected parts.

    Raises:
        ResMLPError: the file is not such JSON, or names something that the corpus does not have.
    """
    if path is None:
        return parts
    try:
        corrections = json.loads(path.read_text(encoding="utf-8"))
        sources, pairs = corrections.get("sources", {}), corrections.get("expected_pairs", {})
        corrected = [_corrected_part(part, sources, pairs) for part in parts]
    except (OSError, ValueError, AttributeError, TypeError) as error:
        raise ResMLPError(
            f"--overrides {path} cannot be read as JSON with sources and expected_pairs ({error}); correct it"
        ) from error
    known = {source.name for part in parts for source in part.sources()} | {part.name for part in parts}
    if unknown := sorted({*sources, *pairs} - known):
        raise ResMLPError(f"--overrides {path} names {', '.join(unknown)}, which the corpus does not have; correct it")
    return corrected


def _corrected_part(part: Part, sources: dict[str, Any], pairs: dict[str, int]) -> Part:
    members = tuple(Member(_corrected(member.source, sources), member.inside) for member in part.members)
    if part.name not in pairs:
        return replace(part, members=members)
    return replace(part, members=members, expected_pairs=pairs[part.name], origin="--overrides")


def _corrected(source: Source, sources: dict[str, Any]) -> Source:
    if source.replacement is not None:
        source = replace(source, replacement=_corrected(source.replacement, sources))
    given = sources.get(source.name)
    if given is None:
        return source
    known = {name: given[name] for name in _SOURCE_FIELDS if name in given}
    if "urls" in known:
        known["urls"] = tuple(known["urls"])
    return replace(source, **known, origin="--overrides")
