"""Drawn schematics: what each family trains and where, in one small panel. No data, the same style throughout:
frozen parts are grey, trained parts hatched in the family's colour, so that they differ in greyscale too."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing
from matplotlib.patches import FancyArrowPatch, Polygon, Rectangle

from reports.drawing.panels import drawing_of
from reports.drawing.style import COLUMN_WIDTH, INK, MUTED, PAGE_WIDTH, look
from reports.drawing.theme import Theme
from reports.model.document import Figure

FROZEN, EDGE = "#e6e8eb", "#8a9099"
_SIZE = 7.0
_TITLES = {
    "sparse": "sparse",
    "low-rank": "low-rank",
    "adapter": "adapter",
    "soft-prompt": "soft prompt",
    "hypernetwork": "hypernetwork",
}


def figures(families: list[str]) -> list[Figure]:
    """One figure with a panel per family that has a drawing."""
    shown = [family for family in families if family in _PANELS]
    if not shown:
        return []
    names = ", ".join(_TITLES[family] for family in shown)
    return [
        Figure(
            key="schematic",
            caption=(f"What is trained, and where ({names}). Grey: frozen; hatched: trained. Our drawing.",),
            alt=f"Schematic drawings of {names}: frozen parts grey, trained parts hatched.",
            draw=partial(_draw, shown),
            wide=len(shown) > 1,
        )
    ]


def _draw(families: list[str], theme: Theme) -> Drawing:
    n = len(families)
    drawing = drawing_of(theme, PAGE_WIDTH if n > 1 else COLUMN_WIDTH, 1.75 if n > 1 else 1.9)
    for axes, family in zip(drawing.subplots(1, n, squeeze=False)[0], families, strict=True):
        axes.set_axis_off()
        axes.set_aspect("equal")
        axes.set_xlim(0, 10 if n > 1 else 14)
        axes.set_ylim(0, 10)
        if n > 1:
            axes.set_title(_TITLES[family], color=INK, fontsize=8)
        _PANELS[family](_Pen(axes, family, 0.0 if n > 1 else 2.0))
    return drawing


class _Pen:
    """Shapes at a common scale; `x0` shifts a panel of ten units to the middle."""

    def __init__(self, axes: Axes, family: str, x0: float) -> None:
        self.axes, self.color, self.x0 = axes, look(family).color, x0

    def box(self, x: float, y: float, w: float, h: float, text: str = "", trained: bool = False) -> None:
        self._add(Rectangle((x + self.x0, y), w, h), trained)
        if text:
            self.say(x + w / 2, y + h / 2, text, trained)

    def funnel(self, x: float, y: float, w: float, h: float, up: bool, text: str = "") -> None:
        """A trapezium, narrow above (`up`) or below."""
        inset, x = 0.28 * w, x + self.x0
        low, high = (0, inset) if up else (inset, 0)
        self._add(Polygon([(x + low, y), (x + w - low, y), (x + w - high, y + h), (x + high, y + h)]), True)
        if text:
            self.say(x - self.x0 + w / 2, y + h / 2, text, True)

    def arrow(self, x: float, y: float, to_x: float, to_y: float, dashed: bool = False) -> None:
        arrow = FancyArrowPatch(
            (x + self.x0, y),
            (to_x + self.x0, to_y),
            arrowstyle="-|>",
            mutation_scale=5,
            color=MUTED,
            linewidth=0.7,
            linestyle="--" if dashed else "-",
            shrinkA=0,
            shrinkB=0,
        )
        self.axes.add_patch(arrow)

    def line(self, *points: tuple[float, float]) -> None:
        self.axes.plot([x + self.x0 for x, _ in points], [y for _, y in points], color=MUTED, linewidth=0.7)

    def say(self, x: float, y: float, text: str, trained: bool = False, ha: str = "center") -> None:
        box = {"facecolor": "white", "edgecolor": "none", "pad": 0.6} if trained else None
        place: dict[str, Any] = {"ha": ha, "va": "center", "bbox": box}
        self.axes.text(x + self.x0, y, text, fontsize=_SIZE, color=INK, parse_math=True, **place)

    def _add(self, patch: Rectangle | Polygon, trained: bool) -> None:
        if trained:
            patch.set(facecolor="white", edgecolor=self.color, linewidth=0.9, hatch="/////")
        else:
            patch.set(facecolor=FROZEN, edgecolor=EDGE, linewidth=0.6, hatch=None)
        self.axes.add_patch(patch)


# Of a 6 × 6 matrix, (row, column) of those that are trained.
_ENTRIES = {(0, 1), (1, 4), (2, 2), (4, 0), (4, 5), (5, 3)}


def _sparse(pen: _Pen) -> None:
    for row in range(6):
        for column in range(6):
            pen.box(2.0 + column, 2.6 + row, 1, 1, trained=(row, column) in _ENTRIES)
    pen.say(5, 1.9, r"$\theta' = \theta + \mu \odot \phi$")
    pen.arrow(5, 0.2, 5, 1.2)
    pen.arrow(5, 8.7, 5, 9.8)


def _low_rank(pen: _Pen) -> None:
    pen.box(0.3, 2.8, 4.2, 4.2, r"$W_0$")
    pen.funnel(5.6, 2.8, 4.0, 2.0, True, r"$A$")
    pen.funnel(5.6, 5.0, 4.0, 2.0, False, r"$B$")
    pen.line((5, 0.8), (2.4, 0.8))
    pen.line((5, 0.8), (7.6, 0.8))
    pen.arrow(2.4, 0.8, 2.4, 2.7)
    pen.arrow(7.6, 0.8, 7.6, 2.7)
    pen.say(5, 0.2, r"$x$")
    pen.line((2.4, 7.0), (2.4, 8.3), (4.5, 8.3))
    pen.line((7.6, 7.0), (7.6, 8.3), (5.5, 8.3))
    pen.say(5, 8.3, r"$+$")
    pen.arrow(5, 8.7, 5, 9.8)


def _adapter(pen: _Pen) -> None:
    pen.box(1.5, 0.8, 5, 1.1, "attention")
    pen.box(1.5, 5.0, 5, 1.1, "feed-forward")
    for y in (2.4, 6.6):
        pen.funnel(2.4, y, 3.2, 0.8, True)
        pen.funnel(2.4, y + 0.9, 3.2, 0.8, False)
        pen.line((4, y - 0.25), (7.6, y - 0.25), (7.6, y + 2.0))
        pen.arrow(7.6, y + 2.0, 4.1, y + 2.0)
    pen.line((4, 1.9), (4, 2.4))
    pen.arrow(4, 4.1, 4, 5.0)
    pen.line((4, 6.1), (4, 6.6))
    pen.arrow(4, 8.3, 4, 9.8)
    pen.arrow(4, 0.0, 4, 0.8)
    pen.say(8.9, 3.3, r"$D,\,U$")
    pen.say(8.9, 7.5, r"$D,\,U$")


def _prompt(pen: _Pen) -> None:
    for i in range(7):
        pen.box(0.5 + 1.3 * i, 1.6, 1.0, 1.0, trained=i < 3)
        pen.arrow(1.0 + 1.3 * i, 2.7, 1.0 + 1.3 * i, 3.8)
    pen.say(2.3, 0.8, r"$\phi$")
    pen.say(7.0, 0.8, r"$x$ (embeddings)")
    for layer, name in enumerate(("layer 1", r"layer $L$")):
        pen.box(0.5, 3.9 + 2.5 * layer, 8.8, 1.3, name)
    pen.say(4.9, 5.8, "…")
    pen.arrow(4.9, 7.8, 4.9, 9.2)
    pen.say(5.8, 8.7, r"$y$")


def _hypernetwork(pen: _Pen) -> None:
    pen.box(0.1, 1.6, 1.5, 1.1, r"$z_t$", trained=True)
    pen.box(0.1, 4.0, 1.5, 1.1, r"$z_l$", trained=True)
    pen.arrow(1.7, 2.2, 2.5, 2.9)
    pen.arrow(1.7, 4.5, 2.5, 3.8)
    pen.box(2.6, 2.4, 2.2, 1.9, r"$g_\psi$", trained=True)
    pen.box(6.6, 0.9, 3.2, 1.3, r"layer 1")
    pen.box(6.6, 6.7, 3.2, 1.3, r"layer $L$")
    pen.say(8.2, 4.5, "…")
    pen.arrow(8.2, 0.0, 8.2, 0.8)
    pen.arrow(8.2, 8.0, 8.2, 9.4)
    pen.arrow(4.9, 3.0, 6.4, 1.8, dashed=True)
    pen.arrow(4.9, 3.8, 6.4, 7.0, dashed=True)
    pen.say(4.7, 6.6, r"$\phi_{t,L}$")
    pen.say(5.6, 1.5, r"$\phi_{t,1}$")


_PANELS: dict[str, Callable[[_Pen], None]] = {
    "sparse": _sparse,
    "low-rank": _low_rank,
    "adapter": _adapter,
    "soft-prompt": _prompt,
    "hypernetwork": _hypernetwork,
}
