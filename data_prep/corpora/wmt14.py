"""WMT14 English-German and English-French: the official training sets, newstest2013 and the full newstest2014.

Source: Bojar et al. 2014, "Findings of the 2014 Workshop on Statistical Machine Translation"; the setting of Vaswani et
al. 2017 and Ott et al. 2018. newstest2013 is the validation set here, not a sample of the training text.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from data_prep.corpora.base import Corpus, Member, Part, Request, Source, test_split
from data_prep.formats.sgm import read_sgm
from data_prep.formats.text_files import read_line_pairs
from resmlp_mt.common.errors import ResMLPError

_TFDS = "tensorflow/datasets, url_checksums/wmt14_translate.txt"
_HUGGING_FACE = "huggingface/datasets, datasets/wmt14/dataset_infos.json"
_FINDINGS = "Bojar et al. 2014, figure 1"
_COUNTED = "counted by users of the file; its publisher states no number"
_STATMT = ("https://www.statmt.org/", "http://www.statmt.org/", "https://data.statmt.org/")
_MIRROR = "https://huggingface.co/datasets/wmt/"


def _source(
    path: str, size: int | None, digest: str | None, replacement_size: int, replacement_digest: str, folder: str
) -> Source:
    """An archive of statmt.org, and the zip of the same files at Hugging Face."""
    name = path.rpartition("/")[2]
    zip_name = f"{name.partition('.')[0]}.zip"
    return Source(
        name=name,
        urls=tuple(base + path for base in _STATMT),
        size=size,
        digest=digest,
        origin=_TFDS if digest else "",
        replacement=Source(
            name=zip_name,
            urls=(f"{_MIRROR}{folder}/resolve/main-zip/{zip_name}",),
            size=replacement_size,
            digest=replacement_digest,
            origin=_HUGGING_FACE,
        ),
    )


EUROPARL = _source(
    "wmt13/training-parallel-europarl-v7.tgz",
    657632379,
    "sha256:0224c7c710c8a063dfd893b0cc0830202d61f4c75c17eb8e31836103d27d96e7",
    658092427,
    "sha256:5b2d8b32c2396da739b4e731871c597fcc6e75729becd74619d0712eecf7770e",
    "wmt13",
)
COMMON_CRAWL = _source(
    "wmt13/training-parallel-commoncrawl.tgz",
    918311367,
    "sha256:c7a74e2ea01ac6c920123108627e35278d4ccb5701e15428ffa34de86fa3a9e5",
    918734483,
    "sha256:5ffe980072ea29adfd84568d099bea366d9f72772b988e670794ae851b4e5627",
    "wmt13",
)
NEWS_COMMENTARY = _source(
    "wmt14/training-parallel-nc-v9.tgz",
    80418416,
    "sha256:cb8953f292298e6877ae433c98912b927cb0766b303f4540512ddd286c748485",
    80462375,
    "sha256:ce199f93ec56ff480137ba29f0819f9a22e70d88be6d7458f112303d67d623d5",
    "wmt14",
)
UNITED_NATIONS = _source(
    "wmt13/training-parallel-un.tgz",
    None,
    None,
    2366237633,
    "sha256:74f07002e053c81bc7f73b4fdab58e7987e831338748f264cbda82a8b062d2e2",
    "wmt13",
)
GIGA = _source(
    "wmt10/training-giga-fren.tar",
    None,
    None,
    2595877717,
    "sha256:9439f86523e5dff3f923526dbf6c6929da1786c18dbf64436d2b7564b83aaba3",
    "wmt10",
)


@dataclass(frozen=True)
class _Set:
    """A training set: the archive, the path prefix of a text in it, its number of pairs, and who published that."""

    name: str
    source: Source
    prefix: str
    pairs: int
    origin: str
    ending: str = ""


_TRAINING = {
    "de": (
        _Set("europarl-v7", EUROPARL, "training/europarl-v7.de-en", 1920209, _FINDINGS),
        _Set("commoncrawl", COMMON_CRAWL, "commoncrawl.de-en", 2399123, _FINDINGS),
        _Set("news-commentary-v9", NEWS_COMMENTARY, "training/news-commentary-v9.de-en", 201288, _FINDINGS),
    ),
    "fr": (
        _Set("europarl-v7", EUROPARL, "training/europarl-v7.fr-en", 2007723, _FINDINGS),
        _Set("commoncrawl", COMMON_CRAWL, "commoncrawl.fr-en", 3244152, _FINDINGS),
        _Set("united-nations", UNITED_NATIONS, "un/undoc.2000.fr-en", 12886831, _FINDINGS),
        _Set("news-commentary-v9", NEWS_COMMENTARY, "training/news-commentary-v9.fr-en", 183251, _FINDINGS),
        _Set("giga-fren", GIGA, "giga-fren.release2.fixed", 22520376, _COUNTED, ".gz"),
    ),
}


def _parts(request: Request) -> list[Part]:
    languages = (request.src, request.tgt)
    other = next((lang for lang in languages if lang != "en"), "")
    if "en" not in languages or other not in _TRAINING:
        raise ResMLPError(
            f"--pair must be en-de or en-fr, either way, for wmt14, but is {'-'.join(languages)}; change it"
        )
    training = [
        Part(
            name=row.name,
            split="train",
            members=tuple(Member(row.source, f"{row.prefix}.{lang}{row.ending}") for lang in languages),
            read=read_line_pairs,
            expected_pairs=row.pairs,
            origin=row.origin,
        )
        for row in _TRAINING[other]
    ]
    return [
        *training,
        _test_set("wmt13", "newstest2013", "valid", languages, 3000),
        _test_set("wmt14/full", "newstest2014-full", test_split(0), languages, 3003),
    ]


def _test_set(key: str, name: str, split: str, languages: tuple[str, str], pairs: int) -> Part:
    """A test set whose URL, digest and files sacrebleu knows."""
    # Imported here: it loads a large table that no other corpus needs.
    from sacrebleu.dataset import DATASETS

    known: Any = DATASETS[key]
    url = known.data[0]
    source = Source(
        # The archives of several years are all called test.tgz: the prefix makes the names unique.
        name=f"{name}-{url.rpartition('/')[2]}",
        urls=(url, url.replace("https://statmt.org", "https://www.statmt.org")),
        digest=f"md5:{known.md5[0]}",
        origin=f"sacrebleu, {key}",
        other_names=(url.rpartition("/")[2],),
    )
    texts = known.langpairs["-".join(languages)][:2]
    members = tuple(Member(source, text) for text in texts)
    return Part(name, split, members, read_sgm, expected_pairs=pairs, origin=f"sacrebleu -t {key}")


CORPUS = Corpus(
    name="wmt14",
    summary="en-de (4.5 million pairs) or en-fr (40.8 million); newstest2013 and the full newstest2014",
    parts=_parts,
    defaults={"vocab_size": 32000},
    pair_defaults={frozenset({"en", "fr"}): {"vocab_size": 40000}},
)
