"""A web page of translations with the alignment drawn between source and translation; no scripts, no network."""

from __future__ import annotations

from html import escape
from typing import TextIO

from resmlp_mt.translation.types import Candidate, Translation

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; margin: 2em auto; max-width: 70em; color: #222; background: #fff }
figure { margin: 0 0 2em; padding: 1em; border: 1px solid #ccc; border-radius: 6px; overflow-x: auto }
figcaption { color: #666; font-size: .85em; margin-bottom: .5em }
svg text { font: 15px system-ui, sans-serif; fill: #222 } svg line { stroke: #3a7; stroke-width: 1.5; opacity: .7 }
.note { color: #a40 }
@media (prefers-color-scheme: dark) {
  body { background: #181818; color: #ddd } figure { border-color: #444 } svg text { fill: #ddd }
}
"""
_GAP, _LETTER, _WIDE_LETTER, _TOP, _BOTTOM = 14, 8.5, 16.0, 20, 110
_FIRST_WIDE = "\u1100"  # from here on scripts are mostly as wide as high


class AlignmentPage:
    """Writes a page translation by translation, so that any number of them fits the memory.

    Args:
        file: open for writing.
        title: of the page.
        lang_pair: codes of source and target language.
    """

    def __init__(self, file: TextIO, title: str, lang_pair: tuple[str, str]) -> None:
        self._file, self._langs = file, lang_pair
        file.write(
            f'<!DOCTYPE html>\n<html lang="en">\n<meta charset="utf-8">\n<title>{escape(title)}</title>\n'
            f"<style>{_STYLE}</style>\n<h1>{escape(title)}</h1>\n"
        )

    def add(self, translation: Translation, number: int) -> None:
        """Writes a translation, whose candidates have alignments."""
        if not translation.candidates:
            return
        candidate = translation.candidates[0]
        note = f' <span class="note">{escape(translation.note)}</span>' if translation.note else ""
        drawing = _drawing(candidate, self._langs) if candidate.alignment else f"<p>{escape(candidate.text)}</p>"
        caption = f"<figcaption>line {number}, score {candidate.score:.3f}{note}</figcaption>"
        self._file.write(f"<figure>\n{caption}\n{drawing}\n</figure>\n")

    def finish(self) -> None:
        """Writes the end of the page."""
        self._file.write("</html>\n")


def _drawing(candidate: Candidate, langs: tuple[str, str]) -> str:
    alignment = candidate.alignment
    assert alignment is not None, "the caller has seen to it"
    places, texts = [], []
    for words, height, lang in zip(
        (alignment.source_words, alignment.target_words), (_TOP, _BOTTOM), langs, strict=True
    ):
        left, middles = float(_GAP), []
        for word in words:
            width = sum(_WIDE_LETTER if letter >= _FIRST_WIDE else _LETTER for letter in word)
            middles.append(left + width / 2)
            left += width + _GAP
        places.append(middles)
        texts += [
            f'<text x="{x:.1f}" y="{height}" text-anchor="middle" lang="{escape(lang)}">{escape(word)}</text>'
            for x, word in zip(middles, words, strict=True)
        ]
    lines = [
        f'<line x1="{places[0][source]:.1f}" y1="{_TOP + 7}" x2="{places[1][target]:.1f}" y2="{_BOTTOM - 18}"/>'
        for source, target in alignment.links
    ]
    width = max((middles[-1] for middles in places if middles), default=0.0) + 80
    label = escape(f"{' '.join(alignment.source_words)} : {candidate.text}", quote=True)
    return f'<svg role="img" aria-label="{label}" width="{width:.0f}" height="130">{"".join(lines + texts)}</svg>'
