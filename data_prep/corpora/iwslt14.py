"""IWSLT14 German-English: TED talks, split like fairseq's well-known recipe.

Source: fairseq, examples/translation/prepare-iwslt14.sh. Of the training pairs that have 1 to 175 Moses tokens on each
side and a length ratio of at most 1.5, every 23rd is used for validation; the test text joins five sets. fairseq counts
160,239 / 7,283 / 6,750 pairs; sacremoses and the Moses script differ in a few tokens, so the first two numbers can
differ by some pairs.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache, partial
from pathlib import Path

from data_prep.corpora.base import Corpus, Member, Part, Request, Source, test_split
from data_prep.formats.sgm import read_iwslt_tags, read_sgm_series
from data_prep.formats.text_files import Pair
from resmlp_mt.common.errors import ResMLPError

ARCHIVE = Source(
    name="iwslt14-de-en.tgz",
    urls=(
        "https://dl.fbaipublicfiles.com/fairseq/data/iwslt14/de-en.tgz",
        "https://wit3.fbk.eu/archive/2014-01/texts/de/en/de-en.tgz",
    ),
    other_names=("de-en.tgz",),
)
_TEST_SETS = ("TED.dev2010", "TEDX.dev2012", "TED.tst2010", "TED.tst2011", "TED.tst2012")
_MAX_TOKENS = 175
_MAX_RATIO = 1.5
_VALID_STRIDE = 23


def _parts(request: Request) -> list[Part]:
    languages = (request.src, request.tgt)
    if set(languages) != {"de", "en"}:
        raise ResMLPError(
            f"--pair must be de-en or en-de for iwslt14, but is {'-'.join(languages)}; choose one of these"
        )
    talks = tuple(Member(ARCHIVE, f"de-en/train.tags.de-en.{lang}") for lang in languages)
    tests = tuple(
        Member(ARCHIVE, f"de-en/IWSLT14.{name}.de-en.{lang}.xml") for name in _TEST_SETS for lang in languages
    )
    origin = "fairseq, examples/translation/prepare-iwslt14.sh"
    return [
        Part("ted-talks", "train", talks, partial(_read_talks, languages=languages, valid=False), None, origin),
        Part("ted-talks-valid", "valid", talks, partial(_read_talks, languages=languages, valid=True), None, origin),
        Part("ted-tests", test_split(0), tests, read_sgm_series, 6750, origin),
    ]


def _read_talks(src: Path, tgt: Path, languages: tuple[str, str], valid: bool, errors: str) -> Iterator[Pair]:
    for number, pair in enumerate(_cleaned_talks(src, tgt, languages, errors), 1):
        if (number % _VALID_STRIDE == 0) == valid:
            yield pair


@cache
def _cleaned_talks(src: Path, tgt: Path, languages: tuple[str, str], errors: str) -> list[Pair]:
    """The pairs that fairseq's recipe keeps before it splits them; cached, because two splits need them."""
    from sacremoses import MosesTokenizer

    tokenize = [MosesTokenizer(lang).tokenize for lang in languages]
    kept = []
    for pair in read_iwslt_tags(src, tgt, errors):
        shorter, longer = sorted(len(tokens(text)) for tokens, text in zip(tokenize, pair, strict=True))
        if shorter >= 1 and longer <= _MAX_TOKENS and longer <= _MAX_RATIO * shorter:
            kept.append(pair)
    return kept


CORPUS = Corpus(
    name="iwslt14",
    summary="160,000 pairs of TED talks, de-en, in fairseq's split",
    parts=_parts,
    defaults={"vocab_size": 10000},
)
