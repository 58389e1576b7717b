"""Score against more than one cost, a panel each, with the Pareto front."""

from __future__ import annotations

from functools import partial

from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing
from matplotlib.ticker import FuncFormatter, MaxNLocator

from records.text import listing
from records.vocabulary import QUANTITIES
from reports.analysis.analysis import Analysis
from reports.analysis.fronts import Front
from reports.drawing.labels import Anchor
from reports.drawing.panels import (
    CROWD,
    draw_front,
    drawing_of,
    family_legend,
    lay_out,
    marker,
    place_names,
    point_box,
    short,
    state_words,
    up_is_better,
)
from reports.drawing.style import INK, PAGE_WIDTH, families_in, look
from reports.drawing.theme import Theme
from reports.model.document import Figure, keyed
from reports.model.writing import left_out, plural, population, unit_for
from reports.results import Results

_LATENCY = " Latency is that of the merged model where the method can be merged, over the plain backbone's beside it."
# What a unit is called on an axis.
_UNITS = {"ratio": "× the backbone's"}


def figures(analysis: Analysis) -> list[Figure]:
    """A figure per backbone and protocol that has at least two labels with score and cost."""
    found = analysis.fronts
    return [
        Figure(
            key=keyed("fronts", position, len(found)),
            caption=(_caption(analysis.results, front),),
            alt=_alt(front),
            draw=partial(_draw, front),
            wide=True,
        )
        for position, front in enumerate(found)
    ]


def _alt(front: Front) -> str:
    costs = {"peak_memory_bytes": "peak memory", "step_seconds": "step time", "deployed_latency": "latency"}
    against = listing([costs.get(cost, "stored bytes") for cost in front.costs])
    return f"{plural(len(front.costs), 'scatter plot').capitalize()} of mean test score against {against}."


def _caption(results: Results, front: Front) -> str:
    said = [
        f"Mean test score on {listing(front.tasks)} against {plural(len(front.costs), 'cost')} on"
        f" {results.title('backbones', front.group.backbone)}; grey: the Pareto front of the means.",
        *([_LATENCY] if "deployed_latency" in front.costs else []),
        " Stored bytes are on a log scale. Each cost has a front of its own.",
    ]
    if front.ranks is not None:
        said.append(state_words(population(front.ranks.population)))
    if results.untrained:
        said.append(f" Without {listing(results.untrained)}, which train nothing.")
    said.append(left_out(results, front.group.tasks))
    if not front.scale.higher_is_better:
        said.append(" Less is better: the axis of scores stands on its head.")
    if len(front.placed) > CROWD:
        said.append(" Named are those on a front.")
    return "".join(said)


def _states(front: Front) -> list[str]:
    return [state for each in front.placed for state in each.states.values()]


def _draw(front: Front, theme: Theme) -> Drawing:
    drawing = drawing_of(theme, PAGE_WIDTH, 4.3 if theme.factor == 1 else 3.2)  # a slide is less high
    panels = drawing.subplots(2, 2, sharey=True).ravel().tolist()
    for unused in panels[len(front.costs) :]:
        unused.remove()
    panels = panels[: len(front.costs)]
    places = [_panel(axes, front, column) for axes, column in zip(panels, front.costs, strict=True)]
    up_is_better(panels[0], front.scale)  # the panels share their axis
    for axes in panels[::2]:
        axes.set_ylabel("Score (points)" if front.scale.in_points else "Score")
    family_legend(theme, drawing, families_in({each.family for each in front.placed}), states=_states(front))
    lay_out(drawing)
    crowded = len(front.placed) > CROWD * theme.factor
    for axes, column, at in zip(panels, front.costs, places, strict=True):
        _name(axes, front, column, at, crowded)
    return drawing


def _panel(axes: Axes, front: Front, column: str) -> list[tuple[float, float]]:
    """Draws one cost. Returns where each configuration is (cost, score)."""
    found, quantity = front.placed, QUANTITIES[column]
    unit = unit_for(_UNITS.get(quantity.unit, quantity.unit), [each.costs[column] for each in found])
    at = [(each.costs[column] * unit.factor, front.scale.shown(each.score)) for each in found]
    if column == "stored_bytes" and min(x for x, _ in at) > 0:
        axes.set_xscale("log")
    corners = [place for place, each in zip(at, found, strict=True) if column in each.on_front]
    corners.sort(key=lambda corner: corner[0])
    draw_front(axes, [*corners, (max(x for x, _ in at), corners[-1][1])])
    for (x, y), each in zip(at, found, strict=True):
        style = look(each.family)
        axes.plot(
            x,
            y,
            **marker(style.color, style.marker, each.states.get(column)),
            clip_on=False,
            zorder=3,
        )
    axes.margins(x=0.12, y=0.12)
    axes.set_title(f"{quantity.title} ({unit.name})", loc="left", color=INK)
    axes.yaxis.set_major_locator(MaxNLocator(6))
    if axes.get_xscale() == "linear":
        axes.xaxis.set_major_locator(MaxNLocator(6))
    else:
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.grid(axis="x", visible=False)
    return at


def _name(axes: Axes, front: Front, column: str, at: list[tuple[float, float]], crowded: bool) -> None:
    anchors, obstacles = [], []
    for place, each in zip(at, front.placed, strict=True):
        x, y = axes.transData.transform(place)
        if column in each.on_front or not crowded:
            anchors.append(Anchor(x, y, short(each.label), look(each.family).color))
        obstacles.append(point_box(x, y))
    place_names(axes, anchors, obstacles)
