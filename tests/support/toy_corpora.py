"""Small parallel corpora of random sentences."""

from __future__ import annotations

import random
from pathlib import Path

# (English, German) words that correspond.
WORDS = (
    ("the", "die"), ("a", "ein"), ("cat", "katze"), ("dog", "hund"), ("house", "haus"), ("tree", "baum"),
    ("sees", "sieht"), ("finds", "findet"), ("likes", "mag"), ("old", "alt"), ("new", "neu"), ("green", "grün"),
    ("small", "klein"), ("bird", "vogel"), ("river", "fluss"), ("under", "unter"), ("over", "über"), ("near", "nahe"),
    ("with", "mit"), ("without", "ohne"),
)  # fmt: skip


def make_pairs(count: int, seed: int = 1) -> list[tuple[str, str]]:
    """Makes pairs of different sentences whose words correspond."""
    generator = random.Random(seed)
    pairs: dict[str, str] = {}
    while len(pairs) < count:
        words = generator.choices(WORDS, k=generator.randint(4, 11))
        pairs[" ".join(english for english, _ in words)] = " ".join(german for _, german in words)
    return list(pairs.items())


def write_pairs(folder: Path, split: str, pairs: list[tuple[str, str]]) -> None:
    """Writes `SPLIT.en` and `SPLIT.de`."""
    folder.mkdir(parents=True, exist_ok=True)
    for side, lang in enumerate(("en", "de")):
        (folder / f"{split}.{lang}").write_bytes("".join(f"{pair[side]}\n" for pair in pairs).encode())


def contents(folder: Path) -> dict[str, bytes]:
    """Every file of a data set except its manifest, which contains the command."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != "manifest.json"
    }
