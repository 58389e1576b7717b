"""How figures look: widths, and a colour, a marker and dashes per family."""

from __future__ import annotations

from typing import Any, NamedTuple

from records.vocabulary import FAMILIES

# Inches: the column and the text width of templates/report.tex.jinja.
COLUMN_WIDTH, PAGE_WIDTH = 3.21, 6.69

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


class Mark(NamedTuple):
    """How a marker is filled ("white" or None for the family's colour), its size, and how faint it is."""

    fill: str | None
    size: float
    alpha: float


# What the data say of a point and its Pareto front: filled, hollow or faint and small.
MARKS = {
    "on the front": Mark(None, 4.2, 1.0),
    "undecided": Mark("white", 4.2, 1.0),
    "dominated": Mark(None, 2.8, 0.45),
}
# Of a point of which nothing is tested.
PLAIN = Mark(None, 4.2, 1.0)

# Stacked bars: light to dark, one of them hatched, so that they survive greyscale.
MEMORY_SHADES = (("#c9d3df", ""), ("#8fa6bf", "////"), ("#51718f", ""), ("#243b53", ""))


def look(family: str) -> Look:
    """That of a family; one for all that are not ours."""
    return _LOOKS.get(family, _OTHER)


def family_colors() -> dict[str, str]:
    """The colour of each family in figures, unknown families as "other"."""
    return {family: one.color for family, one in _LOOKS.items()} | {"other": _OTHER.color}


def families_in(families: set[str]) -> list[str]:
    """The given families in the report's order, unknown ones last."""
    return [f for f in FAMILIES if f in families] + sorted(families - set(FAMILIES))
