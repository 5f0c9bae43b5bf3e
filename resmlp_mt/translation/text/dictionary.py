"""fairseq's dictionary files, `dict.LANG.txt`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from resmlp_mt.common.errors import ResMLPError
from resmlp_mt.common.files import write_text

SPECIAL_TOKEN_NAMES = ("<s>", "<pad>", "</s>", "<unk>")  # fairseq.data.Dictionary puts them first, in this order


def read_dictionary(path: Path) -> list[str]:
    """Reads a dictionary, which has `SYMBOL COUNT` in each line.

    Returns:
        All symbols by their token, the special tokens included.

    Raises:
        ResMLPError: the file cannot be read or is not a dictionary.
    """
    try:
        lines = path.read_text(encoding="utf-8").removesuffix("\n").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise ResMLPError(f"the fairseq dictionary {path} cannot be read ({error}); check --data") from error
    symbols = list(SPECIAL_TOKEN_NAMES)
    for number, line in enumerate(lines, 1):
        symbol, _, count = line.removesuffix(" #fairseq:overwrite").rpartition(" ")
        if not symbol or not count.isdigit():
            raise ResMLPError(
                f"{path} is not a fairseq dictionary: line {number} does not have the form SYMBOL COUNT; check --data"
            )
        symbols.append(symbol)
    return symbols


def write_dictionary(path: Path, symbols: Sequence[str], counts: Sequence[int]) -> None:
    """Writes a dictionary.

    Args:
        path: `dict.LANG.txt`.
        symbols: without the special tokens, in the order of their tokens.
        counts: how often each occurs in the training data.
    """
    write_text(path, "".join(f"{symbol} {count}\n" for symbol, count in zip(symbols, counts, strict=True)))
