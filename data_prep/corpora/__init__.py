"""The table of corpora; to add one, add a file to this folder and a line to the table (docs/adding_a_corpus.md)."""

from __future__ import annotations

from data_prep.corpora import demo, files, iwslt14, multi30k, tatoeba, wmt14
from data_prep.corpora.base import Corpus

CORPORA: dict[str, Corpus] = {
    corpus.name: corpus
    for corpus in (demo.CORPUS, multi30k.CORPUS, iwslt14.CORPUS, wmt14.CORPUS, tatoeba.CORPUS, files.CORPUS)
}
