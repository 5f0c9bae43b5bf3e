"""Whether a file is what was published."""

from __future__ import annotations

import hashlib
from pathlib import Path

from data_prep.corpora.base import Source
from data_prep.formats.text_files import read_blocks
from resmlp_mt.common.errors import ResMLPError
from resmlp_mt.common.files import file_digest


def verify_file(path: Path, source: Source) -> str:
    """Compares a file with what is known of it.

    Args:
        path: the file.
        source: its published size and digests.

    Returns:
        The file's digest, "sha256:..." unless another algorithm was published.

    Raises:
        ResMLPError: names the file, what was expected and what was found.
    """
    same_packing = source.text_digest is None
    size = path.stat().st_size
    if same_packing and source.size is not None and size != source.size:
        raise _altered(path, f"{source.size:,} bytes", f"{size:,} bytes", source)
    algorithm = source.digest.split(":")[0] if source.digest else "sha256"
    found = file_digest(path, algorithm)
    if same_packing and source.digest and found != source.digest:
        raise _altered(path, source.digest, found, source)
    if source.text_digest:
        text = text_digest(path)
        if text != source.text_digest:
            raise _altered(path, f"text with {source.text_digest}", text, source)
    return found


def text_digest(path: Path) -> str:
    """The sha256 of a file's content after decompression, as "sha256:..."."""
    digest = hashlib.sha256()
    for block in read_blocks(path):
        digest.update(block)
    return f"sha256:{digest.hexdigest()}"


def _altered(path: Path, expected: str, found: str, source: Source) -> ResMLPError:
    origin = f" ({source.origin})" if source.origin else ""
    return ResMLPError(
        f"{path} must have {expected}{origin}, but has {found}; it is truncated or altered: delete it and get it again"
    )
