"""How figures look: sizes, fonts, and a colour and marker per family. Two settings, for paper and screen."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib as mpl
from matplotlib import font_manager

from records.vocabulary import FAMILIES

# Inches: the column and the text width of templates/report.tex.jinja.
COLUMN_WIDTH, PAGE_WIDTH = 3.21, 6.69

# Joiners and selectors of variants.
INVISIBLE = "\u200c\u200d\ufe0e\ufe0f"

INK, MUTED, FRONT, FAINT = "#1b1e24", "#6b7079", "#9aa0a9", "#d9dce1"


class Look(NamedTuple):
    """Colour (Okabe and Ito's, told apart with a colour vision deficiency), marker and dashes, so that a
    family can be told without its colour."""

    color: str
    marker: str
    dashes: Any


_LOOKS = {
    "baseline": Look("#3c4148", "s", "-"),
    "sparse": Look("#c98a00", "^", (0, (5, 1.5))),
    "low-rank": Look("#0072b2", "o", (0, (1, 1))),
    "adapter": Look("#00866a", "D", (0, (6, 1.5, 1, 1.5))),
    "soft-prompt": Look("#c0619a", "v", (0, (3, 1))),
    "hypernetwork": Look("#d55e00", "P", (0, (4, 1, 1, 1, 1, 1))),
}
_OTHER = Look("#7a5cc2", "X", (0, (2, 1.5)))

# Stacked bars: light to dark, one of them hatched, so that they survive greyscale.
MEMORY_SHADES = (("#c9d3df", ""), ("#8fa6bf", "////"), ("#51718f", ""), ("#243b53", ""))


def look(family: str) -> Look:
    return _LOOKS.get(family, _OTHER)


def family_colors() -> dict[str, str]:
    """The colour of each family in figures, unknown families as "other"."""
    return {family: one.color for family, one in _LOOKS.items()} | {"other": _OTHER.color}


def families_in(families: set[str]) -> list[str]:
    """The given families in the report's order, unknown ones last."""
    return [f for f in FAMILIES if f in families] + sorted(families - set(FAMILIES))


_COMMON: dict[Any, Any] = {
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
# Files of fonts for what the others lack, the first of each kind that is installed: Greek to Devanagari, Chinese,
# Japanese and Korean, signs and emoji. matplotlib itself brings DejaVu Sans.
_FALLBACKS = (
    ("FreeSerif.ttf", "FreeSerif.otf", "NotoSerif-Regular.ttf", "Times New Roman.ttf", "times.ttf"),
    ("NotoSerifCJK-Regular.ttc", "NotoSansCJK-Regular.ttc", "wqy-microhei.ttc", "wqy-zenhei.ttc",
     "DroidSansFallbackFull.ttf", "DroidSansFallback.ttf", "Arial Unicode.ttf", "msyh.ttc"),
    ("Symbola.ttf", "Symbola_hint.ttf", "Symbola.otf", "NotoEmoji-Regular.ttf", "seguisym.ttf"),
)  # fmt: skip
# The document is set in Times, which STIX goes with and which matplotlib always has.
_PAPER: dict[Any, Any] = {"font.family": "STIXGeneral", "mathtext.fontset": "stix", "pdf.fonttype": 42}
# Text stays text: searchable, and set in the page's own font.
_SCREEN: dict[Any, Any] = {"font.family": "DejaVu Sans", "svg.fonttype": "none"}


_scale = 1.0


@lru_cache(maxsize=1)
def _fallback_files() -> tuple[Path, ...]:
    installed = {Path(path).name: Path(path) for path in font_manager.findSystemFonts()}
    found = [next((installed[name] for name in names if name in installed), None) for names in _FALLBACKS]
    plain = Path(font_manager.findfont("DejaVu Sans"))
    return (*(path for path in found[:2] if path), plain, *(path for path in found[2:] if path))


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


def _on_paper() -> dict[Any, Any]:
    return _PAPER | {"font.family": [_PAPER["font.family"], *fallback_fonts()]}


@contextmanager
def paper() -> Iterator[None]:
    with _settings(_on_paper()):
        yield


@contextmanager
def slides() -> Iterator[None]:
    """As on paper, but drawn smaller, so that letters are larger once a figure fills a slide."""
    global _scale
    _scale = 0.78
    try:
        with _settings(_on_paper()):
            yield
    finally:
        _scale = 1.0


def scale() -> float:
    """What the sizes of figures are multiplied by under the current settings."""
    return _scale


@contextmanager
def screen() -> Iterator[None]:
    with _settings(_SCREEN):
        yield


@contextmanager
def _settings(own: dict[Any, Any]) -> Iterator[None]:
    with mpl.rc_context(_COMMON | own), warnings.catch_warnings():
        # Names in scripts that the font lacks are drawn as boxes; that is no fault of the report.
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        yield
