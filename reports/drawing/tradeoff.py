"""Score against trainable parameters."""

from __future__ import annotations

import math
from functools import partial

from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter
from matplotlib.transforms import Bbox

from records.text import listing
from reports.analysis.analysis import Analysis
from reports.analysis.fronts import Point
from reports.drawing.labels import Anchor
from reports.drawing.panels import (
    CROWD,
    draw_front,
    family_legend,
    grid_of,
    in_points,
    lay_out,
    marker,
    outer_labels,
    panel_metric,
    place_names,
    point_box,
    short,
    state_words,
    tick,
    up_is_better,
)
from reports.drawing.style import INK, families_in, look
from reports.drawing.theme import Theme
from reports.model.document import Figure, keyed
from reports.model.writing import population
from reports.results import Results
from reports.scales import Scale

# Of more points than this, a single panel takes the width of the page.
NAMED_IN_COLUMN = 9
# Powers of ten that an axis shows at the least, so that one of them is on it.
LEAST_DECADES = 1.2


def figures(analysis: Analysis) -> list[Figure]:
    """Score against trainable parameters with the Pareto front, a panel per task; per backbone."""
    results, found = analysis.results, analysis.tradeoff
    made = []
    for position, (backbone, points) in enumerate(found.items()):
        tasks = list(dict.fromkeys(point.task for point in points))
        caption = (
            "Mean test score against the method's trainable parameters (head not counted; log scale) on"
            f" {results.title('backbones', backbone)}. Error bars: ± one sample standard deviation over seeds. Grey"
            " line: Pareto front of the means. A method without trainable parameters in the backbone stands on the"
            f" left edge.{' Named are those on the front.' if crowded(points, tasks) else ''}"
        )
        shown = {population(of.population) for of in analysis.rank_sets.by_task(backbone, tasks)}
        caption += state_words(listing(sorted(shown))) if shown else ""
        figure = Figure(
            key=keyed("tradeoff", position, len(found)),
            caption=(caption,),
            alt=f"Scatter plots of test score against trainable parameters for {listing(tasks)}.",
            draw=partial(_draw, results, points, tasks),
            wide=_wide(points, tasks),
        )
        made.append(figure)
    return made


def crowded(points: list[Point], tasks: list[str]) -> bool:
    """Whether there are too many points for all to be named."""
    return len(points) > CROWD * len(tasks)


def _wide(points: list[Point], tasks: list[str]) -> bool:
    """Whether names need more room than a column has."""
    return len(tasks) > 1 or len(points) > NAMED_IN_COLUMN


def _draw(results: Results, points: list[Point], tasks: list[str], theme: Theme) -> Drawing:
    drawing, panels = grid_of(theme, len(tasks), 2.35, wide=_wide(points, tasks))
    shown = [[point for point in points if point.task == task] for task in tasks]
    for axes, task, panel in zip(panels, tasks, shown, strict=True):
        _panel(axes, panel, results.scale(task))
        axes.set_title(f"{short(task)} ({panel_metric(results, task)})", loc="left", color=INK)
    outer_labels(panels, "Trainable parameters of the method", f"Test score{in_points(results, tasks)}")
    family_legend(theme, drawing, families_in({point.family for point in points}), states=[p.state for p in points])
    lay_out(drawing)
    for axes, panel in zip(panels, shown, strict=True):
        _name(axes, panel, results.scale(panel[0].task))
    return drawing


def _panel(axes: Axes, panel: list[Point], scale: Scale) -> None:
    left, right = _limits(panel)
    axes.set_xscale("log")
    axes.set_xlim(left, right)
    # By parameters: along the front scores get better, whichever way that is.
    on_front = sorted((p for p in panel if p.on_front), key=lambda p: (p.parameters, p.score.mean))
    front = [(max(p.parameters, left), scale.shown(p.score.mean)) for p in on_front]
    draw_front(axes, [*front, (right, front[-1][1])])
    for point in panel:
        style = look(point.family)
        axes.errorbar(
            max(point.parameters, left),
            scale.shown(point.score.mean),
            yerr=None if point.score.sd is None else abs(scale.unit.factor) * point.score.sd,
            **marker(style.color, style.marker, point.state),
            elinewidth=0.8,
            capsize=1.6,
            capthick=0.8,
            clip_on=False,
            zorder=3,
        )
    axes.margins(y=0.10)
    up_is_better(axes, scale)
    axes.xaxis.set_major_locator(LogLocator(numticks=6))
    axes.xaxis.set_major_formatter(FuncFormatter(tick))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.yaxis.set_major_locator(MaxNLocator(6))
    axes.grid(axis="x", visible=False)


def _limits(panel: list[Point]) -> tuple[float, float]:
    """Of the axis of parameters, with room for names and for what trains none."""
    positive = [point.parameters for point in panel if point.parameters > 0] or [1e4]
    low, high = math.log10(min(positive)), math.log10(max(positive))
    widen = max(0.0, LEAST_DECADES - (high - low)) / 2
    low, high = low - widen, high + widen
    return 10 ** (low - 0.16 * (high - low)), 10 ** (high + 0.10 * (high - low))


def _name(axes: Axes, panel: list[Point], scale: Scale) -> None:
    left = axes.get_xlim()[0]
    anchors, obstacles = [], []
    for point in panel:
        x, y = axes.transData.transform((max(point.parameters, left), scale.shown(point.score.mean)))
        _, top = axes.transData.transform((left, scale.shown(point.score.mean + (point.score.sd or 0))))
        text = short(point.label) + (" (0)" if point.parameters == 0 else "")
        if point.on_front or len(panel) <= CROWD:
            anchors.append(Anchor(x, y, text, look(point.family).color))
        obstacles.append(point_box(x, y))
        obstacles.append(Bbox.from_extents(x - 1.5, 2 * y - top, x + 1.5, top))
    place_names(axes, anchors, obstacles)
