"""Small archives in the format of the real corpora, for a local server."""

from __future__ import annotations

import gzip
import hashlib
import io
import tarfile
import zipfile
from collections.abc import Callable, Mapping


def pack_tar(members: Mapping[str, bytes], compression: str = "gz") -> bytes:
    """Packs files into a tar archive, "" for an uncompressed one."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=f"w:{compression}") as tar:  # type: ignore[call-overload]  # the stubs require a literal mode
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def pack_zip(members: Mapping[str, bytes]) -> bytes:
    """Packs files into a zip archive."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def digest(content: bytes) -> str:
    """The digest of a served file, in the format of `--overrides`."""
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def lines(pairs: list[tuple[str, str]], side: int) -> bytes:
    """One side of pairs as plain text."""
    return "".join(f"{pair[side]}\n" for pair in pairs).encode()


def sgm(pairs: list[tuple[str, str]], side: int, kind: str = "srcset") -> bytes:
    """One side of pairs in the mark-up of WMT's test sets."""
    segments = "".join(f'<seg id="{number}">{pair[side]}</seg>\n' for number, pair in enumerate(pairs, 1))
    return f'<{kind} setid="toy" srclang="any">\n<doc docid="1">\n<p>\n{segments}</p>\n</doc>\n</{kind}>\n'.encode()


def wmt14_files(
    train: list[tuple[str, str]], valid: list[tuple[str, str]], test: list[tuple[str, str]]
) -> tuple[dict[str, bytes], dict[str, int]]:
    """The archives of WMT14 English-French, each with a part of the training pairs.

    Args:
        train: 50 or more pairs, English first.
        valid: of newstest2013.
        test: of newstest2014.

    Returns:
        Content by file name, and the number of pairs by part.
    """
    cuts = {"europarl-v7": train[:20], "commoncrawl": train[20:30], "united-nations": train[30:35]}
    cuts |= {"news-commentary-v9": train[35:40], "giga-fren": train[40:]}

    def both(prefix: str, part: str, pack: Callable[[bytes], bytes] = bytes, ending: str = "") -> dict[str, bytes]:
        sides = enumerate(("en", "fr"))
        return {f"{prefix}.{lang}{ending}": pack(lines(cuts[part], side)) for side, lang in sides}

    files = {
        "training-parallel-europarl-v7.tgz": pack_tar(both("training/europarl-v7.fr-en", "europarl-v7")),
        "training-parallel-commoncrawl.tgz": pack_tar(
            {"commoncrawl.de-en.annotation": b"x\n", **both("commoncrawl.fr-en", "commoncrawl")}
        ),
        "training-parallel-un.tgz": pack_tar(both("un/undoc.2000.fr-en", "united-nations")),
        "training-parallel-nc-v9.tgz": pack_tar(both("training/news-commentary-v9.fr-en", "news-commentary-v9")),
        "training-giga-fren.tar": pack_tar(both("giga-fren.release2.fixed", "giga-fren", gzip.compress, ".gz"), ""),
        "newstest2013-test.tgz": pack_tar(
            {"test/newstest2013-src.en.sgm": sgm(valid, 0), "test/newstest2013-src.fr.sgm": sgm(valid, 1)}
        ),
        "newstest2014-full-test-full.tgz": pack_tar(
            {
                f"test-full/newstest2014-fren-{kind}.{lang}.sgm": sgm(test, side, f"{kind}set")
                for kind in ("src", "ref")
                for side, lang in enumerate(("en", "fr"))
            }
        ),
    }
    counts = {part: len(pairs) for part, pairs in cuts.items()}
    return files, {**counts, "newstest2013": len(valid), "newstest2014-full": len(test)}


def iwslt14_archive(talks: list[tuple[str, str]], tests: list[tuple[str, str]]) -> bytes:
    """The archive of IWSLT14 German-English; each of its five test sets holds a fifth of the test pairs."""
    head = "<url>http://www.ted.com</url>\n<keywords>talks, toys</keywords>\n<speaker>A</speaker>\n<talkid>1</talkid>\n"
    members = {}
    names = ("TED.dev2010", "TEDX.dev2012", "TED.tst2010", "TED.tst2011", "TED.tst2012")
    for side, lang in enumerate(("de", "en")):
        title = f"<title>{talks[0][side]}</title>\n<description>{talks[1][side]}</description>\n"
        body = "".join(f" {pair[side]} \n" for pair in talks[2:])
        text = head.replace("<speaker>A</speaker>\n", "") + title + body
        members[f"de-en/train.tags.de-en.{lang}"] = text.encode()
        for number, name in enumerate(names):
            members[f"de-en/IWSLT14.{name}.de-en.{lang}.xml"] = sgm(tests[number::5], side)
    return pack_tar(members)
