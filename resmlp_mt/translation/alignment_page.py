"""A web page of translations with the alignment drawn between source and translation; it loads nothing."""

from __future__ import annotations

from typing import TextIO

from resmlp_mt.common.html_page import PAGE_END, page_start, to_html
from resmlp_mt.translation.types import Candidate, Translation

_STYLE = """
figure { overflow-x: auto; }
figcaption { color: var(--muted); font-size: 13px; margin-bottom: 8px; }
svg text { font: 15px system-ui, sans-serif; fill: var(--ink); }
svg line { stroke: #3a7; stroke-width: 1.5; opacity: .7; }
.note { color: var(--warning); }
:root { --warning: #a40; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #ddd; --muted: #9aa; --line: #444; --page: #181818; --card: #202020; --warning: #fa6; }
}
"""
_GAP, _LETTER, _WIDE_LETTER, _TOP, _BOTTOM = 14, 8.5, 16.0, 20, 110
_FIRST_WIDE = "\u1100"  # letters from here on are mostly as wide as high


class AlignmentPage:
    """Writes a page translation by translation, so that its length is not limited by memory.

    Args:
        file: open for writing.
        title: of the page.
        lang_pair: codes of source and target language.
    """

    def __init__(self, file: TextIO, title: str, lang_pair: tuple[str, str]) -> None:
        self._file, self._langs = file, lang_pair
        file.write(page_start(title, _STYLE))

    def add(self, translation: Translation, number: int) -> None:
        """Writes the best candidate of a translation and its alignment.

        Args:
            translation: of a line; nothing is written of a line without words.
            number: of the line, from 1.
        """
        if not translation.candidates:
            return
        candidate = translation.candidates[0]
        note = f' <span class="note">{to_html(translation.note)}</span>' if translation.note else ""
        drawing = _drawing(candidate, self._langs) if candidate.alignment else f"<p>{to_html(candidate.text)}</p>"
        caption = f"<figcaption>line {number}, score {candidate.score:.3f}{note}</figcaption>"
        self._file.write(f"<figure>\n{caption}\n{drawing}\n</figure>\n")

    def finish(self) -> None:
        """Writes the end of the page."""
        self._file.write(PAGE_END)


def _drawing(candidate: Candidate, langs: tuple[str, str]) -> str:
    alignment = candidate.alignment
    assert alignment is not None, "checked by the caller"
    positions, texts = [], []
    for words, height, lang in zip(
        (alignment.source_words, alignment.target_words), (_TOP, _BOTTOM), langs, strict=True
    ):
        left, middles = float(_GAP), []
        for word in words:
            width = sum(_WIDE_LETTER if letter >= _FIRST_WIDE else _LETTER for letter in word)
            middles.append(left + width / 2)
            left += width + _GAP
        positions.append(middles)
        texts += [
            f'<text x="{x:.1f}" y="{height}" text-anchor="middle" lang="{to_html(lang)}">{to_html(word)}</text>'
            for x, word in zip(middles, words, strict=True)
        ]
    lines = [
        f'<line x1="{positions[0][source]:.1f}" y1="{_TOP + 7}" x2="{positions[1][target]:.1f}" y2="{_BOTTOM - 18}"/>'
        for source, target in alignment.links
    ]
    width = max((middles[-1] for middles in positions if middles), default=0.0) + 80
    label = to_html(f"{' '.join(alignment.source_words)} : {candidate.text}")
    return f'<svg role="img" aria-label="{label}" width="{width:.0f}" height="130">{"".join(lines + texts)}</svg>'
