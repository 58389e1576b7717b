"""What figures share: panels in a grid, their labels and legends, and names as far as there is room for them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure as Drawing
from matplotlib.lines import Line2D
from matplotlib.transforms import Bbox

from reports.drawing.labels import Anchor, place_around
from reports.drawing.style import COLUMN_WIDTH, FRONT, INK, MARKS, PAGE_WIDTH, PLAIN, look
from reports.drawing.theme import Theme
from reports.results import Results
from reports.scales import Scale

LABEL_SIZE = 7
PANELS_PER_ROW = 3
# Of more points than this in one panel, only those on the front are named.
CROWD = 16
# Inches: what is less wide has room for half as many columns in its legend.
NARROW = 4


def drawing_of(theme: Theme, width: float, height: float) -> Drawing:
    """An empty figure; `width` and `height` in inches on paper."""
    drawing = Drawing(figsize=(width * theme.factor, height * theme.factor), layout="constrained")
    FigureCanvasAgg(drawing)
    return drawing


def grid_of(
    theme: Theme, n: int, height: float, wide: bool = True, most: int = PANELS_PER_ROW
) -> tuple[Drawing, list[Axes]]:
    """`n` panels, at most `most` in a row, each about `height` inches high."""
    across = min(n, most)
    down = math.ceil(n / across)
    drawing = drawing_of(theme, PAGE_WIDTH if wide else COLUMN_WIDTH, height * down + 0.3)
    panels = drawing.subplots(down, across, squeeze=False).ravel().tolist()
    for unused in panels[n:]:
        unused.remove()
    return drawing, panels[:n]


def outer_labels(panels: list[Axes], x: str, y: str, most: int = PANELS_PER_ROW) -> None:
    """The names of the axes, at the left and lower edge of the grid alone."""
    across = min(len(panels), most)
    for i, axes in enumerate(panels):
        if i + across >= len(panels):
            axes.set_xlabel(x)
        if i % across == 0:
            axes.set_ylabel(y)


def family_legend(
    theme: Theme, drawing: Drawing, families: list[str], lines: bool = False, states: Iterable[str | None] = ()
) -> None:
    """Colours and markers of families, and with `lines` their dashes, below the panels; of Pareto fronts also how their
    `states` are shown, as far as there are any."""
    handles = []
    for family in families:
        style = look(family)
        dashes: Any = style.dashes if lines else "none"
        handles.append(
            Line2D([], [], color=style.color, marker=style.marker, markersize=4, label=family, linestyle=dashes)
        )
    there = set(states)
    handles += [Line2D([], [], label=state, **marker(INK, "o", state)) for state in MARKS if state in there]
    drawing.legend(
        handles=handles,
        loc="outside lower center",
        ncols=3 if drawing.get_figwidth() < NARROW * theme.factor else 6,
        handletextpad=0.6 if lines else 0.3,
        columnspacing=1.2,
        handlelength=2.2 if lines else 1.0,
    )


def marker(color: str, shape: str, state: str | None = None) -> dict[str, Any]:
    """A point as matplotlib draws it: by its state on a Pareto front, where there is one."""
    mark = MARKS.get(state or "", PLAIN)
    return {
        "color": color,
        "marker": shape,
        "markersize": mark.size,
        "markerfacecolor": mark.fill or color,
        "markeredgecolor": color if mark.fill else "white",
        "markeredgewidth": 0.9 if mark.fill else 0.4,
        "alpha": mark.alpha,
        "linestyle": "none",
    }


def state_words(population: str) -> str:
    """What a caption says of them, with a space before it."""
    return (
        " Filled: on the front; hollow: undecided; small and faint: dominated, with 95 % confidence in all of these at"
        f" once, for {population}."
    )


def lay_out(drawing: Drawing) -> None:
    """Settles the layout, so that display positions are final when labels are placed."""
    for _ in range(2):  # the first pass moves ticks, which changes what they need
        drawing.draw_without_rendering()
    drawing.set_layout_engine("none")


def widen(drawing: Drawing, w_pad: float) -> None:
    """Room at the sides (inches), since printed names are a little wider than those that the layout is made with."""
    engine = drawing.get_layout_engine()
    assert engine is not None
    engine.set(w_pad=w_pad)  # type: ignore[call-arg]


def up_is_better(axes: Axes, scale: Scale) -> None:
    """Turns the axis of scores upside down where less is better."""
    if not scale.higher_is_better:
        axes.invert_yaxis()


def panel_metric(results: Results, task: str) -> str:
    """The metric in a panel's title; where less is better the panel stands on its head, and says so."""
    return results.metric(task) + ("" if results.scale(task).higher_is_better else ", less is better: axis upside down")


def in_points(results: Results, tasks: Iterable[str]) -> str:
    """The unit of an axis that several panels share."""
    return " (points)" if all(results.scale(task).in_points for task in tasks) else ""


def draw_front(axes: Axes, corners: Sequence[tuple[float, float]]) -> None:
    """A Pareto front as steps. It has to be the first line that is drawn: see `front_boxes`."""
    axes.plot(*zip(*corners, strict=True), drawstyle="steps-post", color=FRONT, linewidth=1.0, zorder=1)


def front_boxes(axes: Axes) -> list[Bbox]:
    """The steps of the front, the first line drawn, as thin boxes that labels keep off."""
    corners = axes.transData.transform(axes.lines[0].get_xydata())
    boxes = []
    for (x, y), (next_x, next_y) in pairwise(corners):
        boxes.append(Bbox.from_extents(x, y - 1, next_x, y + 1))
        boxes.append(Bbox.from_extents(next_x - 1, min(y, next_y), next_x + 1, max(y, next_y)))
    return boxes


def point_box(x: float, y: float) -> Bbox:
    """A marker (display units), as labels keep off it."""
    return Bbox.from_extents(x - 2.5, y - 2.5, x + 2.5, y + 2.5)


def place_names(axes: Axes, anchors: Sequence[Anchor], obstacles: Sequence[Bbox]) -> None:
    """Names beside points, off the front and the obstacles."""
    place_around(axes, anchors, [*front_boxes(axes), *obstacles], LABEL_SIZE)


def short(name: str, longest: int = 22) -> str:
    """A name as figures have room for it: cut in the middle, as names differ at their ends."""
    name = " ".join(name.split())
    half = longest // 2
    return name if len(name) <= longest else f"{name[:half]}…{name[-half + 1 :]}"


def tick(value: float, _: int) -> str:
    """A round count: "5k", "2.5k", "1M"."""
    for factor, suffix in ((1e9, "B"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= factor:
            return f"{value / factor:g}{suffix}"
    return f"{value:g}"
