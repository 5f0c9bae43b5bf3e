"""Finds test sentences in the training data, comparing letters and digits as `data_prep` does."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resmlp_mt.common.data_folder import has_training_data, split_prefix, training_folders
from resmlp_mt.common.data_manifest import DataManifest
from resmlp_mt.common.indexed_data import IndexedText, read_indexed
from resmlp_mt.translation.text.dictionary import SPECIAL_TOKEN_NAMES
from resmlp_mt.translation.text.normalization import letters_and_digits, normal_form
from resmlp_mt.translation.text.tokenizer import UNKNOWN_LETTER, Tokenizer

_BLOCK_SENTENCES = 100_000
_BYTE = re.compile(r"<0x[0-9A-F]{2}>")
_CHECKSUMS = 2**64


def find_leaks(
    sources: Sequence[str],
    tokenizer: Tokenizer,
    data: Path | None,
    manifest: DataManifest | None,
    languages: tuple[str, str],
) -> dict[str, Any]:
    """Finds the test sources that occur in the training data.

    Args:
        sources: of the test set, raw.
        tokenizer: of the source language.
        data: prepared data folder, or None.
        manifest: of the folder; None where it has none.
        languages: source and target.

    Returns:
        "checked", and either "lines", the line numbers that occur (from 1), or "reason", why nothing was checked.
    """
    if data is None or not has_training_data(data, languages):
        return {"checked": False, "reason": "no binarised training data; give the data folder with --data"}
    wanted: dict[str, list[int]] = {}
    for number, (source, tokens) in enumerate(zip(sources, tokenizer.encode(sources), strict=True), 1):
        # Training text is reconstructed from sub-words, so it is normalised and may hold unknown tokens. A letter that
        # is unknown in the test set only, such as a capital, is present only in the raw source.
        for form in {tokenizer.normal_form(tokens), normal_form(source)}:
            wanted.setdefault(form, []).append(number)
    leaked: set[int] = set()
    for folder in training_folders(data, manifest):
        text = read_indexed(split_prefix(folder, "train", languages, languages[0]))
        for tokens in _candidates(text, tokenizer.symbols, wanted):
            leaked.update(wanted.get(tokenizer.normal_form(tokens), ()))
    return {"checked": True, "lines": sorted(leaked)}


def _candidates(text: IndexedText, symbols: Sequence[str], wanted: Mapping[str, object]) -> Iterator[list[int]]:
    """Yields the sentences, as tokens, that may have one of the wanted normal forms.

    The checksum of a normal form is a sum over its characters and equals the sum over its sub-words, which is fast to
    compute for all sentences; few have the checksum of another normal form. Sub-words that are single bytes of a
    character have no checksum, so sentences with any are always yielded.
    """
    ordinary = symbols[len(SPECIAL_TOKEN_NAMES) :]
    special = [_checksum(UNKNOWN_LETTER) if symbol == "<unk>" else 0 for symbol in SPECIAL_TOKEN_NAMES]
    checksums = np.array([*special, *map(_checksum, ordinary)], np.uint64)
    is_byte = np.array([_BYTE.fullmatch(symbol) is not None for symbol in symbols])
    wanted_checksums = np.array([_checksum(form) for form in wanted], np.uint64)
    sizes = text.sizes[text.sizes > 0].astype(np.int64)
    begin = 0
    for first in range(0, len(sizes), _BLOCK_SENTENCES):
        block = sizes[first : first + _BLOCK_SENTENCES]
        tokens: NDArray[np.integer] = text.tokens[begin : begin + int(block.sum())]
        begins = block.cumsum() - block
        may_match = np.isin(np.add.reduceat(checksums[tokens], begins), wanted_checksums)
        may_match |= np.logical_or.reduceat(is_byte[tokens], begins)
        for index in np.flatnonzero(may_match):
            yield tokens[begins[index] : begins[index] + block[index]].tolist()
        begin += len(tokens)


def _checksum(text: str) -> int:
    return sum(map(_character_code, letters_and_digits(text))) % _CHECKSUMS


@cache
def _character_code(character: str) -> int:
    return int.from_bytes(blake2b(character.encode(), digest_size=8).digest())
