"""Words in scripts that pdfLaTeX's fonts lack (Chinese, Hebrew, Arabic, Cyrillic, emoji, …), drawn as small pictures.

`reports.render.escape` writes such a word as \\benchscript{<code points>}{<what stands for it>}; numbers.tex defines it
as the picture figures/scripts/<code points>.pdf, where there is one. So the sources compile with pdfLaTeX under any
class, and need no font; drawing them takes the fonts that reports.drawing.theme finds on this machine.
"""

from __future__ import annotations

import re
from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties

from reports.drawing.theme import PAPER, fallback_fonts, has_glyphs

_WORD = re.compile(r"\\benchscript\{([0-9a-f-]+)\}")
# Points: pictures are drawn at this size, and scaled to that of the text around them. numbers.tex knows how high one is
# and how much of that is below the line, both in this size.
_SIZE, _HEIGHT, _DEPTH = 10, 1.4, 0.4
# Dots per inch, and points of room on the right.
_DOTS, _ROOM = 1440, 0.2


def draw_pictures(folder: Path) -> None:
    """A picture of every such word in the sources in `folder`, as far as there are fonts for it."""
    sources = [*folder.glob("*.tex"), *folder.glob("*.bib"), *folder.glob("tables/*.tex")]
    wanted = {
        name for source in sources for name in _WORD.findall(source.read_text(encoding="utf-8", errors="replace"))
    }
    pictures = folder / "figures" / "scripts"
    if wanted:
        pictures.mkdir(parents=True, exist_ok=True)
    for old in pictures.glob("*.pdf"):
        if old.stem not in wanted:
            old.unlink()
    for name in sorted(wanted):
        word = "".join(chr(int(code, 16)) for code in name.split("-"))
        if has_glyphs(word):
            _draw(word, pictures / f"{name}.pdf")


def _draw(word: str, path: Path) -> None:
    with PAPER.applied():
        # At a high resolution widths are those of the PDF, where letters are not moved to pixels.
        drawing = Figure(figsize=(1, _HEIGHT * _SIZE / 72), dpi=_DOTS)
        FigureCanvasAgg(drawing)
        font = FontProperties(family=fallback_fonts(), size=_SIZE)
        text = drawing.text(0, _DEPTH / _HEIGHT, word, fontproperties=font, va="baseline", color="black")
        width = text.get_window_extent().width
        drawing.set_figwidth(max(width, 1) / _DOTS + _ROOM / 72)
        drawing.savefig(path, metadata={"CreationDate": None})
