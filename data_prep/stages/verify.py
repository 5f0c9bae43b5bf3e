"""Checks that a file is the published one."""

from __future__ import annotations

import hashlib
from pathlib import Path

from data_prep.corpora.base import Source
from data_prep.formats.text_files import read_blocks
from resmlp_mt.common.errors import ResMLPError
from resmlp_mt.common.files import file_digest


def verify_file(path: Path, source: Source) -> str:
    """Compares a file with its published size and digests.

    Args:
        path: the file.
        source: the published values.

    Returns:
        The file's digest, "sha256:..." unless the published one uses another algorithm.

    Raises:
        ResMLPError: the file differs; the message names it, the expected and the actual value.
    """
    is_same_packing = source.text_digest is None
    size = path.stat().st_size
    if is_same_packing and source.size is not None and size != source.size:
        raise _altered(path, f"{source.size:,} bytes", f"{size:,} bytes", source)
    algorithm = source.digest.split(":")[0] if source.digest else "sha256"
    digest = file_digest(path, algorithm)
    if is_same_packing and source.digest and digest != source.digest:
        raise _altered(path, source.digest, digest, source)
    if source.text_digest:
        text = text_digest(path)
        if text != source.text_digest:
            raise _altered(path, f"text with {source.text_digest}", text, source)
    return digest


def text_digest(path: Path) -> str:
    """The sha256 of a file's content after decompression, as "sha256:..."."""
    digest = hashlib.sha256()
    for block in read_blocks(path):
        digest.update(block)
    return f"sha256:{digest.hexdigest()}"


def _altered(path: Path, expected: str, actual: str, source: Source) -> ResMLPError:
    origin = f" ({source.origin})" if source.origin else ""
    return ResMLPError(
        f"{path} should have {expected}{origin}, but has {actual}; it is truncated or altered: delete it and "
        "download it again"
    )
