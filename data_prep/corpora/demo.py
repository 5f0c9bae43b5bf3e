"""The embedded corpus: made by a small grammar, so that everything can be tried without a network."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache, partial

from data_prep.corpora.base import Corpus, Part, Request
from data_prep.formats.text_files import Pair
from resmlp_mt.common.errors import ResMLPError


def _parts(request: Request) -> list[Part]:
    if {request.src, request.tgt} != {"en", "de"}:
        raise ResMLPError(
            f"--pair must be en-de or de-en for demo, but is {request.src}-{request.tgt}; choose one of these"
        )
    return [
        Part(f"demo-{split}", split, (), partial(_pairs, split=split, swap=request.src == "de"), origin="generated")
        for split in ("train", "valid", "test")
    ]


def _pairs(split: str, swap: bool, errors: str) -> Iterator[Pair]:
    for english, german in _corpus()[split]:
        yield (german, english) if swap else (english, german)


@cache
def _corpus() -> dict[str, list[Pair]]:
    # Imported here: it makes sentences from word lists, which no other corpus needs.
    from data_prep.corpora.demo_corpus import build_demo_corpus

    return build_demo_corpus()


CORPUS = Corpus(
    name="demo",
    summary="24,000 generated pairs, en-de; needs no network",
    parts=_parts,
    defaults={"vocab_size": 1000, "byte_fallback": False},
)
