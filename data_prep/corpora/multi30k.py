"""Multi30k: image captions in four languages (Elliott et al. 2016 and 2017, Barrault et al. 2018)."""

from __future__ import annotations

from data_prep.corpora.base import Corpus, Member, Part, Request, Source, test_split
from data_prep.formats.text_files import read_line_pairs
from resmlp_mt.common.errors import ResMLPError

# A commit, not a branch: the file behind the URL can never change.
_URL = "https://raw.githubusercontent.com/multi30k/dataset/a3d2e0d26b56f3846f66a952536ffed4e401d05a/data/task1/raw/"
_ORIGIN = "computed from github.com/multi30k/dataset at commit a3d2e0d, data/task1/raw"
_TARGETS = ("de", "fr", "cs")

# (file name's stem, split, pairs, other stems in --from-dir)
_SETS: tuple[tuple[str, str, int, tuple[str, ...]], ...] = (
    ("train", "train", 29000, ()),
    ("val", "valid", 1014, ("valid",)),
    ("test_2016_flickr", test_split(0), 1000, ("test",)),
    ("test_2017_flickr", test_split(1), 1000, ()),
    ("test_2018_flickr", test_split(2), 1071, ()),
    ("test_2017_mscoco", test_split(3), 461, ()),
)

# sha256 of the uncompressed text.
_TEXT_DIGESTS = {
    ("test_2016_flickr", "cs"): "45adb85f688de8407fddcbe1b36dca15d12aab868149b337e2576f2d6d2ff8d8",
    ("test_2016_flickr", "de"): "4be6b5b3236b79c25475c6bb829800a7ce559e9ba7a1f6c2394fe4d40be46d16",
    ("test_2016_flickr", "en"): "399a4382932c1aadd3ceb9bef1008d388a64c76d4ae4e9d4728c6f4301cac182",
    ("test_2016_flickr", "fr"): "cb3160d69b002bb638e66cc7612fcd56cb0af82eadc9c142dedc438afb885ef6",
    ("test_2017_flickr", "de"): "c3078bc3b36808bf9d20eb2347ed6137016179ef59ec0d2b9b8ecc3fb2880081",
    ("test_2017_flickr", "en"): "ce1450ddc5ab0834502579d77a170849952e15a2938b34cc503bdc25ebb4fb98",
    ("test_2017_flickr", "fr"): "6f3764e31dac41e9455e612958bcfd4e877c5e15cd66df2c2b2be6d9bd83e5b6",
    ("test_2017_mscoco", "de"): "58277df3c75f92f7145a11b910b553d1cf82c439249d4dc237c899609eafac22",
    ("test_2017_mscoco", "en"): "43051fdfa86fd5395182e718a94ca67b1b227b9f7c79596ff0f6b813216981d2",
    ("test_2017_mscoco", "fr"): "39cde3f43f32b0a6bf29ce4917a46329ff32e53070c2fac87506695a740ae0a0",
    ("test_2018_flickr", "cs"): "1db59fe6980c9b3f9bade65122a985e71150214837d76f4768a5a8384c0b2dc7",
    ("test_2018_flickr", "de"): "39fcc8b3331d76fb42d648d019c6898b0d5e58baac87bc2a0bb93f44ec8db207",
    ("test_2018_flickr", "en"): "4e585c2dd525911a6ea7730e9d0b516239af3f1b1ffae6a2130223cfb639f25e",
    ("test_2018_flickr", "fr"): "234b4a887da0da4801a3e2c6f21336231ff7dd46daeb80cfa1b551c8bbb78239",
    ("train", "cs"): "2be68b38c8d586ff4f54eb13cc6e1baaaa053695b3f070d3038303a47f2268da",
    ("train", "de"): "2c2b73fd2b548fbcde3a875e0a78d6ee94d498bfdee6bd3eae3945779e9ddf72",
    ("train", "en"): "460a15fbd157e34a7a9957ee388c1ca247fe47af3ef25fb50442af6c274e0fc6",
    ("train", "fr"): "5925a3c18f1587b6b54b87743106e6e8ab93618edb6f65d19eac0621f853a10d",
    ("val", "cs"): "d53827e469b0a1ca8d57e9e26b2b64c4bc4b33f5479c7b03ae87ae5c882c3e33",
    ("val", "de"): "660e09eb7e1da2f856ea13ee5ad3cf6d36b3d5b0b733c857e94c5747a3dfc660",
    ("val", "en"): "1f2a23d992769b5b3d209b0a10dd0b77c08cceb1f20dfb97ed0aafa49d107227",
    ("val", "fr"): "5304e444d842e962b2dda4d816b70b22a1765b15401642b7ca37a67477e708dc",
}


def _parts(request: Request) -> list[Part]:
    languages = (request.src, request.tgt)
    if "en" not in languages or not set(languages) & set(_TARGETS):
        raise ResMLPError(
            f"--pair must join en with one of {', '.join(_TARGETS)} for multi30k, but is {'-'.join(languages)}; "
            "choose one of these"
        )
    return [
        Part(
            name=stem,
            split=split,
            members=tuple(_member(stem, lang, others) for lang in languages),
            read=read_line_pairs,
            expected_pairs=pairs,
            origin=_ORIGIN,
            optional=split.startswith("test"),
        )
        for stem, split, pairs, others in _SETS
        if all((stem, lang) in _TEXT_DIGESTS for lang in languages)
    ]


def _member(stem: str, lang: str, other_stems: tuple[str, ...]) -> Member:
    name = f"{stem}.{lang}.gz"
    return Member(
        Source(
            name=name,
            urls=(_URL + name,),
            text_digest=f"sha256:{_TEXT_DIGESTS[stem, lang]}",
            origin=_ORIGIN,
            other_names=tuple(f"{other}.{lang}.gz" for other in other_stems),
        )
    )


CORPUS = Corpus(
    name="multi30k",
    summary="29,000 image captions; en with de, fr or cs; tests of 2016, 2017, 2018 and MSCOCO",
    parts=_parts,
    defaults={"vocab_size": 8000},
)
