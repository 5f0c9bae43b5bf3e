"""Lexical shortlists: the target tokens that a sentence may be translated with, found by its source tokens.

The output layer of the int8 engine then computes a few hundred logits instead of the whole vocabulary. Every sentence
has its own list, so its translation does not depend on its batch.

Files have Marian's binary format (marian-dev, src/data/shortlist.h): little-endian; magic, checksum, first, best,
number of offsets, number of words, each 8 bytes; the offsets, 8 bytes each; the words of each source token, sorted, 4
bytes each. Every list also has the tokens below `first`, here the special tokens. The tokens that are frequent in any
sentence are in the list of the end of the sentence, which every source contains.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from resmlp_mt.common import files
from resmlp_mt.common.errors import ResMLPError

_MAGIC = 0xF11A48D5013417F5
_HEADER = struct.Struct("<6Q")
_MASK = 2**64 - 1


@dataclass(frozen=True)
class Shortlist:
    """Target tokens by source token.

    Attributes:
        first: the target tokens below it are in every list.
        best: maximum number of target tokens of a source token, for information.
        offsets: where the list of each source token begins in `words`, and the end, (source_vocab + 1,).
        words: the target tokens of all lists; those of a list are sorted.
    """

    first: int
    best: int
    offsets: NDArray[np.uint64]
    words: NDArray[np.uint32]

    @classmethod
    def from_lists(cls, first: int, best: int, lists: Sequence[Sequence[int] | NDArray[np.int64]]) -> Shortlist:
        """Makes a shortlist from the target tokens of each source token, in any order."""
        parts = [np.unique(np.asarray(words, np.uint32)) for words in lists]
        offsets = np.concatenate([[0], np.cumsum([len(part) for part in parts])]).astype(np.uint64)
        return cls(first, best, offsets, np.concatenate(parts) if parts else np.zeros(0, np.uint32))

    def words_of(self, sources: Sequence[int], also: Sequence[int] = ()) -> NDArray[np.int32]:
        """The target tokens for a sentence, sorted.

        Args:
            sources: source tokens, including the end of the sentence.
            also: further target tokens.
        """
        parts = [self.words[int(self.offsets[token]) : int(self.offsets[token + 1])] for token in {*sources}]
        return np.unique(np.concatenate([np.arange(self.first), *parts, np.asarray(also, np.int64)])).astype(np.int32)

    def write(self, path: Path) -> None:
        """Writes the file.

        Raises:
            ResMLPError: if it cannot be written.
        """
        body = struct.pack("<4Q", self.first, self.best, len(self.offsets), len(self.words))
        body += self.offsets.astype("<u8").tobytes() + self.words.astype("<u4").tobytes()
        with files.whole_file(path) as partial:
            partial.write_bytes(struct.pack("<2Q", _MAGIC, _checksum(body)) + body)


def read_shortlist(path: Path, source_vocab: int, target_vocab: int) -> Shortlist:
    """Reads a file.

    Args:
        path: the file.
        source_vocab: size of the source vocabulary.
        target_vocab: size of the target vocabulary.

    Raises:
        ResMLPError: if the file is missing, damaged, or for other vocabularies.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise files.unreadable(path, error) from error
    if len(content) < _HEADER.size or struct.unpack_from("<Q", content)[0] != _MAGIC:
        raise ResMLPError(f"{path} is not a binary shortlist; make one with `resmlp-mt shortlist`")
    _, checksum, first, best, num_offsets, num_words = _HEADER.unpack_from(content)
    if len(content) != _HEADER.size + 8 * num_offsets + 4 * num_words:
        raise ResMLPError(f"{path} is truncated or has data behind its end; make it again with `resmlp-mt shortlist`")
    offsets = np.frombuffer(content, "<u8", num_offsets, _HEADER.size)
    words = np.frombuffer(content, "<u4", num_words, _HEADER.size + 8 * num_offsets)
    if _checksum(content[16:]) != checksum:
        raise ResMLPError(f"{path} is damaged: its checksum is wrong; make it again with `resmlp-mt shortlist`")
    if num_offsets != source_vocab + 1 or first > target_vocab or words.max(initial=0) >= target_vocab:
        raise ResMLPError(
            f"{path} is for other vocabularies than the model's of {source_vocab} and {target_vocab} tokens; make one "
            "with `resmlp-mt shortlist` from the data of the model"
        )
    if offsets[0] != 0 or offsets[-1] != num_words or (offsets[1:] < offsets[:-1]).any():
        raise ResMLPError(f"{path} is damaged: its offsets are not in order; make it again with `resmlp-mt shortlist`")
    return Shortlist(first, best, offsets, words)


def _checksum(body: bytes) -> int:
    """Marian's hash of whole 8-byte words (marian-dev, src/common/hash.h)."""
    seed = 0
    for word in np.frombuffer(body, "<u8", len(body) // 8).tolist():
        seed ^= (word + 0x9E3779B9 + (seed << 6 & _MASK) + (seed >> 2)) & _MASK
    return seed
