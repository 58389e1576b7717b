"""The settings under which a figure is drawn: fonts and sizes for paper, for slides and for the screen."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib import font_manager

from reports.drawing.style import FAINT, INK, MUTED
from reports.model.document import Figure

# Joiners and selectors of variants: they choose between glyphs, and have none.
INVISIBLE = "\u200c\u200d\ufe0e\ufe0f"

_COMMON: dict[str, Any] = {
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "axes.linewidth": 0.6,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": FAINT,
    "grid.linewidth": 0.5,
    "text.color": INK,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.minor.width": 0.4,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "xtick.minor.size": 1.5,
    "legend.frameon": False,
    "hatch.linewidth": 0.4,
    "lines.linewidth": 1.1,
    "font.size": 8,
    "axes.titlesize": 8,
    "axes.labelsize": 8,
    "xtick.labelsize": 7.5,
    "ytick.labelsize": 7.5,
    "legend.fontsize": 7.5,
    "figure.dpi": 72,
    # Names may hold dollar signs; they are not mathematics.
    "text.parse_math": False,
    "savefig.transparent": True,
    # The same records give the same bytes.
    "svg.hashsalt": "adaptbench",
}
# Files of fonts for what the others lack, the first of each kind that is installed. matplotlib itself brings DejaVu.
_GREEK_TO_DEVANAGARI = (
    "FreeSerif.ttf",
    "FreeSerif.otf",
    "NotoSerif-Regular.ttf",
    "Times New Roman.ttf",
    "times.ttf",
)
_CHINESE_JAPANESE_KOREAN = (
    "NotoSerifCJK-Regular.ttc",
    "NotoSansCJK-Regular.ttc",
    "wqy-microhei.ttc",
    "wqy-zenhei.ttc",
    "DroidSansFallbackFull.ttf",
    "DroidSansFallback.ttf",
    "Arial Unicode.ttf",
    "msyh.ttc",
)
_SIGNS = (
    "Symbola.ttf",
    "Symbola_hint.ttf",
    "Symbola.otf",
    "NotoEmoji-Regular.ttf",
    "seguisym.ttf",
)


@dataclass(frozen=True)
class Theme:
    """`settings` are matplotlib's, `font` the family of letters; with `fallback`, other families draw what it lacks.
    `factor` multiplies the size of figures but not of their letters: what is drawn smaller and then fills a slide has
    larger ones."""

    font: str
    settings: dict[str, Any] = field(default_factory=dict)
    fallback: bool = False
    factor: float = 1.0

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Draws under these settings, and leaves matplotlib's as they were."""
        fonts = [self.font, *fallback_fonts()] if self.fallback else self.font
        with mpl.rc_context(_COMMON | self.settings | {"font.family": fonts}), warnings.catch_warnings():  # type: ignore[arg-type]
            # Names in scripts that the font lacks are drawn as boxes; that is no fault of the report.
            warnings.filterwarnings("ignore", message="Glyph .* missing from")
            yield


# The document is set in Times, which STIX goes with and which matplotlib always has.
_TIMES = {"mathtext.fontset": "stix", "pdf.fonttype": 42}
PAPER = Theme("STIXGeneral", _TIMES, fallback=True)
SLIDES = Theme("STIXGeneral", _TIMES, fallback=True, factor=0.78)
# Text stays text: searchable, and set in the page's own font.
SCREEN = Theme("DejaVu Sans", {"svg.fonttype": "none"})


def save(figure: Figure, theme: Theme, path: Path) -> None:
    """Draws a figure and writes it, as PDF or SVG by the path's end, without the time at which it was made."""
    dated = "Date" if path.suffix == ".svg" else "CreationDate"
    with theme.applied():
        figure.draw(theme).savefig(path, metadata={dated: None})


@lru_cache(maxsize=1)
def fallback_fonts() -> list[str]:
    """Families that matplotlib asks, in this order, for a character that a figure's own font lacks."""
    for path in _fallback_files():
        font_manager.fontManager.addfont(path)
    return list(dict.fromkeys(font_manager.get_font(path).family_name for path in _fallback_files()))


def has_glyphs(word: str) -> bool:
    """Whether these fonts can draw every character of a word; what chooses between variants is not drawn."""
    fonts = [font_manager.get_font(path) for path in _fallback_files()]
    return all(any(font.get_char_index(ord(c)) for font in fonts) for c in word if c not in INVISIBLE)


@lru_cache(maxsize=1)
def _fallback_files() -> tuple[Path, ...]:
    installed = {Path(path).name: Path(path) for path in font_manager.findSystemFonts()}

    def first(names: tuple[str, ...]) -> list[Path]:
        return [installed[name] for name in names if name in installed][:1]

    plain = Path(font_manager.findfont("DejaVu Sans"))
    return (*first(_GREEK_TO_DEVANAGARI), *first(_CHINESE_JAPANESE_KOREAN), plain, *first(_SIGNS))
