"""Tatoeba: short everyday sentences in any two of some 400 languages, as the OPUS collection packs them (CC BY 2.0)."""

from __future__ import annotations

from data_prep.corpora.base import Corpus, Member, Part, Request, Source
from data_prep.formats.text_files import read_line_pairs

VERSION = "v2023-04-12"
_URL = f"https://object.pouta.csc.fi/OPUS-Tatoeba/{VERSION}/moses/"


def _parts(request: Request) -> list[Part]:
    languages = (request.src, request.tgt)
    pair = "-".join(sorted(languages))
    archive = Source(
        # URLs of versions differ only in the folder, so the file name has to contain the version.
        name=f"tatoeba-{VERSION}-{pair}.txt.zip",
        urls=(f"{_URL}{pair}.txt.zip",),
        other_names=(f"{pair}.txt.zip",),
    )
    members = tuple(Member(archive, f"Tatoeba.{pair}.{lang}") for lang in languages)
    return [Part("tatoeba", "train", members, read_line_pairs)]


CORPUS = Corpus(
    name="tatoeba",
    summary="short everyday sentences in any pair of languages; valid and test are set aside",
    parts=_parts,
)
